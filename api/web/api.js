/**
 * The contract, as a browser application speaks it. One client per strategy; the acts are the same for all of them, and only the
 * keeper knows how the credential gets into a request.
 */

import { keeperFor } from './keep.js';

/**
 * @typedef {object} Request
 * @property {'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'} method
 * @property {string} path below the strategy's own
 * @property {object} [body]
 * @property {'always' | 'with-state'} [issues] when its answer brings a new credential: always, or where the credential is the state
 * @property {boolean} [bare] whether script adds no credential, because the body is one
 *
 * @typedef {object} Exchange one request and its answer, as far as script can know them
 * @property {Request & {url: string}} request
 * @property {import('./keep.js').Header | null} carried the header the credential went in
 * @property {number} status 0 if there was no answer, or a success that is none of this API
 * @property {string} code of the problem, `unreachable` for an error page that is none of this API; '' for a success
 * @property {object | null} body
 * @property {number} retryAfter seconds to wait before the next try, as Retry-After says; 0 if it says nothing
 * @property {boolean} issued whether the answer brought a new credential
 * @property {boolean} late whether another tab has logged out meanwhile, or begun another login: the answer counts for nothing
 * @property {import('./column.js').Cost | null} cost what the answer says of itself; null if it says nothing
 *
 * @typedef {object} Carried what /inspect says of a credential
 * @property {'cookie' | 'authorization'} in
 * @property {string} name
 * @property {number} bytes
 * @property {string} value_masked
 * @property {object | null} decoded
 * @property {boolean} readable_without_key
 *
 * @typedef {Pick<Carried, 'name' | 'value_masked'>} Seen
 *
 * @typedef {object} Inspection
 * @property {Carried} carried
 * @property {{store: string, bytes: number, record: object} | null} held
 * @property {{store_reads: number, store_writes: number, microseconds: number}} cost
 */

/**
 * What a learner can do, and the request it becomes.
 * @type {Record<string, (fields: {username?: string, password?: string, theme?: string, cart?: string[], state?: any, amount?: number, renewal?: object}) => Request>}
 */
export const acts = {
  login: ({ username, password }) => ({ method: 'POST', path: '/login', body: { username, password }, issues: 'always', bare: true }),
  profile: () => ({ method: 'GET', path: '/profile' }),
  theme: ({ theme }) => ({ method: 'PATCH', path: '/profile', body: { theme }, issues: 'with-state' }),
  cart: ({ cart }) => ({ method: 'PATCH', path: '/profile', body: { cart }, issues: 'with-state' }),
  nickname: ({ nickname }) => ({ method: 'PATCH', path: '/profile', body: { nickname }, issues: 'with-state' }),
  state: ({ state: { theme, language, nickname, note, cart } }) => ({ method: 'PATCH', path: '/profile', body: { theme, language, nickname, note, cart }, issues: 'with-state' }),
  spend: ({ amount = 30 }) => ({ method: 'POST', path: '/spend', body: { amount }, issues: 'with-state' }),
  refresh: ({ renewal }) => ({ method: 'POST', path: '/refresh', body: renewal, issues: 'always', bare: Boolean(renewal) }),
  logout: () => ({ method: 'POST', path: '/logout' }),
};

export class Client {
  /** @type {import('./keep.js').Keeper} */
  keeper;
  /** What the server says about the login that the next request would carry; null when there is none. @type {Inspection | null} */
  inspection = null;
  /** The credential as the server saw it last, though it may have refused it; null when there was none. @type {Seen | null} */
  #seen = null;
  #column;
  /** @type {Promise<Exchange> | undefined} */
  #renewing;

  /** @param {{slug: string, traits: import('./facts.js').Traits}} column */
  constructor(column) {
    this.#column = column;
    this.keeper = keeperFor(column);
  }

  /** The header in which the next request would carry the credential, masked; null if it would carry none. */
  get carries() {
    return this.keeper.carried(this.keeper.headers(), this.#seen);
  }

  /**
   * Does one act and looks at what came of it.
   * @param {string} name of acts
   * @param {object} fields
   * @returns {Promise<Exchange[]>} what went over the wire, in order: more than one exchange if an expired token had to be renewed
   */
  async act(name, fields) {
    const exchanges = name === 'refresh' ? [await this.#renew()] : await this.#send(acts[name](fields));
    await this.#inspect(exchanges.at(-1));
    // A cookie that this page had not seen before: from before a reload, or from another tab.
    const [first] = exchanges;
    if (!first.carried && !first.request.bare && provesCredential(first)) first.carried = this.keeper.carried({}, this.#seen ?? unseen);
    return exchanges;
  }

  /** What a thief would take: the server makes the copy, since script can neither read nor keep an HttpOnly cookie. */
  copy() {
    return send(`/${this.#column.slug}/copy`, { method: 'POST' }, this.keeper.headers());
  }

  /** Puts a copy back. Where script holds the credential, it does so by itself. */
  async restore({ id, held }) {
    if (!held) return send(`/${this.#column.slug}/restore`, { method: 'POST', body: { id } }, {});
    this.keeper.putBack(held);
    return { status: 200, code: '', body: null, cost: null };
  }

  /** Renews once and tries once more when the credential has expired and renewing it is left to script. */
  async #send(request) {
    const { login } = this.keeper, held = this.#held;
    const first = await this.#exchange(request);
    if (first.code !== 'expired' || !this.keeper.renews || login !== this.keeper.login) return [first];
    const exchanges = [first];
    if (held === this.#held) exchanges.push(await this.#renew());
    // A renewal that fails because another tab was faster leaves the newer tokens of that tab.
    if (held !== this.#held && login === this.keeper.login) exchanges.push(await this.#exchange(request));
    return exchanges;
  }

  /**
   * One renewal at a time, whoever asks: a refresh token presented twice looks stolen, and would end the login. Two tabs can still
   * collide; the server allows for that with a short overlap.
   */
  #renew() {
    this.#renewing ??= this.#exchange(acts.refresh({ renewal: this.keeper.renewal() })).finally(() => { this.#renewing = undefined; });
    return this.#renewing;
  }

  /** @returns {Promise<Exchange>} */
  async #exchange(request) {
    const url = `/${this.#column.slug}${request.path}`;
    const headers = request.bare ? {} : this.keeper.headers();
    const carried = this.keeper.carried(headers, this.#seen);
    const { login } = this.keeper, held = this.#held;
    const answer = await send(url, request, headers);
    const issued = answer.body?.credential !== undefined && (request.issues === 'always' || this.#column.traits.holder === 'client');
    const begins = request.path === '/login', late = !begins && login !== this.keeper.login;
    const ended = answer.status === 204 && request.path === '/logout' || endsLogin(answer) && request.path === '/refresh' && held === this.#held;
    if (issued && !late) this.keeper.accept(answer.body.credential, begins);
    else if (ended && !late) this.keeper.forget(); // what another tab has renewed or begun meanwhile stays
    return { request: { ...request, url }, carried, issued, late, ...answer };
  }

  /** What script holds, to see whether another tab has renewed it. */
  get #held() {
    return JSON.stringify(this.keeper.held());
  }

  /**
   * The one thing a page cannot see is the HttpOnly cookie its browser sends. So it asks the server, after each act, and only if
   * there may be something to see.
   * @param {Exchange} last
   */
  async #inspect(last) {
    const looked = last.code === 'no_credential' ? last : await send(`/${this.#column.slug}/inspect`, { method: 'GET' }, this.keeper.headers());
    if (looked.status === 200) {
      this.inspection = looked.body;
      this.#seen = looked.body.carried;
    } else if (endsLogin(looked)) {
      this.inspection = null;
      this.#seen = provesCredential(looked) ? unseen : null;
    } // anything else, such as a server that was stopped, says nothing about the login
  }
}

/** A credential that is there, since the server refused it, but that nobody can show. @type {Seen} */
const unseen = { name: '', value_masked: '' };

/** Whether an answer ends the login: a 401 of the API does, but neither one of a proxy nor a token that is not valid yet. */
export function endsLogin({ status, code }) {
  return status === 401 && code !== 'unreachable' && code !== 'not_yet_valid';
}

/** Whether an answer can only be the answer to a request that carried a credential. */
function provesCredential({ status, code }) {
  return status === 401 ? code !== 'no_credential' : status >= 200 && status < 300;
}

/**
 * One request, as JSON both ways; a server that cannot be reached is an answer like any other. So is a page of a proxy: with its status,
 * or with 0 if it claims a success.
 * @param {string} url
 * @param {{method: string, body?: object}} request
 * @param {Record<string, string>} [headers]
 */
export async function send(url, { method, body }, headers = {}) {
  const type = body && { 'Content-Type': 'application/json' };
  try {
    const response = await fetch(url, {
      method,
      headers: { Accept: 'application/json', ...type, ...headers },
      body: body && JSON.stringify(body),
      credentials: 'same-origin', // the default, and the whole of what a page does for cookies
      cache: 'no-store',
    });
    const text = await response.text();
    const answer = parsed(text);
    const success = response.status === 204 || (response.ok && answer !== null);
    return {
      status: response.ok && !success ? 0 : response.status,
      code: success ? '' : answer?.code ?? 'unreachable',
      body: answer,
      retryAfter: Number(response.headers.get('Retry-After')) || 0,
      cost: costOf(response.headers.get('Server-Timing')),
    };
  } catch {
    return { status: 0, code: 'unreachable', body: null, retryAfter: 0, cost: null };
  }
}

/** What is no JSON object, such as the error page of a proxy, has no code of ours. */
function parsed(text) {
  try {
    const answer = JSON.parse(text);
    return typeof answer === 'object' ? answer : null;
  } catch {
    return null;
  }
}

/**
 * The cost that an answer states: `auth;dur=0.1, store;desc="1 read, 0 writes";dur=0.02, handler;dur=0.3`.
 * @param {string | null} timing
 * @returns {import('./column.js').Cost | null}
 */
export function costOf(timing) {
  const counts = /(\d+) reads?, (\d+) writes?/.exec(timing ?? '');
  if (!counts) return null;
  const times = [...timing.matchAll(/dur=([\d.]+)/g)].map(([, duration]) => Number(duration));
  return { reads: Number(counts[1]), writes: Number(counts[2]), milliseconds: times.reduce((all, each) => all + each, 0) };
}
