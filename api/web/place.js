/**
 * Where the visitor is. What a teacher may want to share (language, columns shown, a box that is open) stands in the URL's hash; what concerns this visit
 * only (steps done) is kept in history.state, which a reload keeps and a shared link leaves behind. Neither is sent to the server.
 */

/**
 * @typedef {object} Place
 * @property {string} [lang] the language chosen; absent until the visitor chooses
 * @property {string[]} [shown] slugs of the columns shown; absent for the page's own choice
 * @property {string} [open] the box that a link opens: one below the panels, such as "thief", or one in each panel, such as "inside"
 * @property {string} [cell] the experiment that is open, alone or with a strategy: "E07", "E07.cookie"
 * @property {string[]} [need] what the visitor needs of a strategy
 * @property {string} [of] "all" when the experiments are shown for all strategies
 */

/** @returns {Place} */
export function readPlace() {
  const hash = new URLSearchParams(location.hash.slice(1));
  const one = (name) => hash.get(name) ?? undefined;
  return { lang: one('lang'), shown: one('s')?.split(','), open: one('open'), cell: one('cell'), need: one('need')?.split(','), of: one('of') };
}

/** @param {Place} change */
export function changePlace(change) {
  history.replaceState(history.state, '', hashOf({ ...readPlace(), ...change }));
}

/**
 * Written by hand, since URLSearchParams would turn each comma into %2C.
 * @param {Place} place
 */
export function hashOf({ lang, shown, open, cell, need, of }) {
  const parts = [
    lang && `lang=${lang}`, shown && `s=${shown.join(',')}`, open && `open=${open}`, cell && `cell=${cell}`, need?.length && `need=${need.join(',')}`, of && `of=${of}`,
  ];
  return `#${parts.filter(Boolean).join('&')}`;
}

/**
 * @param {string} name
 * @returns {string[]}
 */
export function recall(name) {
  return history.state?.[name] ?? [];
}

/**
 * @param {string} name
 * @param {Iterable<string>} values
 */
export function remember(name, values) {
  history.replaceState({ ...history.state, [name]: [...values] }, '');
}
