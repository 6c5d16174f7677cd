/** The page at /: panels side by side, columns to add, and the steps of the tutorial. */

import { caches } from './caches.js';
import { watch } from './checklist.js';
import { copyOf } from './dom.js';
import { inbox } from './inbox.js';
import { levers } from './levers.js';
import { LocalPanel } from './local.js';
import { Page } from './page.js';
import { changePlace, readPlace } from './place.js';
import { thief } from './thief.js';
import { oneOfEachKind } from './traits.js';
import { word } from './words.js';

const page = new Page();
const first = oneOfEachKind(page.columns).map((column) => column.slug);
page.columns.push({ slug: 'localStorage', makePanel: (hide) => new LocalPanel(hide) });
const more = document.querySelector('[data-columns-more]');

/** @param {string[]} slugs */
function choose(slugs) {
  changePlace({ shown: page.columns.map((column) => column.slug).filter((slug) => slugs.includes(slug)) });
  showAsAsked();
}

/** Shows the columns of the URL, or the first of each kind. */
function showAsAsked() {
  const { shown } = readPlace();
  const known = page.columns.filter((column) => shown?.includes(column.slug));
  page.show(known.length ? known.map((column) => column.slug) : first);
  offer();
}

/** One button for each column that is not shown. */
function offer() {
  const hidden = page.columns.filter((column) => !page.shown.includes(column.slug));
  more.replaceChildren(...hidden.map(({ slug }) => {
    const button = copyOf('column-more');
    button.dataset.add = slug;
    button.textContent = word('columns.add', { slug });
    button.addEventListener('click', () => {
      choose([...page.shown, slug]);
      page.panel(slug).element.querySelector('a[href], button').focus();
    });
    return button;
  }));
}

page.panels.addEventListener('hide', ({ detail }) => {
  choose(page.shown.filter((slug) => slug !== detail));
  more.querySelector(`[data-add="${detail}"]`).focus();
});
for (const [name, open] of Object.entries({ caches, thief, inbox, levers })) {
  const box = document.querySelector(`[data-${name}]`);
  if (box) open(box, page); // a classroom has them
}
document.addEventListener('words', offer);
addEventListener('hashchange', showAsAsked);
watch(document.querySelector('.steps ol'), page.panels);
showAsAsked();
