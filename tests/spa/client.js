/**
 * statelab from another origin: one client for each of two ways to hold a login. `session` leaves it to the browser, which keeps a
 * cookie that script cannot read; `token` holds two tokens in memory, where nothing that reads storage finds them, and where a reload
 * loses them. Copy this file; nothing in it knows the page.
 *
 * @typedef {object} Profile
 * @property {{id: string, username: string, display_name: string, role: string}} user
 * @property {{theme: string, credits: number}} state
 * @property {number} version
 *
 * @typedef {object} Ask
 * @property {'GET' | 'PATCH' | 'POST'} method
 * @property {string} path below the strategy's own
 * @property {object} [body]
 * @property {Record<string, string>} [headers]
 * @property {boolean} [bare] whether the body is the credential, or asks for one
 *
 * @typedef {object} Answer
 * @property {number} status
 * @property {Headers} headers those that the server exposes
 * @property {object | null} body
 */

/** A refusal, as the server explains it (RFC 9457); status 0 if there was no answer that this page may read. */
export class Problem extends Error {
  /**
   * @param {{title: string, detail: string, code: string, request_id?: string}} body
   * @param {number} status
   * @param {Headers} headers
   */
  constructor({ title, detail, code, request_id: requestId = '' }, status = 0, headers = new Headers()) {
    super(title);
    this.detail = detail;
    this.code = code;
    this.requestId = requestId;
    this.status = status;
    /** Seconds to wait before another try; 0 if the server asks for none. */
    this.retryAfter = Number(headers.get('Retry-After'));
  }
}

/** What both ways have in common. */
class Client {
  #base;
  #heard;
  /** How often the credential was renewed. A refusal of an older one says nothing about the login. */
  #renewals = 0;
  /** @type {Promise<void> | null} */
  #renewing = null;
  /** The last profile and its validator. @type {{etag: string, profile: Profile} | null} */
  #known = null;

  /**
   * @param {string} base where the strategy is: http://localhost:8080/session
   * @param {(ask: Ask, answer: Answer) => void} heard is told of every answer
   */
  constructor(base, heard) {
    this.#base = base;
    this.#heard = heard;
  }

  /** Whether there may be a login. Only a request can tell. */
  get mayBeIn() { return true; }

  async login(username, password) {
    return this.#keep(await this.#exchange({ method: 'POST', path: '/login', body: { username, password }, bare: true }));
  }

  /**
   * The profile; it travels only if it is another than the last time. That is worth it where profiles are long: the leave to send a
   * validator to another origin is one that Chromium does not remember.
   */
  async profile() {
    const known = this.#known;
    const answer = await this.#send({ method: 'GET', path: '/profile', headers: known ? { 'If-None-Match': known.etag } : {} });
    return answer.status === 304 ? known.profile : this.#keep(answer);
  }

  /** Changes the profile that was read last, and no other: 412 `version_mismatch` if it has changed meanwhile. */
  async change(patch) {
    const headers = this.#known ? { 'If-Match': this.#known.etag } : {};
    return this.#keep(await this.#send({ method: 'PATCH', path: '/profile', body: patch, headers }));
  }

  /** One renewal at a time, whoever asks: a refresh token that is presented twice looks stolen. */
  refresh() {
    this.#renewing ??= this.#exchange(this.renewal())
      .then((answer) => { this.#renewals += 1; this.#keep(answer); })
      .catch((problem) => { throw this.#ended(problem); })
      .finally(() => { this.#renewing = null; });
    return this.#renewing;
  }

  /** Ends the login. If that fails, it is still there, and so is what is needed to try again. */
  async logout() {
    await this.#renewing?.catch(() => {}); // its answer would bring the login back
    await this.#exchange(this.farewell());
    this.#forget();
  }

  /**
   * Sends a request with the credential, and once more if the credential was out of date: because it has expired, or because it was
   * renewed while the request was under way. Nothing has happened on the server then, so that even a PATCH can be repeated.
   * @param {Ask} ask
   */
  async #send(ask) {
    await this.#renewing?.catch(() => {});
    const renewals = this.#renewals;
    try {
      return await this.#exchange(ask);
    } catch (problem) {
      const outdated = this.#renewing !== null || renewals !== this.#renewals;
      if (problem.status !== 401 || !outdated && !this.canRenew(problem)) throw this.#ended(problem);
      if (renewals === this.#renewals) await this.refresh();
      return this.#exchange(ask).catch((again) => { throw this.#ended(again); });
    }
  }

  /**
   * One request and its answer, or its problem. The server says itself that nothing is to be stored; with `cache: 'no-store'` Chromium
   * would ask for leave each time.
   * @param {Ask} ask
   * @returns {Promise<Answer>}
   */
  async #exchange(ask) {
    const { method, path, body, headers, bare = false } = ask;
    const type = body && { 'Content-Type': 'application/json' };
    let response;
    try {
      response = await fetch(this.#base + path, {
        ...this.carry(bare, { ...type, ...headers }), method, body: body && JSON.stringify(body),
      });
    } catch {
      // Script is told no more: a server that is gone and an origin that is not allowed look the same.
      throw new Problem({ title: 'No answer', detail: `Is it running, with --allow-origin ${location.origin}?`, code: 'unreachable' });
    }
    const text = await response.text();
    const answer = { status: response.status, headers: response.headers, body: text ? JSON.parse(text) : null };
    this.#heard(ask, answer);
    if (response.ok || response.status === 304) return answer;
    throw new Problem(answer.body, answer.status, answer.headers);
  }

  /** Keeps the profile and the credential of an answer. @returns {Profile} */
  #keep({ headers, body }) {
    const { credential, ...profile } = body;
    if (credential) this.accept(credential);
    this.#known = { etag: headers.get('ETag'), profile };
    return profile;
  }

  /** Forgets a login that a problem has ended: only a 401 does, and never an outage. @param {Problem} problem */
  #ended(problem) {
    if (problem.status === 401) this.#forget();
    return problem;
  }

  #forget() {
    this.#known = null;
    this.drop();
  }
}

/** The browser keeps the login, in a cookie of the API's site: this page must be of that site, too, which any port of its host is. */
export class SessionClient extends Client {
  carry(_bare, headers) { return { headers, credentials: 'include' }; }
  renewal() { return { method: 'POST', path: '/refresh' }; }
  farewell() { return { method: 'POST', path: '/logout' }; }
  canRenew() { return false; } // a session that has expired is gone
  accept() {}
  drop() {}
}

/** Script keeps the login, in fields that nothing else can reach, and sends it in a header that no other site can add. */
export class TokenClient extends Client {
  #access = '';
  #refresh = '';

  get mayBeIn() { return this.#refresh !== ''; }

  carry(bare, headers) { return { headers: bare || !this.#access ? headers : { ...headers, Authorization: `Bearer ${this.#access}` }, credentials: 'omit' }; }
  renewal() { return { method: 'POST', path: '/refresh', body: { refresh_token: this.#refresh }, bare: true }; }
  farewell() { return { method: 'POST', path: '/logout', body: { refresh_token: this.#refresh }, bare: true }; } // works with an access token that has expired
  canRenew({ code }) { return code === 'expired' && this.mayBeIn; }

  accept({ access_token: access, refresh_token: refresh }) {
    this.#access = access;
    this.#refresh = refresh ?? this.#refresh; // a change of the state brings an access token only
  }

  drop() { this.#access = this.#refresh = ''; }
}
