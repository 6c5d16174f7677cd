/** The tab "Wire": the last act of each column as a sequence of browser, server and store, and in curl. */

import { curl } from './curl.js';
import { copyOf, copyText, element } from './dom.js';
import { masked } from './keep.js';
import { fill, number, word } from './words.js';

/**
 * @param {HTMLElement} box
 * @param {import('./page.js').Page} page
 */
export function wire(box, page) {
  const lanes = box.querySelector('[data-lanes]');
  const next = box.querySelector('[data-wire-next]');
  /** How many steps are shown; all of them unless the learner walks. */
  let shown = Infinity;

  /** A header counts as seen when it is on the screen, with a credential in it. */
  const look = () => {
    for (const header of lanes.querySelectorAll('.request .credential')) {
      const { top, bottom, width } = header.getBoundingClientRect();
      if (width && top >= 0 && bottom <= innerHeight) page.report({ act: 'headers', slug: header.closest('.lane').dataset.strategy });
    }
  };

  const draw = () => {
    lanes.replaceChildren(...page.strategies.map((column) => laneOf(column, page, shown)));
    const most = Math.max(0, ...page.strategies.map(({ act }) => stepsOf(act).length));
    next.disabled = shown >= most && shown !== Infinity;
    look();
  };
  box.querySelector('[data-wire-first]').addEventListener('click', () => {
    shown = 1;
    draw();
  });
  next.addEventListener('click', () => {
    shown = shown === Infinity ? 1 : shown + 1;
    draw();
  });
  page.addEventListener('acting', () => { shown = Infinity; });
  page.addEventListener('change', draw);
  page.addEventListener('columns', draw);
  document.addEventListener('words', draw);
  for (const name of ['scroll', 'resize']) addEventListener(name, look);
  box.addEventListener('opened', draw);
}

function laneOf(column, page, shown) {
  const lane = copyOf('lane');
  fill(lane);
  lane.dataset.strategy = column.slug;
  lane.dataset.holder = column.traits.holder;
  lane.querySelector('h3').textContent = column.slug;
  const steps = stepsOf(column.act).slice(0, shown);
  lane.querySelector('ol').replaceChildren(...(steps.length
    ? steps.map((step) => stepView(step, column.traits))
    : [element('li', 'none', word(column.spared ? 'spared' : 'wire.nothing', { slug: column.spared }))]));
  const code = lane.querySelector('code');
  code.textContent = curl(column, page.lastAct, page.curlFields);
  const button = lane.querySelector('button');
  button.addEventListener('click', async () => {
    button.textContent = word(await copyText(code) ? 'copied' : 'copy.by_hand');
  });
  return lane;
}

/** Each exchange is a request, what the server asked of its store, and an answer. */
function stepsOf(act) {
  return act.flatMap((exchange) => [
    { kind: 'request', exchange },
    ...(exchange.cost?.reads || exchange.cost?.writes ? [{ kind: 'store', exchange }] : []),
    { kind: 'answer', exchange },
  ]);
}

function stepView({ kind, exchange }, traits) {
  const made = element('li', kind, element('p', 'way', word(`way.${kind}`)));
  if (kind === 'request') made.append(...requestView(exchange, traits));
  else if (kind === 'store') made.append(element('p', '', word('way.cost', { reads: number(exchange.cost.reads), writes: number(exchange.cost.writes) })));
  else made.append(...answerView(exchange));
  return made;
}

/**
 * A request in the notation of DevTools, secrets masked.
 * @param {import('./api.js').Exchange} exchange
 * @param {import('./facts.js').Traits} traits
 */
function requestView({ request, carried }, traits) {
  const lines = [element('p', 'start', element('b', '', request.method), ` ${request.url}`)];
  if (request.body) lines.push(header('Content-Type', 'application/json'));
  lines.push(carried ? header(...carried, 'credential') : element('p', 'none', word(`wire.none.${traits.transport}`)));
  if (request.body) lines.push(element('p', 'body', shortened(JSON.stringify(request.body, hideSecrets))));
  return lines;
}

/** An answer. Script is never shown Set-Cookie, so that line is taken from the answer's own account of it. */
function answerView({ status, code, issued, body }) {
  const lines = [element('p', 'start', element('b', '', status ? String(status) : '–'), ` ${code}`)];
  if (!issued) return lines;
  const { kind, name, bytes, access_token: token } = body.credential;
  if (kind === 'bearer') return [...lines, element('p', 'body', `{"credential": {"access_token": "${masked(token)}", …}}`)];
  return [...lines, header('Set-Cookie', `${name}=…`, 'credential'), element('p', 'none', word('wire.set_cookie', { bytes: number(bytes) }))];
}

function header(name, value, className = '') {
  return element('p', className, element('span', 'name', `${name}:`), ` ${value}`);
}

function hideSecrets(name, value) {
  return /password|token/.test(name) ? '•••' : value;
}

/** The beginning of a long body: a full cart would push everything else away. */
function shortened(text) {
  return text.length > 300 ? `${text.slice(0, 300)}…` : text;
}
