/** Which columns are shown: three at first, the others by a menu in three groups. The address has the choice. */

import { element } from './dom.js';
import { groupOf, oneOfEachKind } from './facts.js';
import { changePlace, readPlace } from './place.js';
import { hasWord, word } from './words.js';

const groups = ['place', 'protection', 'wild'];

/**
 * @param {HTMLElement} menu
 * @param {import('./page.js').Page} page
 */
export function columnsMenu(menu, page) {
  const first = oneOfEachKind(page.all.filter((column) => column.client)).map(({ slug }) => slug);
  const list = menu.querySelector('[data-columns-more]');

  /** @param {string[]} slugs */
  const choose = (slugs) => {
    changePlace({ shown: page.all.map(({ slug }) => slug).filter((slug) => slugs.includes(slug)) });
    showAsAsked();
  };
  /** Shows the columns of the address, or the first of each kind. */
  const showAsAsked = () => {
    const known = readPlace().shown?.filter((slug) => page.column(slug)) ?? [];
    const wanted = known.length ? known : first;
    if (wanted.join() !== page.shown.map(({ slug }) => slug).join()) page.show(wanted);
    draw();
  };
  const shownSlugs = () => page.shown.map(({ slug }) => slug);
  const draw = () => list.replaceChildren(...groups.map((group) => groupView(group)));
  const groupView = (group) => element(
    'fieldset', '', element('legend', '', word(`group.${group}`)),
    ...page.all.filter((column) => (column.client ? groupOf(column.traits) : 'place') === group).map(choiceView),
  );
  const choiceView = ({ slug }) => {
    const box = element('input', '');
    box.type = 'checkbox';
    box.checked = shownSlugs().includes(slug);
    box.dataset.add = slug;
    box.addEventListener('change', () => {
      const slugs = box.checked ? [...shownSlugs(), slug] : shownSlugs().filter((each) => each !== slug);
      if (slugs.length) choose(slugs);
      list.querySelector(`[data-add="${slug}"]`).focus();
    });
    return element('label', '', box, ' ', element('code', '', slug), ' ', element('span', 'hint', hasWord(`column.${slug}`) ? word(`column.${slug}`) : ''));
  };

  menu.querySelector('[data-all]').addEventListener('click', () => choose(page.all.map(({ slug }) => slug)));
  menu.querySelector('[data-first]').addEventListener('click', () => choose(first));
  menu.addEventListener('keydown', ({ key }) => {
    if (key !== 'Escape' || !menu.open) return;
    menu.open = false;
    menu.querySelector('summary').focus();
  });
  document.addEventListener('click', ({ target }) => {
    if (!menu.contains(target)) menu.open = false;
  });
  page.addEventListener('hide', ({ detail }) => {
    const slugs = shownSlugs().filter((slug) => slug !== detail);
    if (slugs.length) choose(slugs);
    menu.querySelector('summary').focus();
  });
  document.addEventListener('words', draw);
  addEventListener('hashchange', showAsAsked);
  return showAsAsked;
}
