/** The page at /: the table, the columns that can be added to it, the lessons, and the tabs below. */

import { caches } from './caches.js';
import { charts } from './charts.js';
import { columnsMenu } from './columns.js';
import { experiments } from './experiments.js';
import { forged } from './forged.js';
import { inbox } from './inbox.js';
import { lessonsOf } from './lessons.js';
import { levers } from './levers.js';
import { Page } from './page.js';
import { Table } from './table.js';
import { Tabs } from './tabs.js';
import { thief } from './thief.js';
import { wire } from './wire.js';
import { word } from './words.js';
import { xray } from './xray.js';

const page = new Page();
const board = document.querySelector('.board');
const table = new Table(board.querySelector('table'), page);

const more = board.querySelector('[data-more]');
more.addEventListener('click', () => {
  board.dataset.all = String(board.dataset.all !== 'true');
  sayMore();
});
function sayMore() {
  const all = board.dataset.all === 'true';
  more.ariaExpanded = String(all);
  more.textContent = word(all ? 'facts.fewer' : 'facts.more');
}

for (const [name, open] of Object.entries({ wire, experiments, xray, charts, caches, thief, forged, inbox, levers })) {
  const box = document.querySelector(`[data-${name}]`);
  if (box) open(box, page); // a service has no attacker and no levers
}
lessonsOf(document.querySelector('.lessons'), page);
const showAsAsked = columnsMenu(document.querySelector('.menu'), page);
document.addEventListener('words', sayMore);

// Back from another tab of the browser: what a forged request has changed there is seen here.
document.addEventListener('visibilitychange', async () => {
  if (document.visibilityState !== 'visible') return;
  const before = new Map(page.strategies.map(({ slug, profile }) => [slug, profile && `${profile.state.credits} ${profile.version}`]));
  await page.lookAgain();
  for (const { slug, profile } of page.strategies) {
    const now = profile && `${profile.state.credits} ${profile.version}`;
    if (before.get(slug) && before.get(slug) !== now) page.report({ act: 'changed-elsewhere', slug });
  }
});

page.speakAsAsked();
showAsAsked();
new Tabs().openAsAsked();
table.draw();
