/**
 * The page of one strategy, at /{slug}/. Its cookie's path is this address, so document.cookie here is what script can really read. In
 * a frame of the page at / it shows only what the server says: the rest is around it already.
 */

import { Page } from './page.js';
import { factView } from './panel.js';
import { facts } from './traits.js';
import { number, word } from './words.js';

document.documentElement.classList.toggle('framed', self !== top);
const page = new Page();
const [{ slug, traits }] = page.columns;

function render() {
  const { inspection } = page.panel(slug).client;
  document.querySelector('[data-about]').textContent = word(`about.${traits.protected_by}.${traits.transport}`);
  document.querySelector('[data-all-facts]').replaceChildren(
    ...facts(traits).map((fact) => factView(fact, { limit: number(traits.limit_bytes), seconds: number(traits.stale_seconds) })),
  );
  document.querySelector('[data-inspection]').textContent = inspection ? JSON.stringify(inspection, null, 2) : word('inspect.none');
}

page.panels.addEventListener('happening', render);
document.addEventListener('words', render);
page.show([slug]);
page.panel(slug).element.querySelector('[data-views]').open = true;
render();
