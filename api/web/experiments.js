/**
 * The tab "Experiments": a row for each experiment, a column for each strategy. What is open, and what the visitor needs, stands in the
 * address. The experiments run on private servers, so that the visitor's own logins are never touched.
 */

import { element } from './dom.js';
import { experimentView } from './experiment.js';
import { machine, verdict } from './findings.js';
import { Laboratory } from './laboratory.js';
import { choose, needs } from './needs.js';
import { changePlace, hashOf, readPlace } from './place.js';
import { time, word } from './words.js';

/**
 * @param {HTMLElement} box
 * @param {import('./page.js').Page} page
 */
export function experiments(box, page) {
  const lab = new Laboratory();
  const table = box.querySelector('table');
  const field = (name) => box.querySelector(`[data-field=${name}]`);
  const all = page.all.filter(({ client }) => client);
  const boxes = [...box.querySelectorAll('[data-need]')];
  const ofAll = box.querySelector('[data-of-all]');

  /** The needs of the address that the page knows. */
  const chosen = () => (readPlace().need ?? []).filter((need) => need in needs);
  /** The columns shown: those of the page, all, or those that satisfy what is needed. */
  const columns = () => {
    const slugs = choose(lab, chosen(), all.map(({ slug }) => slug)).left;
    if (chosen().length) return all.filter(({ slug }) => slugs.includes(slug));
    return readPlace().of === 'all' ? all : page.strategies;
  };

  /** A link to an experiment, or to what it has found for one strategy. */
  const linkTo = (cell, ...children) => {
    const link = element('a', '', ...children);
    link.href = hashOf({ ...readPlace(), open: 'experiments', cell });
    if (readPlace().cell === cell) link.ariaCurrent = 'true';
    link.addEventListener('click', (event) => {
      event.preventDefault();
      open(cell);
    });
    return link;
  };
  const runButton = (id) => {
    const button = element('button', 'quiet', word('lab.run'));
    button.type = 'button';
    button.ariaLabel = word('lab.run.one', { id });
    button.dataset.run = id;
    return button;
  };
  const view = experimentView(box.querySelector('[data-experiment]'), { lab, columns, linkTo, runButton, close: () => open() });

  const cellOf = ({ id, columns: members }, { slug, traits }) => {
    const result = lab.result(id, slug);
    const cell = element('td', result ? '' : 'none', result ? linkTo(`${id}.${slug}`, ...verdict(lab, result, members)) : word('lab.not_run'));
    cell.dataset.result = `${id} ${slug}`;
    cell.dataset.holder = traits.holder;
    if (result?.as_expected === false || result?.error) cell.dataset.surprise = 'true';
    return cell;
  };
  const rowOf = (experiment, shown) => {
    const { id } = experiment;
    const head = element('th', '', element('span', '', linkTo(id, element('code', '', id), ` ${lab.text(experiment.question)}`), ' ', runButton(id)));
    head.scope = 'row';
    return element('tr', '', head, ...shown.map((column) => cellOf(experiment, column)));
  };
  const drawMatrix = () => {
    const shown = columns();
    const corner = element('th', '', word('lab.question'));
    const heads = shown.map(({ slug, traits }) => {
      const head = element('th', '', element('code', '', slug));
      head.dataset.holder = traits.holder;
      return head;
    });
    for (const head of [corner, ...heads]) head.scope = 'col';
    table.tHead.replaceChildren(element('tr', '', corner, ...heads));
    table.tBodies[0].replaceChildren(...lab.experiments.map((experiment) => rowOf(experiment, shown)));
  };

  /** Why a strategy is excluded: the experiments that say so, as links to what they have found. */
  const exclusion = ([slug, unmet]) => {
    const reasons = unmet.flatMap((need, i) => {
      const { id } = needs[need];
      const [revoked] = need === 'logout' ? lab.result(id, slug)?.variants.filter(needs.logout.met) ?? [] : [];
      const link = linkTo(`${id}.${slug}`, `${id}: ${word(`need.${need}.not`)}`);
      return [i ? ' · ' : ' ', link, ...(revoked ? [` (${word('need.denylist')})`] : [])];
    });
    const line = element('li', '', element('code', '', slug), ...reasons);
    line.dataset.excluded = slug;
    return line;
  };
  const drawNeeds = () => {
    for (const each of boxes) each.checked = chosen().includes(each.dataset.need);
    ofAll.checked = readPlace().of === 'all';
    ofAll.parentElement.hidden = chosen().length > 0;
    const { open: unknown, excluded, left } = choose(lab, chosen(), all.map(({ slug }) => slug));
    const parts = [];
    if (unknown.length) parts.push(element('p', 'note', word('need.unknown', { ids: [...new Set(unknown.map((need) => needs[need].id))].join(', ') })));
    if (excluded.size) {
      parts.push(element('p', '', left.length ? word('need.left', { slugs: left.join(', ') }) : word('need.nothing_left')));
      parts.push(element('ul', 'excluded', ...[...excluded].map(exclusion)));
    } else if (chosen().length && !unknown.length) parts.push(element('p', '', word('need.all')));
    field('chosen').replaceChildren(...parts);
  };

  const drawRun = () => {
    const { running, run, told } = lab;
    box.ariaBusy = String(Boolean(running));
    const bar = box.querySelector('progress');
    bar.hidden = !running;
    if (running?.total) [bar.max, bar.value] = [running.total, running.done];
    else bar.removeAttribute('value');
    field('progress').textContent = running?.total ? word('lab.done', running) : '';
    field('lab_said').textContent = told.key && word(told.key, told.values);
    field('measured').textContent = run && lab.measured ? word('lab.measured', { ...run, at: time(run.at), machine: machine(run) }) : '';
  };
  /** Draws everything, and leaves the focus on the control where it was. */
  const draw = () => {
    const { activeElement: at } = document;
    const same = at.dataset.run ? `[data-run="${at.dataset.run}"]` : `[href="${at.getAttribute('href')}"]`;
    drawRun();
    drawNeeds();
    drawMatrix();
    view.draw(readPlace().cell);
    if (!at.isConnected) box.querySelector(same)?.focus({ preventScroll: true });
  };
  /** Draws what is open with its exchanges. */
  const drawOpen = async () => {
    const [id, slug] = (readPlace().cell ?? '').split('.');
    draw();
    if (slug && await lab.fetch(id)) draw();
  };

  /** Opens an experiment, one of its cells, or none, and goes there. @param {string} [cell] */
  const open = async (cell) => {
    const before = readPlace().cell;
    changePlace({ open: 'experiments', cell });
    await drawOpen();
    if (cell) view.goes();
    else table.querySelector(`[href*="cell=${before}"]`)?.focus();
  };

  box.addEventListener('click', async ({ target }) => {
    const button = target.closest('[data-run]');
    if (!button) return;
    await lab.runs(button.dataset.run || undefined);
  });
  for (const each of boxes) {
    each.addEventListener('change', () => {
      const need = boxes.filter(({ checked }) => checked).map(({ dataset }) => dataset.need);
      changePlace({ need });
      draw();
    });
  }
  ofAll.addEventListener('change', () => {
    changePlace({ of: ofAll.checked ? 'all' : undefined });
    draw();
  });
  /** The cell that the page has gone to last. */
  let visited;
  let asked = false;
  box.addEventListener('opened', async () => {
    draw();
    const loading = !asked;
    asked = true;
    if (loading) await lab.load();
    asked = lab.experiments.length > 0; // else the next opening tries again
    const { cell } = readPlace();
    if (cell && cell !== visited) await open(cell);
    visited = cell;
  });
  lab.addEventListener('progress', drawRun);
  lab.addEventListener('change', drawOpen);
  page.addEventListener('columns', draw);
  document.addEventListener('words', draw);
}
