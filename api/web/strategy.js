/**
 * The page of one strategy, at /{slug}/. Its cookie's path is this address, so document.cookie here is what script can really read:
 * the difference between what script sees, what the browser sends and what the server holds is the strategy.
 */

import { masked } from './keep.js';
import { Page } from './page.js';
import { factView, heldText } from './panel.js';
import { facts } from './traits.js';
import { number, word } from './words.js';

const page = new Page();
const [{ slug, traits }] = page.columns;

function render() {
  const { inspection, carries, keeper } = page.panel(slug).client;
  document.querySelector('[data-about]').textContent = word(`about.${traits.protected_by}.${traits.transport}`);
  const find = (field) => document.querySelector(`[data-field=${field}]`);
  const visible = keeper.visible();
  find('script_place').textContent = word(`place.${keeper.place}`);
  find('script_sees').textContent = visible
    ? word('sees.all', { value: masked(visible), length: number(visible.length) })
    : word(inspection ? 'sees.nothing_httponly' : 'sees.nothing');
  find('browser_sends').textContent = carries?.join(': ') ?? word(`carried.none.${traits.transport}`);
  find('server_holds').textContent = heldText(inspection);
  document.querySelector('[data-all-facts]').replaceChildren(
    ...facts(traits).map((fact) => factView(fact, { limit: number(traits.limit_bytes) })),
  );
  document.querySelector('[data-inspection]').textContent = inspection ? JSON.stringify(inspection, null, 2) : word('inspect.none');
}

page.panels.addEventListener('happening', render);
document.addEventListener('words', render);
page.show([slug]);
render();
