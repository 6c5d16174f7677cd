/**
 * A panel that is no strategy: theme and cart in localStorage alone. It does what the others do as far as that goes without a server,
 * which hears nothing of it.
 */

import { copyOf, setIcon } from './dom.js';
import { factView } from './panel.js';
import { fill, word } from './words.js';

const name = 'statelab.local';
const fresh = { theme: 'light', cart: [] };

export class LocalPanel {
  element = copyOf('panel');
  /** Key of the word on what the last act came to. */
  #said = 'local.waiting';

  /** @param {() => void} onHide */
  constructor(onHide) {
    this.element.dataset.strategy = 'localStorage';
    this.element.dataset.holder = 'client';
    this.element.querySelector('.more').remove();
    this.#find('[data-hide]').addEventListener('click', onHide);
    // Another tab of this browser writes to the same place.
    addEventListener('storage', () => this.render());
    this.render();
  }

  get #state() {
    return JSON.parse(localStorage.getItem(name)) ?? fresh;
  }

  /**
   * @param {string} act
   * @param {{theme: string, cart: string[]}} fields
   */
  async act(act, { theme, cart }) {
    const change = { theme: { theme }, cart: { cart } }[act];
    if (change) localStorage.setItem(name, JSON.stringify({ ...this.#state, ...change }));
    this.#said = change ? 'local.kept' : 'local.nobody';
    this.element.dataset.outcome = change ? 'done' : '';
    this.render();
    return { slug: 'localStorage', status: 0, code: '' };
  }

  async resume() {
    this.render();
  }

  /** Shows everything in the language spoken now. */
  render() {
    fill(this.element);
    const { theme, cart } = this.#state;
    const texts = {
      slug: 'localStorage', tagline: word('local.tagline'), status: '–', code: '', sentence: word(this.#said), user: '–', role: '',
      theme, credits: '–', version: '–', expires: word('local.ever'), carried: word('local.carried'), bytes_up: '0', reads: '0',
      writes: '0', held: word('held.nothing'), wall: word('local.cart', { count: cart.length }), pays: word('pays.local'),
    };
    for (const [field, text] of Object.entries(texts)) this.#find(`[data-field=${field}]`).textContent = text;
    this.#find('[data-hide]').ariaLabel = word('panel.hide', { slug: 'localStorage' });
    this.#find('.profile').dataset.theme = theme;
    setIcon(this.#find('[data-icon=holder]'), 'bag');
    this.#find('[data-facts]').replaceChildren(...['holds', 'reads', 'edits'].map(
      (ask, i) => factView({ ask, tell: `${ask}.local`, icon: ['bag', 'eye', 'pencil'][i] }),
    ));
  }

  #find(selector) {
    return this.element.querySelector(selector);
  }
}
