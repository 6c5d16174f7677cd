/**
 * A column that is no strategy: theme and cart in localStorage alone. It does what the others do as far as that goes without a server,
 * which learns nothing of it.
 */

const name = 'statelab.local';
const fresh = { theme: 'light', cart: [] };

export class LocalColumn {
  slug = 'localStorage';
  /** No server, so no client: what needs one leaves this column out. */
  client = null;
  traits = { holder: 'client', transport: 'local', protected_by: 'local' };
  exchanges = [];
  act = [];
  cost = { reads: 0, writes: 0, milliseconds: 0 };
  sizes = new Map();
  bytes = 0;
  used = false;
  note = '';
  /** Key of the word on what the last act came to. */
  said = 'local.said.waiting';

  mayBeIn = true;

  get state() {
    return JSON.parse(localStorage.getItem(name)) ?? fresh;
  }

  /**
   * @param {string} act
   * @param {{theme: string, cart: string[]}} fields
   */
  async does(act, { theme, cart }) {
    const change = { theme: { theme }, cart: { cart } }[act];
    if (change) localStorage.setItem(name, JSON.stringify({ ...this.state, ...change }));
    this.used ||= Boolean(change);
    this.said = change ? 'local.said.kept' : 'local.said.nothing';
    this.sizes.set(this.state.cart.length, 0);
    return { act, slug: this.slug, status: 0, code: '' };
  }

  async resume() {
    return { act: 'resume', slug: this.slug };
  }
}
