/**
 * Traits, as the server states them for each strategy, turned into questions and answers. Everything the page says about a strategy
 * comes from here: a column nobody has heard of yet is explained by its traits alone.
 */

/**
 * @typedef {object} Traits
 * @property {'server' | 'client'} holder
 * @property {'store' | 'database' | 'process' | ''} kept_in
 * @property {'cookie' | 'bearer'} transport
 * @property {'none' | 'signature' | 'encryption' | 'randomness'} protected_by
 * @property {boolean} readable
 * @property {boolean} tamper_proof
 * @property {boolean} rollback_proof
 * @property {boolean} revocable
 * @property {boolean} listable
 * @property {boolean} everywhere
 * @property {boolean} slides
 * @property {boolean} http_only
 * @property {boolean} same_site
 * @property {boolean} strict_id
 * @property {boolean} renews_id
 * @property {boolean} expires
 * @property {boolean} versioned
 * @property {'store' | 'database' | 'process' | 'key' | 'always'} survives_restart
 * @property {boolean} needs_shared_store
 * @property {boolean} needs_shared_key
 * @property {boolean} sent_by_browser
 * @property {number} limit_bytes 0 for no limit
 * @property {number} stale_seconds 0 for never
 */

/**
 * @typedef {object} Question
 * @property {string} id key of the question's words, and first part of the key of each answer
 * @property {(t: Traits) => unknown} answer second part of that key
 * @property {(t: Traits) => string} icon
 */

/** @type {Question[]} */
const questions = [
  { id: 'holds', answer: (t) => t.holder, icon: (t) => (t.holder === 'server' ? 'house' : 'bag') },
  { id: 'reads', answer: (t) => t.protected_by, icon: (t) => (t.readable ? 'eye' : 'eye-off') },
  { id: 'edits', answer: (t) => t.protected_by, icon: (t) => (t.tamper_proof ? 'seal' : 'pencil') },
  { id: 'sends', answer: (t) => t.sent_by_browser, icon: () => 'path' },
  { id: 'old_copy', answer: (t) => t.rollback_proof, icon: () => 'clock' },
  { id: 'ends', answer: (t) => t.revocable, icon: () => 'door' },
  { id: 'listed', answer: (t) => t.listable, icon: () => 'eye' },
  { id: 'slides', answer: (t) => t.slides, icon: () => 'clock' },
  { id: 'restart', answer: (t) => t.survives_restart, icon: () => 'servers' },
  { id: 'limit', answer: (t) => t.limit_bytes > 0, icon: () => 'path' },
  { id: 'stale', answer: (t) => t.stale_seconds > 0, icon: () => 'servers' },
];

/** The three questions every panel answers: who holds it, who can read it, who can edit it. */
export const headline = ['holds', 'reads', 'edits'];

/**
 * @param {Traits} traits
 * @param {string[]} [ids] the questions wanted; all of them if absent
 * @returns {{ask: string, tell: string, icon: string}[]} keys of words, and the name of an icon
 */
export function facts(traits, ids = questions.map((question) => question.id)) {
  return questions
    .filter((question) => ids.includes(question.id))
    .map(({ id, answer, icon }) => ({ ask: id, tell: `${id}.${answer(traits)}`, icon: icon(traits) }));
}

/** @type {[when: (t: Traits) => boolean, key: string][]} */
const prices = [
  [(t) => t.holder === 'server', 'pays.store'],
  [(t) => t.protected_by === 'none', 'pays.trust'],
  [(t) => t.holder === 'client' && t.transport === 'cookie', 'pays.cookie'],
  [(t) => t.transport === 'bearer', 'pays.bearer'],
  [(t) => !t.revocable, 'pays.copy'],
  [(t) => t.stale_seconds > 0, 'pays.stale'],
];

/**
 * What a strategy pays with. There is always something: none of them wins.
 * @param {Traits} traits
 * @returns {string[]} keys of words
 */
export function payments(traits) {
  return prices.filter(([when]) => when(traits)).map(([, key]) => key);
}

/**
 * The strategy in one line: who holds the state, and how it travels.
 * @param {Traits} traits
 * @returns {string[]} keys of words
 */
export function tagline({ holder, transport }) {
  return [`tagline.${holder}`, `tagline.${transport}`];
}

/**
 * The first strategy of each kind (holder and transport): few enough for a projector, and all that is needed to see the difference.
 * @template {{traits: Traits}} C
 * @param {C[]} columns
 * @returns {C[]}
 */
export function oneOfEachKind(columns) {
  const kind = ({ traits }) => `${traits.holder} ${traits.transport}`;
  return columns.filter((column, i) => columns.findIndex((other) => kind(other) === kind(column)) === i);
}
