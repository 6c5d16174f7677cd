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

/** How long an answer may take, in milliseconds. The server answers within a few seconds; a proxy may never answer. */
const patience = 15_000;

/** The codes of a 401 that end a login. Any other 401 says nothing about it: a wrong password, a clock, or a page of a proxy's own. */
const endings = new Set(['no_credential', 'unknown_session', 'bad_signature', 'expired', 'revoked', 'reuse_detected']);

/**
 * A refusal, as the server explains it (RFC 9457). Codes that no server sends: `unreachable` with status 0 if there was no answer that
 * this page may read, `unreadable` if the answer is not one of this API, and `superseded` if it belongs to an earlier login.
 */
export class Problem extends Error {
  /**
   * @param {{title?: string, detail?: string, code: string, request_id?: string}} body
   * @param {number} status
   * @param {Headers} headers
   */
  constructor({ title = 'Refused', detail = '', code, request_id: requestId = '' }, status = 0, headers = new Headers()) {
    super(title);
    this.detail = detail;
    this.code = code;
    this.requestId = requestId;
    this.status = status;
    /** Seconds to wait before another try; 0 if the server asks for none. */
    this.retryAfter = secondsOf(headers.get('Retry-After'));
  }
}

/** Retry-After has seconds, or a date as some proxies write it. */
function secondsOf(value) {
  return Number(value) || Math.max(0, Math.ceil((Date.parse(value) - Date.now()) / 1000)) || 0;
}

/** An answer that this API does not give: the HTML page of a proxy, an empty body, or one that was cut. */
function unreadable(status, headers) {
  const detail = `A proxy may have sent it, with the status ${status}.`;
  return new Problem({ title: 'Not an answer of the API', detail, code: 'unreadable' }, status, headers);
}

function superseded() {
  return new Problem({ title: 'Dropped', detail: 'The answer belongs to an earlier login.', code: 'superseded' });
}

/** What the client knows about one login. Each request belongs to one, and its answer counts only as long as the client has that one. */
class Login {
  /** How often the credential was renewed. A refusal of an older one says nothing about the login. */
  renewals = 0;
  /** @type {Promise<void> | null} */
  renewing = null;
  /** The last profile and its validator. @type {{etag: string | null, profile: Profile} | null} */
  known = null;
}

/** What both ways have in common. */
class Client {
  #base;
  #heard;
  #login = new Login();
  /** How often the user has asked to log in or out: of several requests that are under way, the last one counts. */
  #wishes = 0;
  /** @type {Promise<unknown> | null} */
  #entering = null;
  /** @type {Promise<unknown> | null} */
  #leaving = null;

  /**
   * @param {string} base where the strategy is: http://localhost:8080/session
   * @param {(ask: Ask, answer: Answer) => void} [heard] is told of every answer
   */
  constructor(base, heard = () => {}) {
    this.#base = base;
    this.#heard = heard;
  }

  /** Whether there may be a login. Only a request can tell. */
  get mayBeIn() { return true; }

  /** Begins a login. One from before goes on until the new one has begun: a wrong password ends nothing. */
  async login(username, password) {
    const wish = ++this.#wishes;
    // A cookie that comes late would replace that of the new login.
    await Promise.allSettled([this.#leaving, this.ambient && this.#entering, this.ambient && this.#login.renewing]);
    this.#entering = this.#exchange({ method: 'POST', path: '/login', body: { username, password }, bare: true });
    const answer = await this.#entering;
    if (wish !== this.#wishes) {
      const unwanted = answer.body?.credential?.refresh_token; // it must not stay valid without an owner
      if (unwanted) this.#exchange(this.farewell(unwanted)).catch(() => {});
      throw superseded();
    }
    if (!answer.body?.user) throw unreadable(answer.status, answer.headers);
    this.#forget();
    return this.#keep(answer, this.#login);
  }

  /**
   * The profile; it travels only if it is another than the last time. That is worth it where profiles are long: the leave to send a
   * validator to another origin is one that Chromium does not remember.
   */
  async profile() {
    const login = this.#login, { known } = login;
    const headers = known?.etag ? { 'If-None-Match': known.etag } : {};
    const answer = await this.#send({ method: 'GET', path: '/profile', headers }, login);
    return known && answer.status === 304 ? known.profile : this.#keep(answer, login);
  }

  /**
   * Changes the profile that was read last, and no other: 412 `version_mismatch` if it has changed meanwhile. A proxy that compresses
   * makes the tag weak (`W/"…"`) or changes it, and no If-Match with such a tag succeeds. The profile is then read again, and changed
   * without If-Match only if it is still the same version.
   */
  async change(patch) {
    const login = this.#login, { known } = login;
    const ask = { method: 'PATCH', path: '/profile', body: patch };
    if (!known?.etag) return this.#keep(await this.#send(ask, login), login);
    let mismatch = new Problem({ title: 'Changed meanwhile', detail: 'Read the profile again.', code: 'version_mismatch' }, 412);
    if (!known.etag.startsWith('W/')) {
      try {
        return this.#keep(await this.#send({ ...ask, headers: { 'If-Match': known.etag } }, login), login);
      } catch (problem) {
        if (problem.status !== 412) throw problem;
        mismatch = problem;
      }
    }
    const { body } = await this.#send({ method: 'GET', path: '/profile' }, login);
    if (body?.version !== known.profile.version) throw mismatch;
    return this.#keep(await this.#send(ask, login), login);
  }

  /** One renewal at a time, whoever asks: a refresh token that is presented twice looks stolen. */
  refresh() { return this.#renew(this.#login); }

  #renew(login) {
    login.renewing ??= this.#exchange(this.renewal(), login)
      .then((answer) => { this.#keep(answer, login); login.renewals += 1; })
      .catch((problem) => { throw this.#ended(problem, login); })
      .finally(() => { login.renewing = null; });
    return login.renewing;
  }

  /** Ends the login. If that fails, it is still there, and so is what is needed to try again. */
  logout() {
    this.#wishes += 1;
    this.#leaving = this.#leave(this.#login);
    return this.#leaving;
  }

  async #leave(login) {
    await Promise.allSettled([login.renewing, this.ambient && this.#entering]); // an answer would bring the login back
    if (login !== this.#login || !this.mayBeIn) return;
    await this.#exchange(this.farewell()).catch((problem) => { if (!this.ends(problem)) throw problem; });
    if (login === this.#login) this.#forget();
  }

  /**
   * Sends a request with the credential, and once more if the credential was out of date: because it has expired, or because it was
   * renewed while the request was under way. Nothing has happened on the server then, so that even a PATCH can be repeated.
   * @param {Ask} ask
   * @param {Login} login
   */
  async #send(ask, login) {
    await login.renewing?.catch(() => {});
    const { renewals } = login;
    try {
      return await this.#exchange(ask, login);
    } catch (problem) {
      const outdated = login.renewing !== null || renewals !== login.renewals;
      if (problem.status !== 401 || !outdated && !this.canRenew(problem)) throw this.#ended(problem, login);
      if (renewals === login.renewals) await this.#renew(login);
      return this.#exchange(ask, login).catch((again) => { throw this.#ended(again, login); });
    }
  }

  /**
   * One request and its answer, or its problem. The server says itself that nothing is to be stored; with `cache: 'no-store'` Chromium
   * would ask for leave each time.
   * @param {Ask} ask
   * @param {Login} [login] that it belongs to; without one, the caller judges the answer
   * @returns {Promise<Answer>}
   */
  async #exchange(ask, login) {
    this.#current(login);
    const { method, path, body, headers, bare = false } = ask;
    const type = body && { 'Content-Type': 'application/json' };
    let response;
    try {
      response = await fetch(this.#base + path, {
        ...this.carry(bare, { ...type, ...headers }), method, body: body && JSON.stringify(body), signal: AbortSignal.timeout(patience),
      });
    } catch {
      this.#current(login);
      // Script is told no more: a server that is gone and an origin that is not allowed look the same.
      const allowing = globalThis.location ? `, with --allow-origin ${location.origin}` : '';
      throw new Problem({ title: 'No answer', detail: `Is it running${allowing}?`, code: 'unreachable' });
    }
    const answer = { status: response.status, headers: response.headers, body: await objectOf(response) };
    this.#heard(ask, answer);
    this.#current(login);
    if (response.status === 204 || response.status === 304 || response.ok && answer.body) return answer;
    if (response.ok || typeof answer.body?.code !== 'string') throw unreadable(answer.status, answer.headers);
    throw new Problem(answer.body, answer.status, answer.headers);
  }

  /** Drops an answer of another login than the one that the client has. @param {Login} [login] */
  #current(login) {
    if (login && login !== this.#login) throw superseded();
  }

  /** Keeps the profile and the credential of an answer. @returns {Profile} */
  #keep({ status, headers, body }, login) {
    this.#current(login);
    const { credential, ...profile } = body ?? {};
    if (!profile.user) throw unreadable(status, headers);
    const late = login.known?.profile.version > profile.version; // what was asked for later has been answered before
    if (credential && (!late || credential.refresh_token)) this.accept(credential);
    if (!late) login.known = { etag: headers.get('ETag'), profile };
    return profile;
  }

  /** Whether a problem ends the login: no outage does, and of the refusals only some. @param {Problem} problem */
  ends({ status, code }) { return status === 401 && endings.has(code); }

  /** Forgets a login that a problem has ended. @param {Problem} problem */
  #ended(problem, login) {
    if (login === this.#login && this.ends(problem)) this.#forget();
    return problem;
  }

  #forget() {
    this.#login = new Login();
    this.drop();
  }
}

/** The JSON object of an answer, or null if it has none. @param {Response} response */
async function objectOf(response) {
  try {
    const body = JSON.parse(await response.text());
    return typeof body === 'object' ? body : null;
  } catch {
    return null;
  }
}

/** The browser keeps the login, in a cookie of the API's site: this page must be of that site, too, which any port of its host is. */
export class SessionClient extends Client {
  carry(_bare, headers) { return { headers, credentials: 'include' }; }
  renewal() { return { method: 'POST', path: '/refresh' }; }
  farewell() { return { method: 'POST', path: '/logout' }; }
  get ambient() { return true; } // the browser keeps each cookie that comes
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
  /** It works with an access token that has expired. */
  farewell(refresh = this.#refresh) { return { method: 'POST', path: '/logout', body: { refresh_token: refresh }, bare: true }; }
  get ambient() { return false; } // what comes late is dropped
  canRenew(problem) { return this.mayBeIn && this.ends(problem); } // the refresh token may outlive the keys, too
  ends(problem) { return super.ends(problem) && problem.code !== 'no_credential'; } // a proxy may have taken the header away

  accept({ access_token: access, refresh_token: refresh }) {
    this.#access = access;
    this.#refresh = refresh ?? this.#refresh; // a change of the state brings an access token only
  }

  drop() { this.#access = this.#refresh = ''; }
}
