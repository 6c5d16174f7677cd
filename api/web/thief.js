/**
 * A thief with copies of the columns' credentials. The server plays the part, as a client that is not this browser: script can neither
 * read an HttpOnly cookie nor send one of its choice, which is what HttpOnly is for.
 */

import { send } from './api.js';
import { copyOf } from './dom.js';
import { markOf } from './table.js';
import { duration, fill, hasWord, number, word } from './words.js';

/** While the learner watches, each copy is tried once in this many milliseconds. */
const pace = 1000;

/**
 * @typedef {object} Copy as POST /{s}/copy describes it
 * @property {string} id
 * @property {string} strategy
 * @property {{bytes: number, value_masked: string}} credential
 * @property {object | null} payload its readable part
 */

/** One copy, what was tried with it, and how long it has outlived the logout of its owner. */
class Loot {
  element = copyOf('copy');
  /** When its owner logged out, and when it last worked and first did not, by the server's clock. */
  #logout = null;
  #worked = null;
  #refused = null;
  #sent = null;
  #page;
  #told = null;

  /**
   * @param {Copy} copy
   * @param {unknown} held what script itself holds, to put it back later
   * @param {import('./page.js').Page} page
   */
  constructor(copy, held, page) {
    this.#page = page;
    this.copy = { ...copy, held };
    this.element.dataset.copyOf = copy.strategy;
    this.#payload.value = JSON.stringify(copy.payload, null, 2) ?? '';
    this.#payload.hidden = !copy.payload;
    this.#find('[data-send]').addEventListener('click', () => this.tamper(this.#edited()));
    this.render();
  }

  get #payload() {
    return this.#find('[data-payload]');
  }

  /** What the learner has written, or nothing if it is no JSON. */
  #edited() {
    try {
      return this.copy.payload && JSON.parse(this.#payload.value);
    } catch {
      return undefined;
    }
  }

  /** Tries the copy as it is, and reads its clock. */
  async use() {
    const answer = await this.#send({ method: 'GET', path: '/profile' });
    if (answer.status !== 200) return;
    const { at, status } = answer.body;
    if (status === 200) [this.#worked, this.#refused] = [at, null];
    else if (status === 401) this.#refused ??= at;
    this.render();
  }

  /** The owner logs out: from now on the clock runs. */
  async ownerLeft() {
    await this.use();
    this.#logout = this.#sent?.at ?? null;
    this.render();
  }

  /** Makes an admin of the thief, if nothing forbids it. */
  forge() {
    return this.tamper({ ...this.copy.payload, role: 'admin' }, '/members');
  }

  /**
   * Sends the copy with another text in it, or with another character where nothing can be read.
   * @param {object | undefined} payload nothing if it is no JSON
   */
  async tamper(payload, path = '/profile') {
    if (payload === undefined) {
      this.#told = 'thief.no_json';
      this.render();
      return;
    }
    await this.#send({ method: 'GET', path, ...(this.copy.payload ? { payload } : { garble: true }) });
  }

  async #send(request) {
    const answer = await send(`/classroom/copies/${this.copy.id}/send`, { method: 'POST', body: request });
    this.#sent = answer.status === 200 ? answer.body : { status: answer.status || '–', body: answer.body };
    this.#told = null;
    this.render();
    const { status, body } = this.#sent;
    this.#page.report({ act: 'thief', status, code: body?.code, path: request.path, after: Boolean(this.#logout), slug: this.copy.strategy });
    return answer;
  }

  render() {
    fill(this.element);
    const { strategy, credential, payload } = this.copy;
    const { status, body } = this.#sent ?? {};
    const texts = {
      copy_of: strategy,
      copy_value: credential.value_masked,
      copy_bytes: word('bytes', { count: number(credential.bytes) }),
      told: status ?? '–',
      told_code: body?.code ?? '',
      life: this.#life(),
      edit_hint: word(payload ? 'thief.edit.text' : 'thief.edit.noise'),
    };
    for (const [field, text] of Object.entries(texts)) this.#find(`[data-field=${field}]`).textContent = text;
    this.#find('[data-field=told_more]').replaceChildren(...(this.#told ? [word(this.#told)] : explained(status, body, {})));
    this.#drawLife();
    this.element.dataset.outcome = !status ? '' : (status < 400 ? 'works' : 'refused');
    this.#payload.ariaLabel = word('thief.edit.label', { slug: strategy });
  }

  /** A line that grows while the copy works after the logout, and ends where it was refused. */
  #drawLife() {
    const until = this.#refused ?? this.#worked;
    const seconds = this.#logout && until ? (new Date(until) - new Date(this.#logout)) / 1000 : 0;
    const line = this.#find('[data-life]');
    line.querySelector('rect').setAttribute('width', String(this.#logout ? Math.max(4, 1000 * Math.log1p(seconds) / Math.log1p(30 * 86400)) : 0));
    line.dataset.state = this.#refused ? 'ended' : 'alive';
  }

  /** How long the copy has outlived the logout. */
  #life() {
    if (!this.#logout) return '';
    const since = (moment) => duration(new Date(moment) - new Date(this.#logout));
    if (!this.#refused) return word('thief.lives', { time: since(this.#worked ?? this.#logout) });
    return word('thief.died', { time: since(this.#refused) });
  }

  /** @returns {any} */
  #find(selector) {
    return this.element.querySelector(selector);
  }
}

/**
 * What came of a stolen or edited credential, with a mark: what opens the login is bad for the user, whatever its status.
 * @param {number | string | undefined} status
 * @param {any} body
 * @param {{edited?: boolean}} how
 * @returns {(string | Node)[]}
 */
export function explained(status, body, { edited }) {
  if (!status) return [word('thief.untried')];
  if (body?.members) return [markOf('bad'), ' ', word('thief.admin', { count: body.members.length })];
  if (body?.state) {
    const text = word(edited ? 'xray.believed' : 'thief.profile', { name: body.user.display_name, role: word(`role.${body.user.role}`), credits: body.state.credits });
    return [markOf('bad'), ' ', text];
  }
  const key = `code.${body?.code}`;
  const mark = status === 401 || status === 403 ? [markOf('good'), ' '] : [];
  return [...mark, edited ? `${status} ` : '', hasWord(key) ? word(key, body) : body?.detail ?? ''];
}

/**
 * @param {HTMLElement} box
 * @param {import('./page.js').Page} page
 */
export function thief(box, page) {
  const list = box.querySelector('[data-copies]');
  const watch = box.querySelector('[data-thief-watch]');
  /** @type {Map<string, Loot>} by strategy */
  const loot = new Map();
  let timer;

  const panel = box.closest('[role=tabpanel]');
  const said = box.querySelector('[data-field=thief_said]');
  const each = (deed) => Promise.all([...loot.values()].map(deed));
  const deeds = {
    copy: async () => {
      const copied = await Promise.all(page.strategies.map(async ({ slug, client }) => {
        const { status, body } = await client.copy();
        if (status === 201) loot.set(slug, new Loot(body, client.keeper.held(), page));
        return status === 201;
      }));
      return copied.some(Boolean) ? 'thief.copied' : 'thief.nothing';
    },
    restore: async () => {
      await Promise.all(page.strategies.map(({ slug, client }) => loot.has(slug) && client.restore(loot.get(slug).copy)));
      await page.lookAgain(page.strategies);
    },
    use: () => each((one) => one.use()),
    forge: () => each((one) => one.forge()),
  };
  /** Key of the word on what the last button came to. */
  let told = '';
  const show = () => {
    const inOrder = page.all.map(({ slug }) => loot.get(slug)).filter(Boolean);
    list.replaceChildren(...inOrder.map((one) => one.element));
    said.textContent = told && word(told);
  };
  const act = async (name) => {
    const result = name === 'copy' || loot.size ? await deeds[name]() : 'thief.none';
    told = typeof result === 'string' ? result : '';
    show();
    if (result === 'thief.copied') page.report({ act: 'copied' });
  };
  /** A quick second click uses what the first one has copied. */
  let turn = Promise.resolve();
  for (const button of box.querySelectorAll('[data-thief-act]')) {
    button.addEventListener('click', async () => {
      box.ariaBusy = 'true';
      const mine = turn.then(() => act(button.dataset.thiefAct));
      turn = mine;
      await mine;
      if (turn === mine) box.ariaBusy = 'false';
    });
  }
  // One try after the other: a busy server is not made busier.
  const again = async () => {
    await deeds.use();
    if (watch.checked && !panel.hidden) timer = setTimeout(again, pace);
  };
  watch.addEventListener('change', () => (watch.checked ? again() : clearTimeout(timer)));
  panel.addEventListener('opened', () => watch.checked && again());
  page.addEventListener('happening', ({ detail: { act, slug, status } }) => {
    if (act === 'logout' && status === 204) loot.get(slug)?.ownerLeft();
  });
  document.addEventListener('words', () => {
    each((one) => one.render());
    show();
  });
}
