/** "I need …": which strategies satisfy a need, and which experiment excludes the others. It reads results, and no traits. */

/**
 * A need has the experiment that decides it, and a test of its result.
 * @type {Record<string, {id: string, met: (result: import('./laboratory.js').Result, credential: {where: string}) => boolean}>}
 */
export const needs = {
  logout: { id: 'E07', met: ({ attack }) => attack === 'blocked' },
  storeless: { id: 'E01', met: ({ server_bytes: bytes }) => bytes === 0 },
  large: { id: 'E18', met: ({ values: { wall, payload } }) => wall === false || payload > 4096 },
  nodes: { id: 'E16', met: ({ values: { own_stores: own, shared_store: shared } }) => own === 100 || shared === 100 },
  csrf: { id: 'E11', met: ({ attack, why }) => attack === 'not_applicable' && why.attack === 'bearer' },
  mobile: { id: 'E01', met: (_, { where }) => where.startsWith('Authorization') },
};

/**
 * @param {import('./laboratory.js').Laboratory} lab
 * @param {string[]} chosen
 * @param {string[]} slugs
 */
export function choose(lab, chosen, slugs) {
  /** The needs whose experiment has not run. */
  const open = chosen.filter((need) => !lab.results(needs[need].id).length);
  /** Why each strategy is excluded. @type {Map<string, string[]>} */
  const excluded = new Map();
  for (const slug of slugs) {
    const unmet = chosen.filter((need) => !open.includes(need) && !isMet(lab, need, slug));
    if (unmet.length) excluded.set(slug, unmet);
  }
  return { open, excluded, left: slugs.filter((slug) => !excluded.has(slug)) };
}

function isMet(lab, need, slug) {
  const result = lab.result(needs[need].id, slug);
  return Boolean(result) && needs[need].met(result, lab.strategy(slug).credential);
}
