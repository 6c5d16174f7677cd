/**
 * Traits, as the server states them for each strategy, and what follows from them. The page knows no strategy by its name: a column that
 * is added to the server is explained by its traits alone.
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
 * @property {'none' | 'body' | 'cookie'} refresh_token
 * @property {'store' | 'database' | 'process' | 'key' | 'always'} survives_restart
 * @property {boolean} needs_shared_store
 * @property {boolean} needs_shared_key
 * @property {boolean} sent_by_browser
 * @property {number} limit_bytes 0 for no limit
 * @property {number} stale_seconds 0 for never
 */

/**
 * Facts that hold by design: key of a word, and whether it is good or bad for the user.
 * @typedef {{tell: string, mark?: 'good' | 'bad', values?: Record<string, string | number>}} Fact
 * @type {Record<string, (t: Traits) => Fact>}
 */
export const facts = {
  stored: (t) => ({ tell: `stored.${t.holder}${t.holder === 'client' ? `.${t.protected_by}` : ''}` }),
  read: (t) => ({ tell: `read.${t.protected_by}`, mark: t.readable ? 'bad' : 'good' }),
  everywhere: (t) => ({ tell: `everywhere.${everywhere(t)}`, mark: t.everywhere ? 'good' : 'bad' }),
  others: (t) => ({ tell: `others.${t.sent_by_browser}`, mark: t.sent_by_browser ? undefined : 'good' }),
  edits: (t) => ({ tell: `edits.${t.protected_by}`, mark: t.tamper_proof ? 'good' : 'bad' }),
  fixed: (t) => ({ tell: `fixed.${t.renews_id}`, mark: t.renews_id ? 'good' : 'bad' }),
  old_copy: (t) => ({ tell: `old_copy.${t.rollback_proof}`, mark: t.rollback_proof ? 'good' : 'bad' }),
  listed: (t) => ({ tell: `listed.${t.listable}`, mark: t.listable ? 'good' : 'bad' }),
  slides: (t) => ({ tell: `slides.${t.slides}` }),
  restart: (t) => ({ tell: `restart.${t.survives_restart}` }),
  limit: (t) => ({ tell: `limit.${t.limit_bytes > 0}`, values: { limit: t.limit_bytes } }),
  stale: (t) => ({ tell: `stale.${t.stale_seconds > 0}`, mark: t.stale_seconds > 0 ? 'bad' : 'good', values: { seconds: t.stale_seconds } }),
};

function everywhere({ everywhere: able, revocable }) {
  if (!able) return 'never';
  return revocable ? 'once' : 'refresh';
}

/**
 * The three groups in which columns are offered: who stores the state and how the credential travels; how much protects a cookie that
 * carries the state; and what tutorials and libraries do.
 * @param {Traits} traits
 * @returns {'place' | 'protection' | 'wild'}
 */
export function groupOf({ holder, kept_in: keptIn }) {
  if (keptIn === 'process') return 'wild';
  return holder === 'client' && !keptIn ? 'protection' : 'place';
}

/** @type {[when: (t: Traits) => boolean, key: string][]} */
const prices = [
  [(t) => t.holder === 'server', 'pays.store'],
  [(t) => t.protected_by === 'none', 'pays.trust'],
  [(t) => t.holder === 'client', 'pays.bytes'],
  [(t) => t.transport === 'bearer', 'pays.script'],
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
 * The first strategies of the first three kinds (holder and transport): few enough for a projector.
 * @template {{traits: Traits}} C
 * @param {C[]} columns
 * @returns {C[]}
 */
export function oneOfEachKind(columns) {
  const kind = ({ traits }) => `${traits.holder} ${traits.transport}`;
  return columns.filter((column, i) => columns.findIndex((other) => kind(other) === kind(column)) === i).slice(0, 3);
}
