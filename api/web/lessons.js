/**
 * The four exercises of the tutorial and five short lessons. A step ticks only when it has been observed, in an answer or on another tab:
 * a learner cannot tick it by hand.
 */

import { element } from './dom.js';
import { recall, remember } from './place.js';
import { word } from './words.js';

/**
 * What a view reports: an act and its answer, or something that was shown.
 * @typedef {object} Happening
 * @property {string} act
 * @property {string} [slug]
 * @property {number} [status]
 * @property {string} [code]
 * @property {boolean} [wasIn] whether this column had been logged in before the act
 */

const login = ({ act, status }) => act === 'login' && status === 200;

/** @type {Record<string, Record<string, (h: Happening) => boolean>>} */
const lessons = {
  tutorial: {
    login,
    profile: ({ act, status }) => act === 'profile' && status === 200,
    // However it ended: by the button, by a cookie deleted in DevTools, or by its time running out.
    end: ({ act, status, wasIn }) => act === 'profile' && status === 401 && wasIn,
    headers: ({ act }) => act === 'headers',
  },
  wall: { login, fill: ({ act, status }) => act === 'cart' && status === 200, full: ({ code }) => code === 'credential_too_large' },
  thief: {
    copied: ({ act }) => act === 'copied',
    logout: ({ act, status }) => act === 'logout' && status === 204,
    dead: ({ act, status }) => act === 'thief' && status === 401,
    alive: ({ act, status, after }) => act === 'thief' && status === 200 && after,
  },
  admin: {
    copied: ({ act }) => act === 'copied',
    refused: ({ act, code }) => act === 'thief' && code === 'bad_signature',
    believed: ({ act, status, path }) => act === 'thief' && status === 200 && path === '/members',
  },
  cache: {
    read: ({ act }) => act === 'cache-hit',
    write: ({ act }) => act === 'cache-write',
    stale: ({ act }) => act === 'cache-stale',
  },
  forged: {
    login,
    unchecked: ({ act, origin_check: checked }) => act === 'settings' && checked === false,
    changed: ({ act }) => act === 'changed-elsewhere',
  },
};

/**
 * @param {HTMLElement} strip
 * @param {import('./page.js').Page} page
 */
export function lessonsOf(strip, page) {
  const list = strip.querySelector('ol');
  const choice = strip.querySelector('select');
  const done = new Set(recall('steps'));
  let [lesson] = recall('lesson');
  if (!lessons[lesson]) lesson = 'tutorial';

  const draw = () => {
    choice.replaceChildren(...Object.keys(lessons).filter((id) => id === 'tutorial' || page.classroom).map((id) => {
      const option = element('option', '', word(`lesson.${id}`));
      option.value = id;
      return option;
    }));
    choice.value = lesson;
    const steps = Object.keys(lessons[lesson]);
    list.replaceChildren(...steps.map(stepView));
    const complete = steps.every((step) => done.has(`${lesson}.${step}`));
    strip.querySelector('[data-field=learned]').textContent = complete ? word(`lesson.${lesson}.learned`) : word(`lesson.${lesson}.how`);
  };
  const stepView = (step) => {
    const ticked = done.has(`${lesson}.${step}`);
    const tick = element('span', 'tick', ticked ? '✓' : '');
    tick.ariaHidden = 'true';
    const item = element('li', '', tick, element('span', '', word(`step.${lesson}.${step}`)), element('span', 'unseen', ` (${word(ticked ? 'step.done' : 'step.open')})`));
    item.dataset.step = step;
    item.dataset.done = String(ticked);
    return item;
  };

  choice.addEventListener('change', () => {
    lesson = choice.value;
    remember('lesson', [lesson]);
    draw();
  });
  page.addEventListener('happening', ({ detail }) => {
    const before = done.size;
    for (const [id, steps] of Object.entries(lessons)) {
      for (const [step, observed] of Object.entries(steps)) if (observed(detail)) done.add(`${id}.${step}`);
    }
    if (done.size === before) return;
    remember('steps', done);
    draw();
  });
  document.addEventListener('words', draw);
  draw();
}
