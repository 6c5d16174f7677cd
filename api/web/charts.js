/** The tab "Charts": two questions that are seen before they are read. Each chart stands beside a table with the same numbers. */

import { element } from './dom.js';
import { duration, number, word } from './words.js';

const svg = 'http://www.w3.org/2000/svg';
const wall = 4096;
const size = { width: 560, height: 240, left: 52, bottom: 30, top: 14, right: 96 };

/**
 * @param {HTMLElement} box
 * @param {import('./page.js').Page} page
 */
export function charts(box, page) {
  const draw = () => {
    drawSizes(box.querySelector('[data-chart=sizes]'), page.shown);
    drawLives(box.querySelector('[data-chart=lives]'), page.strategies);
  };
  box.addEventListener('opened', draw);
  page.addEventListener('change', draw);
  page.addEventListener('columns', draw);
  document.addEventListener('words', draw);
}

/** Bytes per request against items in the cart: a point for each size that was seen. */
function drawSizes(figure, columns) {
  const seen = columns.filter((column) => column.sizes.size);
  const most = Math.max(10, ...seen.flatMap((column) => [...column.sizes.keys()]));
  const x = (items) => size.left + (items / most) * (size.width - size.left - size.right);
  const y = (bytes) => size.height - size.bottom - (Math.min(bytes, 8192) / 8192) * (size.height - size.bottom - size.top);
  const parts = [
    line(size.left, y(0), size.width - size.right, y(0), 'axis'), line(size.left, y(0), size.left, size.top, 'axis'),
    line(size.left, y(wall), size.width - size.right, y(wall), 'wall'),
    text(size.left - 6, y(0), '0', 'end'), text(size.left - 6, y(wall), number(wall), 'end'), text(size.left - 6, y(8192) + 4, number(8192), 'end'),
    text(size.left, size.height - 8, '0', 'middle'), text(size.width - size.right, size.height - 8, word('items', { count: number(most) }), 'middle'),
    text(size.left + 4, y(wall) - 5, word('chart.wall', { limit: number(wall) }), 'start'),
  ];
  const labels = [];
  for (const column of seen) {
    const points = [...column.sizes].sort(([a], [b]) => a - b);
    const path = shape('polyline', { points: points.map(([items, bytes]) => `${x(items)},${y(bytes)}`).join(' '), class: `line ${column.traits.holder}` });
    parts.push(path, ...points.map(([items, bytes]) => shape('circle', { cx: x(items), cy: y(bytes), r: 3.5, class: `dot ${column.traits.holder}` })));
    const [items, bytes] = points.at(-1);
    labels.push({ at: x(items) + 7, y: y(bytes) + 4, name: column.slug });
  }
  parts.push(...apart(labels).map(({ at, y: height, name }) => text(at, height, name, 'start')));
  show(figure, parts, seen.map(({ slug, sizes }) => [slug, [...sizes].sort(([a], [b]) => a - b).map(([items, bytes]) => `${number(items)} → ${number(bytes)}`).join(', ')]));
}

/** How long a copy works after the logout of its owner: one bar for each strategy, on a scale of hours that is not linear. */
function drawLives(figure, columns) {
  const lives = columns.map((column) => ({ column, milliseconds: lifeOf(column) }));
  const scale = (milliseconds) => (milliseconds === Infinity ? 1 : Math.log1p((milliseconds ?? 0) / 1000) / Math.log1p(30 * 86400));
  const height = 30;
  const parts = lives.flatMap(({ column, milliseconds }, i) => {
    const middle = size.top + i * height + height / 2;
    const width = Math.max(3, scale(milliseconds) * (size.width - 290));
    return [
      text(130, middle + 4, column.slug, 'end'),
      shape('rect', { x: 140, y: middle - 8, width, height: 16, rx: 2, class: milliseconds === 0 ? 'good' : 'bad' }),
      text(148 + width, middle + 4, lifeText(milliseconds), 'start'),
    ];
  });
  show(figure, parts, lives.map(({ column, milliseconds }) => [column.slug, lifeText(milliseconds)]), size.top * 2 + lives.length * height);
}

/** Milliseconds; undefined before a login has told its times. */
function lifeOf({ traits, life }) {
  if (traits.revocable) return 0;
  return traits.expires ? life || undefined : Infinity;
}

function lifeText(milliseconds) {
  if (milliseconds === undefined) return word('copy.expires');
  if (milliseconds === Infinity) return word('copy.ever');
  return milliseconds ? duration(milliseconds) : word('copy.dead');
}

/** Moves labels up that would cover each other: below the lowest is the axis. */
function apart(labels) {
  let last = Infinity;
  return labels.toSorted((a, b) => b.y - a.y).map((label) => {
    last = Math.min(label.y, last - 17);
    return { ...label, y: last };
  });
}

function show(figure, parts, table, height = size.height) {
  const picture = figure.querySelector('svg');
  picture.setAttribute('viewBox', `0 0 ${size.width} ${height}`);
  picture.replaceChildren(...parts);
  figure.querySelector('tbody').replaceChildren(...table.map(([name, value]) => {
    const head = element('th', '', name);
    head.scope = 'row';
    return element('tr', '', head, element('td', '', value));
  }));
  figure.dataset.empty = String(!table.length);
}

function shape(name, attributes, ...children) {
  const made = document.createElementNS(svg, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  made.append(...children);
  return made;
}

function line(x1, y1, x2, y2, className) {
  return shape('line', { x1, y1, x2, y2, class: className });
}

function text(x, y, content, anchor) {
  return shape('text', { x, y, 'text-anchor': anchor }, content);
}
