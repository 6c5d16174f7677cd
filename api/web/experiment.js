/** One experiment that is open: what it asks and teaches, its table, and for one strategy what was expected and what travelled. */

import { lineOf } from './curls.js';
import { element } from './dom.js';
import { expected, found, machine, verdict } from './findings.js';
import { hasWord, number, word } from './words.js';

/**
 * @param {HTMLElement} box
 * @param {{lab: import('./laboratory.js').Laboratory, columns: () => {slug: string}[], linkTo: Function, runButton: Function, close: () => void}} matrix
 */
export function experimentView(box, { lab, columns, linkTo, runButton, close }) {
  const label = (name) => (lab.isTerm(name) ? element('code', '', lab.say('columns', name)) : lab.say('columns', name));
  const cells = (experiment, result) => experiment.columns.map((name) => element('td', '', found(lab, result, name)));
  const lineFor = (experiment, result, head) => {
    head.scope = 'row';
    const line = element('tr', '', head, element('td', '', ...verdict(lab, result, [])), ...cells(experiment, result));
    line.dataset.of = result.strategy;
    if (result.as_expected === false) line.dataset.surprise = 'true';
    return line;
  };
  /** A row for each strategy shown, with its variants below it, and for what is no strategy. */
  const tableOf = (experiment) => {
    const shown = columns().map(({ slug }) => slug);
    const results = lab.results(experiment.id).filter(({ strategy }) => shown.includes(strategy) || !lab.strategy(strategy));
    const heads = [word('lab.strategy'), word('lab.verdict'), ...experiment.columns.map(label)].map((text) => element('th', '', text));
    for (const head of heads) head.scope = 'col';
    const lines = results.flatMap((result) => [
      lineFor(experiment, result, element('th', '', linkTo(`${experiment.id}.${result.strategy}`, element('code', '', result.strategy)))),
      ...result.variants.map((variant) => lineFor(experiment, variant, element('th', 'variant', word(`lab.variant.${variant.variant}`)))),
    ]);
    const scroller = element('div', 'scroller findings', element('table', '', element('thead', '', element('tr', '', ...heads)), element('tbody', '', ...lines)));
    scroller.tabIndex = 0;
    scroller.role = 'region';
    scroller.ariaLabel = lab.text(experiment.question);
    return scroller;
  };

  /** What was found of each member, beside what was expected. */
  const comparison = (experiment, result) => {
    const named = (name) => lab.hasWord('columns', name) || result.unexpected.includes(name);
    const names = [...new Set([...experiment.columns, ...Object.keys(result.expected ?? {}).filter(named)])];
    const heads = [word('lab.member'), word('lab.found'), word('lab.expected')].map((text) => element('th', '', text));
    for (const head of heads) head.scope = 'col';
    const lines = names.map((name) => {
      const head = element('th', '', label(name));
      head.scope = 'row';
      const line = element('tr', '', head, element('td', '', ...foundView(name, result)), element('td', '', expected(lab, result, name)));
      if (result.unexpected.includes(name)) line.lastChild.append(' ', element('strong', 'surprise', word('lab.surprise')));
      line.dataset.member = name;
      return line;
    });
    return element('table', 'compared', element('thead', '', element('tr', '', ...heads)), element('tbody', '', ...lines));
  };
  /** What was found; of a problem its code with the sentence that explains it. */
  const foundView = (name, result) => {
    const code = `code.${result.reason}`;
    if (name !== 'reason' || !hasWord(code)) return [found(lab, result, name)];
    return [element('code', '', result.reason), ` ${word(code, { size: '…', limit: '…', wait: '…' })}`];
  };

  const exchangeView = ({ who, does, request, response, bytes_up: up, bytes_down: down }) => {
    const step = [element('b', '', lab.step(who)), ` ${lab.step(does)} `];
    if (!response) return element('li', '', ...step); // no request, but something that happens
    const raw = (text) => {
      const made = element('pre', '', text.replaceAll('\r', ''));
      made.tabIndex = 0;
      return made;
    };
    const start = `${request.split(' HTTP/1.1', 1)[0]} → ${response.split(' ', 2)[1]}`.trim();
    const size = element('span', 'hint', word('lab.exchanged', { up: number(up), down: number(down) }));
    return element('li', '', element('details', '', element('summary', '', ...step, element('code', '', start), ' ', size), raw(request), raw(response)));
  };
  /** All that one run has found for a strategy, or for a variant of it. */
  const cellView = (experiment, result) => {
    const variant = result.variant ? [word(`lab.variant.${result.variant}`), ' '] : [];
    const head = element('h3', '', element('code', '', `${experiment.id} ${result.strategy}`), ' ', ...variant, ...verdict(lab, result, experiment.columns));
    head.tabIndex = -1;
    const parts = [head, comparison(experiment, result)];
    if (result.as_expected) parts.push(element('p', 'hint', word('lab.as_expected')));
    if (result.error) parts.push(element('pre', '', result.error));
    if (result.wire?.length) parts.push(element('h4', '', word('lab.exchanges')), element('ol', 'exchanges', ...result.wire.map(exchangeView)));
    return [...parts, ...result.variants.flatMap((variant) => cellView(experiment, variant))];
  };
  /** The cell of the address. */
  const opened = (experiment, slug) => {
    const result = lab.whole(experiment.id, slug);
    if (!result) return [];
    const pays = lab.strategy(slug)?.pays_with;
    const made = element('section', 'cell', ...cellView(experiment, result), ...(pays ? [element('p', 'hint', word('lab.pays', { with: lab.text(pays) }))] : []));
    made.dataset.cell = slug;
    return [made];
  };
  const background = ({ id, steps, refs, curl }) => [
    element('h3', '', word('lab.steps')), element('ol', 'steps', ...steps.map((step) => element('li', '', lab.text(step)))),
    ...(curl.length ? [element('h3', '', word('lab.curl')), element('div', 'curl', element('ol', '', lineOf(id, curl.join('\n').replaceAll('http://localhost:8080', location.origin))))] : []),
    element('h3', '', word('lab.refs')), element('ul', 'refs', ...refs.map((text) => element('li', '', text))),
  ];

  const draw = (place = '') => {
    const [id, slug] = place.split(/\.(.*)/);
    const experiment = lab.experiments.find((each) => each.id === id);
    box.hidden = !experiment;
    if (!experiment) return;
    const head = element('h2', '', element('code', '', id), ` ${lab.text(experiment.question)}`);
    head.tabIndex = -1;
    const shut = element('button', 'quiet', word('lab.close'));
    shut.type = 'button';
    shut.dataset.testid = 'close-experiment';
    shut.addEventListener('click', close);
    const ran = lab.results(id).length > 0;
    box.replaceChildren(
      head, element('p', 'acts', runButton(id), shut), element('p', 'lesson', lab.text(experiment.lesson)),
      ran ? tableOf(experiment) : element('p', 'note', word('lab.not_run.yet')),
      ...(experiment.columns.includes('server_us') && lab.run ? [element('p', 'hint', word('lab.times', { ...lab.run, machine: machine(lab.run) }))] : []),
      ...opened(experiment, slug), ...background(experiment),
    );
  };
  /** Goes to what is open. */
  const goes = () => {
    const head = box.querySelector('.cell h3') ?? box.querySelector('h2');
    head?.focus({ preventScroll: true });
    head?.scrollIntoView({ block: 'start' });
  };
  return { draw, goes };
}
