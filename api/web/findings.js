/** What an experiment has found, in words: every number with its unit, and what is absent with its reason. */

import { element } from './dom.js';
import { markOf } from './table.js';
import { duration, number, word } from './words.js';

const bytes = (count) => word('bytes', { count: number(count) });
const seconds = (count) => duration(count * 1000);
const percent = (count) => word('lab.percent', { count: number(count) });
const of = (all) => (count) => word('lab.of', { count, all });

/** How a number is said, by the member of a result. @type {Record<string, (value: any) => string>} */
const units = {
  bytes_up: bytes, bytes_down: bytes, client_bytes: bytes, server_bytes: bytes, payload: bytes, request_bytes: bytes,
  lived_s: seconds, stale_s: seconds, own_stores: percent, shared_store: percent, devices_out: of(3), same_keys: of(5), new_keys: of(5),
  server_us: ({ p50, p95 }) => word('lab.microseconds', { p50: number(p50), p95: number(p95) }),
};
/** The members that say how far a verdict goes, the first that was measured. */
const telling = ['bytes_up', 'lived_s', 'stale_s', 'devices_out', 'same_keys', 'shared_store', 'payload'];

/** A member of a result, or of its values. @param {import('./laboratory.js').Result} result @param {string} name */
function member(result, name) {
  if (name === 'store_cost') return result.store_reads === null ? null : word('way.cost', { reads: result.store_reads, writes: result.store_writes });
  return result[name] === undefined ? result.values[name] : result[name];
}

/**
 * A value in words.
 * @param {import('./laboratory.js').Laboratory} lab
 * @param {string} name
 * @param {any} value
 */
export function said(lab, name, value) {
  if (Array.isArray(value) && value.length) return (name === 'status' ? value : [...new Set(value)]).map((each) => said(lab, name, each)).join(', ');
  if (units[name] && value !== null) return units[name](value);
  if (typeof value === 'number') return number(value);
  return lab.say(name === 'attack' ? 'marks' : 'values', String(value ?? ''));
}

/** What was found of a member, or why there is nothing. A text that is no word is of the protocol. */
export function found(lab, result, name) {
  const value = member(result, name);
  if (typeof value === 'string' && name !== 'store_cost' && name !== 'attack' && !lab.hasWord('values', value)) return element('code', '', value);
  if (name === 'payload' && result.values.wall === false) return word('lab.at_least', { amount: said(lab, name, value) });
  if (value !== null && value !== undefined) return said(lab, name, value);
  const why = result.why[name === 'store_cost' ? 'store_reads' : name];
  return why && why !== 'not_measured' ? lab.say('why', why) : '–';
}

/** What was expected of a member: a value, or a range of two numbers. */
export function expected(lab, { expected: all }, name) {
  if (!all || !(name in all)) return '';
  const value = all[name];
  if (!Array.isArray(value)) return said(lab, name, value);
  return value[0] === value[1] ? said(lab, name, value[0]) : word('lab.range', { low: said(lab, name, value[0]), high: said(lab, name, value[1]) });
}

/**
 * The verdict: a mark, its word, and the number that says how far.
 * @param {import('./laboratory.js').Laboratory} lab
 * @param {import('./laboratory.js').Result} result
 * @param {string[]} columns
 */
export function verdict(lab, result, columns) {
  const amount = result.attack === 'blocked' ? undefined : telling.find((name) => columns.includes(name) && typeof member(result, name) === 'number');
  const parts = result.mark === 'measured' ? [] : [markOf(result.mark), ' '];
  if (result.error) parts.push(word('lab.error'));
  else if (result.attack !== 'not_applicable') parts.push(`${lab.say('columns', 'attack')} ${lab.say('marks', result.attack)}`);
  else if (result.mark !== 'measured') parts.push(lab.say('marks', result.mark));
  if (amount) parts.push(' ', element('b', '', found(lab, result, amount)));
  if (!parts.length) parts.push(lab.say('marks', result.mark));
  if (result.as_expected === false) parts.push(' ', element('strong', 'surprise', word('lab.surprise')));
  return parts;
}

/** Where a report was made, in the visitor's language. @param {{machine: string}} run */
export function machine({ machine: text }) {
  const [, count, system] = /^(\d+) processors?, (.*)$/.exec(text) ?? [];
  return count ? word('lab.machine', { count, system }) : text;
}
