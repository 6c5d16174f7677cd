/**
 * The words of the page, in two languages. Both tables are loaded at once, so that the switch is instant and works even when the
 * server has been stopped, which learners here do on purpose.
 */

export const languages = ['en', 'ko'];

/** @type {Record<string, Record<string, string>>} */
const tables = Object.fromEntries(
  await Promise.all(languages.map(async (name) => [name, await (await fetch(`/web/words/${name}.json`)).json()])),
);

/** The language spoken now; the server has already rendered the document in one. */
export let language = document.documentElement.lang;

/**
 * Switches the document and tells whoever has rendered words ("words" on document) to do it again.
 * @param {string} name
 */
export function speak(name) {
  language = name;
  document.documentElement.lang = name;
  fill(document);
  document.dispatchEvent(new Event('words'));
}

/** The first language of the visitor that the page speaks. */
export function preferred() {
  return navigator.languages.map((tag) => tag.slice(0, 2).toLowerCase()).find((tag) => languages.includes(tag)) ?? 'en';
}

/**
 * The text of a key, with {name} replaced by values.name. A key without text is returned as it is, and seen.
 * @param {string} key
 * @param {Record<string, string | number>} [values]
 */
export function word(key, values = {}) {
  return (tables[language][key] ?? key).replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}

/** @param {string} key */
export function hasWord(key) {
  return key in tables[language];
}

/** @param {number} n */
export function number(n) {
  return new Intl.NumberFormat(language).format(n);
}

/**
 * The time of a moment, with its day where an hour alone would be taken for one of today.
 * @param {string} timestamp RFC 3339
 */
export function time(timestamp) {
  const moment = new Date(timestamp);
  const day = moment - Date.now() < 24 * 60 * 60 * 1000 ? {} : { month: 'numeric', day: 'numeric' };
  return new Intl.DateTimeFormat(language, { ...day, hour: '2-digit', minute: '2-digit' }).format(moment);
}

/**
 * A span of time in its two largest units.
 * @param {number} milliseconds
 */
export function duration(milliseconds) {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  const parts = [['day', Math.floor(seconds / 86400)], ['hour', Math.floor(seconds / 3600) % 24], ['minute', Math.floor(seconds / 60) % 60], ['second', seconds % 60]];
  const first = parts.findIndex(([, count]) => count > 0);
  const shown = first < 0 ? parts.slice(-1) : parts.slice(first, first + 2).filter(([, count], i) => !i || count);
  return shown.map(([unit, count]) => new Intl.NumberFormat(language, { style: 'unit', unit, unitDisplay: 'short' }).format(count)).join(' ');
}

/**
 * Puts the words into every element that names a key: data-word for its text, data-word-label for its accessible name.
 * @param {ParentNode} root
 */
export function fill(root) {
  for (const named of root.querySelectorAll('[data-word]')) named.textContent = word(named.dataset.word);
  for (const named of root.querySelectorAll('[data-word-label]')) named.ariaLabel = word(named.dataset.wordLabel);
}
