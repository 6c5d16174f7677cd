/** The laboratory of the server, as the tab "Experiments" uses it: what it can run, what it has found, and what it is doing now. */

import { send } from './api.js';
import { duration, language } from './words.js';

/** How often the page asks how far a run is, in milliseconds. */
const pace = 400;

/**
 * @typedef {{en: string, ko: string}} Text
 *
 * @typedef {object} Result what an experiment has found for one strategy; a member that is null has its reason in `why`
 * @property {string} strategy
 * @property {string} variant
 * @property {'good' | 'bad' | 'partly' | 'none' | 'measured'} mark
 * @property {'blocked' | 'succeeds' | 'not_applicable'} attack
 * @property {Record<string, any>} values
 * @property {Record<string, string>} why
 * @property {Record<string, any> | null} expected
 * @property {boolean | null} as_expected
 * @property {string[]} unexpected
 * @property {string | null} error
 * @property {{who: string, does: string, request: string, response: string, bytes_up: number, bytes_down: number}[]} [wire]
 * @property {Result[]} variants
 *
 * @typedef {object} Experiment
 * @property {string} id
 * @property {Text} question
 * @property {Text} lesson
 * @property {string[]} refs
 * @property {Text[]} steps
 * @property {string[]} curl
 * @property {string[]} columns
 */

/** It tells of "progress", and of a "change" of what it has found. */
export class Laboratory extends EventTarget {
  /** @type {Experiment[]} */
  experiments = [];
  /** What runs now: one experiment, or all with how many of their results are there. @type {{id?: string, done?: number, total?: number} | null} */
  running = null;
  /** Where and when the results were measured. */
  run = null;
  /** Key of the word on what the last run came to, and its values. */
  told = { key: '', values: {} };
  #words = {};
  #strategies = new Map();
  /** Results without their exchanges, by the experiment. @type {Map<string, Result[]>} */
  #results = new Map();
  /** The same with their exchanges, of the experiments that were opened. @type {Map<string, Result[]>} */
  #whole = new Map();
  #etag = '';

  /** Asks for everything. */
  async load() {
    this.running = await this.#ask() ?? null;
    await this.#compare();
    this.dispatchEvent(new Event('change'));
    if (this.running) await this.#watch();
  }

  /** @param {string} id */
  results(id) {
    return this.#results.get(id) ?? [];
  }

  /** @param {string} id @param {string} slug */
  result(id, slug) {
    return this.results(id).find(({ strategy }) => strategy === slug);
  }

  /** The same with its exchanges, once they were fetched. @param {string} id @param {string} slug */
  whole(id, slug) {
    return this.#whole.get(id)?.find(({ strategy }) => strategy === slug) ?? this.result(id, slug);
  }

  /** Fetches the exchanges of one experiment, and returns whether that has brought some. @param {string} id */
  async fetch(id) {
    if (this.#whole.has(id) || !this.results(id).length) return false;
    const { body } = await send(`/classroom/experiments/${id}`, { method: 'GET' });
    if (body?.results) this.#whole.set(id, body.results);
    return this.#whole.has(id);
  }

  /** What the report says of a strategy. @param {string} slug */
  strategy(slug) {
    return this.#strategies.get(slug);
  }

  /** Runs one experiment, or all of them, and waits for the end. @param {string} [id] */
  async runs(id) {
    if (this.running) return this.#tell('lab.busy');
    this.running = id ? { id } : { done: 0, total: 0 };
    this.#tell(id ? 'lab.began.one' : 'lab.began.all', { id });
    const { status, code } = await send(`/classroom/experiments/${id ? `${id}/` : ''}run`, { method: 'POST' });
    if (status === 202) return this.#watch();
    if (status === 200) return this.#ended(id);
    this.running = null;
    if (code !== 'busy') return this.#tell(status ? 'lab.failed' : 'code.unreachable', { status });
    this.running = {};
    this.#tell('lab.busy');
    await this.#watch();
  }

  /** The text of a word in the visitor's language, or the word itself. @param {string} table @param {string} name */
  say(table, name) {
    return this.#words[table]?.[name]?.[language] ?? name;
  }

  /** What an agent of an experiment is called, or does. @param {string} text */
  step(text) {
    const numbers = [];
    const pattern = text.replace(/\d[\dhms]*/g, (number) => {
      numbers.push(span(number));
      return '{n}';
    });
    const korean = this.#words.steps ?? {};
    const form = language === 'ko' ? korean[text] ?? korean[pattern] ?? text : pattern;
    return form.replace(/\{n\}/g, () => numbers.shift());
  }

  /** @param {Text} text */
  text(text) {
    return text[language];
  }

  /** Whether something has been measured. */
  get measured() {
    return [...this.#results.values()].some(({ length }) => length);
  }

  /** Whether the name of a member is a term of the protocol, the same in every language. @param {string} name */
  isTerm(name) {
    const text = this.#words.columns?.[name];
    return !text || text.en === text.ko;
  }

  /** Whether a table has a word. @param {string} table @param {string} name */
  hasWord(table, name) {
    return Boolean(this.#words[table]?.[name]);
  }

  /** Asks how far a run is until it has ended. */
  async #watch() {
    let running;
    do {
      await new Promise((done) => { setTimeout(done, pace); });
      running = await this.#ask();
      this.running = running === null ? this.running : running ?? null; // a run goes on until its results are here
      this.dispatchEvent(new Event('progress'));
    } while (running);
    if (running === null) await this.#ended();
  }

  /** Takes over what a run has found. @param {string} [id] */
  async #ended(id) {
    this.#whole.clear();
    await this.#compare();
    this.running = null;
    const results = [...this.#results].filter(([each]) => !id || each === id).flatMap(([, some]) => some.flatMap((one) => [one, ...one.variants]));
    const surprises = results.filter(({ as_expected: as }) => as === false).length;
    this.#tell(surprises ? 'lab.ended.surprises' : 'lab.ended', { all: results.length, surprises });
    this.dispatchEvent(new Event('change'));
  }

  /** Asks what there is, and returns what runs now: null for nothing, undefined if the server does not say. */
  async #ask() {
    const { status, body } = await send('/classroom/experiments', { method: 'GET' });
    if (status !== 200) return this.#tell(status ? 'lab.failed' : 'code.unreachable', { status });
    this.experiments = body.experiments;
    this.#words = body.words;
    return body.running;
  }

  /** Asks for the report, unless it is still the one that the page has. */
  async #compare() {
    const known = this.#etag && { 'If-None-Match': this.#etag };
    const response = await fetch('/classroom/compare', { headers: { Accept: 'application/json', ...known } }).catch(() => null);
    if (!response?.ok) return; // 304: it is
    this.#etag = response.headers.get('ETag') ?? '';
    const { run, strategies, experiments } = await response.json();
    this.run = run;
    this.#strategies = new Map(strategies.map((strategy) => [strategy.id, strategy]));
    this.#results = new Map(experiments.map(({ id, results }) => [id, results]));
  }

  #tell(key, values = {}) {
    this.told = { key, values };
    this.dispatchEvent(new Event('progress'));
  }
}

/** A number as it stands, or a time as Go writes it ("8h0m0s") as the visitor reads it. */
function span(text) {
  if (!/[hms]/.test(text)) return text;
  const seconds = [...text.matchAll(/(\d+)([hms])/g)].reduce((all, [, count, unit]) => all + count * { h: 3600, m: 60, s: 1 }[unit], 0);
  return duration(seconds * 1000);
}
