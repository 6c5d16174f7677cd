/**
 * The four steps of the tutorial that learners come from, ticked when they have really happened. Nobody can click a tick.
 */

import { recall, remember } from './place.js';
import { word } from './words.js';

/**
 * What a panel reports: an act and its last answer, or "headers" when the wire view was opened.
 * @typedef {object} Happening
 * @property {string} act
 * @property {number} [status]
 * @property {boolean} [wasIn] whether this panel had been logged in before the act
 */

/** @type {Record<string, (h: Happening) => boolean>} */
const steps = {
  login: ({ act, status }) => act === 'login' && status === 200,
  profile: ({ act, status }) => act === 'profile' && status === 200,
  // However it ended: by the button, by a cookie deleted in DevTools, or by its time running out.
  end: ({ act, status, wasIn }) => act === 'profile' && status === 401 && wasIn,
  headers: ({ act }) => act === 'headers',
};

/**
 * Watches what bubbles up from the panels and ticks the list. A reload keeps the ticks, since reloading is part of the lesson.
 * @param {HTMLElement} list its items name their step in data-step
 * @param {EventTarget} panels
 */
export function watch(list, panels) {
  const done = new Set(recall('steps'));
  const render = () => {
    for (const item of list.querySelectorAll('[data-step]')) {
      const ticked = done.has(item.dataset.step);
      item.dataset.done = String(ticked);
      item.querySelector('[data-step-state]').textContent = word(ticked ? 'step.done' : 'step.open');
    }
  };
  panels.addEventListener('happening', ({ detail }) => {
    for (const [step, happened] of Object.entries(steps)) if (happened(detail)) done.add(step);
    remember('steps', done);
    render();
  });
  document.addEventListener('words', render);
  render();
}
