/**
 * The page of one strategy, at /{slug}/. Its cookie's path is this address, so document.cookie here is what script can really read. In
 * a frame of the page at / it shows nothing of its own: the frame is there for its cookies.
 */

import { curls } from './curls.js';
import { Page } from './page.js';
import { Table } from './table.js';
import { masked } from './keep.js';
import { number, word } from './words.js';

document.documentElement.classList.toggle('framed', self !== top);
const page = new Page();
const [column] = page.all;
new Table(document.querySelector('.board table'), page);
curls(document.querySelector('.curl'), page);

function render() {
  const { traits, client: { inspection, keeper } } = column;
  document.querySelector('[data-about]').textContent = word(`about.${traits.protected_by}.${traits.transport}`);
  document.querySelector('[data-inspection]').textContent = inspection ? JSON.stringify(inspection, null, 2) : word('inspect.none');
  const visible = keeper.visible(document, inspection?.carried);
  document.querySelector('[data-field=script_place]').textContent = word(`place.${keeper.place}`);
  document.querySelector('[data-field=script_sees]').textContent = visible
    ? word('sees.all', { value: masked(visible), length: number(visible.length) })
    : word(inspection ? 'sees.nothing_httponly' : 'sees.nothing');
}

page.addEventListener('change', render);
document.addEventListener('words', render);
page.speakAsAsked();
page.show([column.slug]);
