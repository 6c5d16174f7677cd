/**
 * How a browser application keeps a credential between requests. The transport decides, never the name of a strategy.
 *
 * @typedef {object} Keeper
 * @property {() => {Authorization?: string}} headers what script must add to a request so that it carries the credential
 * @property {(headers: {Authorization?: string}, seen: import('./api.js').Seen | null) => Header | null} carried the header with
 *   which the credential goes, masked: from what script adds, or from what the server has seen
 * @property {string} place key of the word for where script looks for it
 * @property {(from: Document, seen?: import('./api.js').Seen) => string} visible what script could read there, or ''
 * @property {(credential: Credential, begins: boolean) => void} accept takes over what a Login answer says the client must now hold;
 *   `begins` where that is another login
 * @property {number} [login] tells one login from the next, in all tabs; undefined where there is none, or the browser holds it
 * @property {() => void} forget
 * @property {() => object | void} renewal the body of a refresh; nothing if the credential travels by itself
 * @property {() => unknown} held what script itself holds and can put back later; nothing where the browser holds it
 * @property {(held: unknown) => void} putBack
 * @property {boolean} renews whether script itself must renew what has expired
 * @property {boolean} [stored] whether the credential is in localStorage; can be set where script has the choice
 * @property {boolean} [lost] whether a reload has just lost the credential
 *
 * @typedef {object} Credential
 * @property {'cookie' | 'bearer'} kind
 * @property {string} [access_token] of bearer
 * @property {string} [refresh_token] of bearer, at login and refresh
 *
 * @typedef {[name: string, value: string]} Header
 */

import { recall, remember } from './place.js';

/**
 * Enough of a secret to recognise it by, too little to use it.
 * @param {string} secret
 */
export function masked(secret) {
  return `${secret.slice(0, 6)}…${secret.slice(-4)}`;
}

/**
 * The browser stores and sends an HttpOnly cookie. Script cannot read it.
 * @implements {Keeper}
 */
class CookieJar {
  renews = false;
  place = 'cookie';
  headers() { return {}; }
  carried(_, seen) { return seen ? ['Cookie', seen.name ? `${seen.name}=${seen.value_masked}` : '…'] : null; }
  /** Script reads the cookies of its page's path, those of other strategies among them: one may be sent everywhere. */
  visible({ cookie }, seen) { return seen ? cookie.split('; ').find((pair) => pair.startsWith(`${seen.name}=`)) ?? '' : ''; }
  accept() {}
  forget() {}
  renewal() {}
  held() {}
  putBack() {}
}

/**
 * Script stores the tokens and attaches the access token itself: in a variable, which a reload empties, or in localStorage, which
 * survives and which any script that ever runs on this origin can read. The second is here to be looked at, not to be copied.
 * @implements {Keeper}
 */
class TokenKeeper {
  renews;
  /** Whether a reload has just emptied the variable, so that the page can say why it is logged out. */
  lost;
  #slug;
  #name;
  #stored;
  #variable = null;

  /** @param {{slug: string, traits: import('./facts.js').Traits}} column */
  constructor({ slug, traits }) {
    this.renews = traits.refresh_token === 'body';
    this.#slug = slug;
    this.#name = `statelab.${slug}`;
    this.#stored = localStorage.getItem(this.#name) !== null;
    this.lost = !this.#stored && recall('in-a-variable').includes(slug);
  }

  /** Whether the tokens are in localStorage. Setting it moves them. */
  get stored() {
    return this.#stored;
  }

  set stored(wanted) {
    const tokens = this.#tokens;
    this.forget();
    this.#stored = wanted;
    if (tokens) this.#keep(tokens);
  }

  get place() {
    return this.#stored ? 'storage' : 'variable';
  }

  /** localStorage is read at each use, since another tab may have renewed what is there. */
  get #tokens() {
    return this.#stored ? JSON.parse(localStorage.getItem(this.#name)) : this.#variable;
  }

  headers() {
    const tokens = this.#tokens;
    return tokens ? { Authorization: `Bearer ${tokens.access_token}` } : {};
  }

  carried({ Authorization: value }) {
    return value ? ['Authorization', `Bearer ${masked(value.slice('Bearer '.length))}`] : null;
  }

  visible() {
    return this.#tokens?.access_token ?? '';
  }

  held() {
    return this.#tokens;
  }

  get login() {
    return this.#tokens?.login;
  }

  putBack(tokens) {
    this.#keep(tokens);
  }

  renewal() {
    return this.renews ? { refresh_token: this.#tokens?.refresh_token ?? '' } : undefined;
  }

  /** A changed state brings a new access token, and only login and refresh bring a refresh token: otherwise the old one stays. */
  accept({ access_token, refresh_token = this.#tokens?.refresh_token }, begins) {
    const login = begins ? crypto.getRandomValues(new Uint32Array(1))[0] : this.login;
    this.#keep({ access_token, refresh_token, login });
  }

  forget() {
    localStorage.removeItem(this.#name);
    this.#variable = null;
    remember('in-a-variable', recall('in-a-variable').filter((slug) => slug !== this.#slug));
  }

  #keep(tokens) {
    this.lost = false;
    if (this.#stored) {
      localStorage.setItem(this.#name, JSON.stringify(tokens));
    } else {
      this.#variable = tokens;
      remember('in-a-variable', new Set([...recall('in-a-variable'), this.#slug]));
    }
  }
}

/**
 * @param {{slug: string, traits: import('./facts.js').Traits}} column
 * @returns {Keeper}
 */
export function keeperFor(column) {
  return column.traits.transport === 'bearer' ? new TokenKeeper(column) : new CookieJar();
}
