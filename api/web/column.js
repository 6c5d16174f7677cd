/**
 * One strategy on the page: its client, what it answered last, and what that cost. A column knows no elements; the views draw it.
 */

import { Client, endsLogin } from './api.js';
import { number } from './words.js';

/** As many exchanges as it takes to see a login begin and end. */
const exchangesKept = 6;

/**
 * @typedef {object} Cost what an act has cost, by the answers' own Server-Timing
 * @property {number} reads of the store
 * @property {number} writes
 * @property {number} milliseconds on the server
 */

export class Column {
  client;
  /** The newest profile that an answer brought, until the login has ended. @type {any} */
  profile = null;
  /** Newest first. @type {import('./api.js').Exchange[]} */
  exchanges = [];
  /** The exchanges of the last act, in order. @type {import('./api.js').Exchange[]} */
  act = [];
  /** Cost of the last act; null before the learner has done something. @type {Cost | null} */
  cost = null;
  /** Whether the learner has done something here: before, a 401 is the start and not a refusal. */
  used = false;
  wasIn = false;
  /** Slug of the column whose refusal spared this one a login with a wrong password; '' if it was asked. */
  spared = '';
  /** For how long a credential is valid, in milliseconds, as the last login said; 0 before. */
  life = 0;
  /** Pairs of items in the cart and bytes per request, as they were seen. @type {Map<number, number>} */
  sizes = new Map();
  /** Key of a remark, or '', and the values in it. */
  note = '';
  noteValues = {};

  /** @param {{slug: string, traits: import('./facts.js').Traits}} definition */
  constructor({ slug, traits }) {
    this.slug = slug;
    this.traits = traits;
    this.client = new Client({ slug, traits });
  }

  /** Whether an earlier visit may have left a login: without one, asking would only be a 401. */
  get mayBeIn() {
    return this.client.keeper.lost || localStorage.getItem(this.#mark) !== null;
  }

  /** Where this browser remembers that it logged in here. The cookie itself is hidden from script. */
  get #mark() {
    return `statelab.in.${this.slug}`;
  }

  /** The last answer, if there was one. */
  get last() {
    return this.exchanges[0];
  }

  /** Bytes that the next request would carry as its credential; null if the page cannot know. */
  get bytes() {
    const { inspection, carries } = this.client;
    return inspection?.carried.bytes ?? (carries ? null : 0);
  }

  /**
   * Does an act.
   * @param {string} name of acts in api.js
   * @param {object} fields
   */
  async does(name, fields) {
    this.used = true;
    this.spared = '';
    const exchanges = await this.#perform(name, fields);
    this.act = exchanges;
    this.cost = total(exchanges);
    const { status, code } = exchanges.at(-1);
    const wasIn = this.wasIn;
    this.wasIn ||= status === 200;
    return { act: name, slug: this.slug, status, code, wasIn, carried: exchanges.some((exchange) => exchange.carried) };
  }

  /**
   * Notes that a login was not sent here, because another column has refused it: each wrong password counts against the account.
   * @param {string} by slug of that column
   */
  spare(by) {
    this.spared = by;
    this.act = [];
    this.cost = null;
    this.note = '';
  }

  /** Asks for the profile, after something other than an act may have changed it. Its cost is not shown as the cost of an act. */
  async resume() {
    const exchanges = await this.#perform('profile', {});
    this.wasIn = exchanges.at(-1).status === 200;
    if (!this.act.length) this.act = exchanges;
    return { act: 'resume', slug: this.slug };
  }

  /**
   * Logs in again and puts the state back, after a forged request has changed them. Its cost is not shown as the cost of an act.
   * @param {{username: string, password: string}} fields
   * @param {any} state as it was
   */
  async revive(fields, state) {
    await this.#perform('login', fields);
    if (!this.profile) return;
    await this.#perform('state', { state });
    const amount = this.profile.state.credits - state.credits;
    if (amount > 0) await this.#perform('spend', { amount });
  }

  async #perform(name, fields) {
    const exchanges = await this.client.act(name, fields);
    const last = exchanges.at(-1);
    this.exchanges = [...exchanges.toReversed(), ...this.exchanges].slice(0, exchangesKept);
    if (last.body?.state && !last.late) this.profile = last.body;
    else if (last.late || !this.client.inspection) this.profile = null;
    this.life = lifeOf(last.body, this.client.inspection?.carried.decoded?.claims) ?? this.life;
    if (this.profile && this.bytes) this.sizes.set(this.profile.state.cart.length, this.bytes);
    if (this.client.inspection) localStorage.setItem(this.#mark, '');
    else if (endsLogin(last) || last.status === 204) localStorage.removeItem(this.#mark);
    this.#remark(last);
    return exchanges;
  }

  /** @param {import('./api.js').Exchange} last */
  #remark({ status, body, request }) {
    const told = body?.credential;
    const dropped = told?.kind === 'cookie' && this.client.inspection && this.client.inspection.carried.bytes !== told.bytes;
    this.noteValues = dropped ? { bytes: number(told.bytes) } : {};
    if (this.client.keeper.lost && !this.used) this.note = 'note.reloaded';
    else if (dropped) this.note = 'note.dropped';
    else if (status === 204 && request.path === '/logout' && !this.traits.revocable) this.note = 'note.copy';
    else this.note = '';
  }
}

/**
 * The life of a credential in milliseconds. An access token states its own, in the answer or, in a cookie, in its claims; every other
 * credential ends with the login. The answer rounds it down by a moment, which shows in minutes and not in seconds.
 */
function lifeOf(body, claims) {
  const seconds = body?.credential?.expires_in ?? (body?.credential && claims && claims.exp - claims.iat);
  const unit = seconds < 60 ? 1 : 60;
  if (seconds) return Math.ceil(seconds / unit) * unit * 1000;
  return body?.credential ? new Date(body.expires_at) - new Date(body.issued_at) : undefined;
}

/**
 * @param {import('./api.js').Exchange[]} exchanges
 * @returns {Cost | null}
 */
function total(exchanges) {
  const costs = exchanges.map((exchange) => exchange.cost).filter(Boolean);
  if (!costs.length) return null;
  const sum = (name) => costs.reduce((all, cost) => all + cost[name], 0);
  return { reads: sum('reads'), writes: sum('writes'), milliseconds: sum('milliseconds') };
}
