/**
 * The rows of the table: what is asked of every column, and how its cell answers. A row is measured (from the answers of the last act) or
 * holds by design (from the traits).
 */

import { facts, payments } from './facts.js';
import { duration, hasWord, number, time, word } from './words.js';

/**
 * @typedef {object} Cell
 * @property {Record<string, string>} fields text by the name of its field, in order
 * @property {'good' | 'bad'} [mark] for the user
 * @property {number} [bar] bytes, drawn on the scale that all columns share
 * @property {string} [value] what is compared with the cell before an act
 * @property {boolean} [code] whether the text is a value of the protocol
 * @property {boolean} [lift] whether the cell offers to lift the lock after wrong passwords
 * @property {boolean} [trust] whether the cell offers to keep the token in localStorage
 *
 * @typedef {object} Row
 * @property {string} id key of its words
 * @property {'measured' | 'design'} kind
 * @property {boolean} [more] shown on demand only
 * @property {string} [opens] the tab that shows it in detail
 * @property {(column: import('./column.js').Column) => Cell} cell
 */

/** @type {Row[]} */
export const rows = [
  { id: 'answer', kind: 'measured', cell: answer },
  designed('stored'),
  { id: 'sent', kind: 'measured', opens: 'charts', cell: sent },
  { id: 'credential', kind: 'measured', opens: 'xray', cell: credential },
  { id: 'cost', kind: 'measured', opens: 'wire', cell: cost },
  { id: 'kept', kind: 'measured', cell: kept },
  designed('read', { opens: 'xray' }),
  { id: 'copy', kind: 'design', opens: 'attacker', cell: copy },
  designed('everywhere'),
  designed('others', { opens: 'attacker' }),
  { id: 'time', kind: 'measured', more: true, cell: milliseconds },
  { id: 'until', kind: 'measured', more: true, cell: until },
  { id: 'version', kind: 'measured', more: true, cell: version },
  { id: 'script', kind: 'design', more: true, opens: 'xray', cell: script },
  designed('edits', { more: true, opens: 'xray' }),
  designed('fixed', { more: true }),
  designed('old_copy', { more: true, opens: 'attacker' }),
  designed('listed', { more: true }),
  designed('slides', { more: true }),
  designed('restart', { more: true, opens: 'levers' }),
  designed('limit', { more: true, opens: 'charts' }),
  designed('stale', { more: true }),
  { id: 'pays', kind: 'design', more: true, cell: pays },
];

/** @returns {Row} */
function designed(id, more = {}) {
  return {
    id,
    kind: 'design',
    ...more,
    cell: ({ client, traits }) => {
      if (!client) return local(id);
      const { tell, mark, values = {} } = facts[id](traits);
      const shown = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, number(value)]));
      return { fields: { [id]: word(tell, shown) }, mark };
    },
  };
}

/** What a column without a server says. */
function local(id) {
  return { fields: { [id]: hasWord(`local.${id}`) ? word(`local.${id}`) : '–' } };
}

function answer({ client, profile, last, used, note, noteValues, mayBeIn, spared, state, said }) {
  if (!client) return { fields: { sentence: word(said), theme: word(`theme.${state.theme}`), cart: items(state) } };
  if (!last && !spared) return { fields: { sentence: word(mayBeIn ? 'waiting' : 'start') } };
  const fields = spared ? { status: '–' } : { status: String(last.status || '–'), code: last.code };
  if (profile) {
    const { user, state: { theme, credits } } = profile;
    Object.assign(fields, { user: user.display_name, role: user.role === 'admin' ? word('role.admin') : '', theme: word(`theme.${theme}`), credits: word('credits', { count: number(credits) }), cart: items(profile.state) });
  }
  if (spared) fields.sentence = word('spared', { slug: spared });
  else if (last.code || !profile) fields.sentence = sentence(last, used);
  if (note) fields.note = word(note, noteValues);
  return { fields, lift: !spared && last.code === 'too_many_attempts' };
}

function items({ cart }) {
  return cart.length ? word('items', { count: number(cart.length) }) : '';
}

/** One sentence about an answer without a profile. */
function sentence(last, used) {
  if (!used && last.code === 'no_credential') return word('start');
  const key = last.code ? `code.${last.code}` : `done.${last.status}`;
  return hasWord(key) ? word(key, readable(last)) : last.body?.title ?? '';
}

/** The values of a problem, with the seconds to wait where there are some. */
function readable({ body, retryAfter = 0 }) {
  return { ...body, wait: duration(retryAfter * 1000) };
}

function sent({ bytes }) {
  if (bytes === null) return { fields: { bytes_up: '–' } };
  return { fields: { bytes_up: word('bytes', { count: number(bytes) }) }, bar: bytes, value: word('bytes', { count: number(bytes) }) };
}

function credential({ client, traits }) {
  if (!client) return local('credential');
  const carried = client.carries;
  if (!carried) return { fields: { carried: word(`carried.none.${traits.transport}`) } };
  return { fields: { carried: carried.join(': ') }, code: true, value: '' };
}

function cost({ cost: spent }) {
  if (!spent) return { fields: { reads: '–', writes: '' } };
  return { fields: { reads: number(spent.reads), writes: number(spent.writes) } };
}

function milliseconds({ cost: spent }) {
  return { fields: { time: spent ? word('milliseconds', { count: number(Number(spent.milliseconds.toPrecision(2))) }) : '–' } };
}

function kept({ client, traits }) {
  if (!client) return local('kept');
  if (!client.inspection) return { fields: { held: '–' } };
  const { held } = client.inspection;
  if (!held) return { fields: { held: word('held.nothing') }, value: word('held.nothing') };
  const bytes = word('bytes', { count: number(held.bytes) });
  const why = traits.holder === 'client' ? [word('held.refresh')] : [];
  return { fields: { held: bytes, store: [word(`store.${held.store}`), ...why].join(', ') }, value: bytes };
}

/** How long a copy works after its owner has logged out: known once there is a login, whose answers state its times. */
function copy({ client, traits, life }) {
  if (!client) return local('copy');
  if (traits.revocable) return { fields: { copy: word('copy.dead') }, mark: 'good' };
  if (!traits.expires) return { fields: { copy: word('copy.ever') }, mark: 'bad' };
  return { fields: { copy: life ? word('copy.works', { time: duration(life) }) : word('copy.expires') }, mark: 'bad' };
}

function until({ client, profile }) {
  return client ? { fields: { expires: profile ? time(profile.expires_at) : '–' } } : local('until');
}

/** The version that If-Match is compared with: it grows with every change of the state. */
function version({ client, profile }) {
  return client ? { fields: { version: profile ? number(profile.version) : '–' } } : local('version');
}

function script({ client, traits }) {
  if (!client) return local('script');
  const { keeper } = client;
  const readableByScript = !traits.http_only;
  return {
    fields: { script: word(readableByScript ? `script.${keeper.place}` : 'script.none') },
    mark: readableByScript ? 'bad' : 'good',
    trust: 'stored' in keeper,
  };
}

function pays({ client, traits }) {
  if (!client) return { fields: { pays: word('pays.local') } };
  return { fields: { pays: payments(traits).map((key) => word(key)).join(' ') } };
}
