/** The last act as curl lines, one for each column, to paste one after the other. */

import { curl } from './curl.js';
import { copyOf, copyText } from './dom.js';
import { fill, word } from './words.js';

/**
 * @param {HTMLElement} box
 * @param {import('./page.js').Page} page
 */
export function curls(box, page) {
  const draw = () => {
    box.querySelector('[data-curl-act]').textContent = word(`act.${page.lastAct}`);
    box.querySelector('[data-curl]').replaceChildren(...page.strategies.map((column) => lineOf(column.slug, curl(column, page.lastAct, page.curlFields))));
  };
  page.addEventListener('change', draw);
  page.addEventListener('columns', draw);
  document.addEventListener('words', draw);
}

/** A line for a terminal with a button that copies it. @param {string} slug @param {string} text */
export function lineOf(slug, text) {
  const line = copyOf('curl-line');
  fill(line);
  line.dataset.curlFor = slug;
  const code = line.querySelector('code');
  code.textContent = text;
  const button = line.querySelector('button');
  button.addEventListener('click', async () => {
    button.textContent = word(await copyText(code) ? 'copied' : 'copy.by_hand');
  });
  return line;
}
