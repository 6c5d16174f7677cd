/**
 * A thief with copies of what the panels hold. The server plays the part, as a client that is not this browser: script can neither read
 * an HttpOnly cookie nor send one of its choice, which is what HttpOnly is for.
 */

import { send } from './api.js';
import { copyOf } from './dom.js';
import { duration, fill, hasWord, number, word } from './words.js';

/** While somebody watches, each copy is tried so often, in milliseconds. */
const pace = 1000;

/**
 * @typedef {object} Copy as POST /{s}/copy tells of it
 * @property {string} id
 * @property {string} strategy
 * @property {{bytes: number, value_masked: string}} credential
 * @property {object | null} payload what anybody can read in it
 */

/** One copy, what was tried with it, and how long it has outlived the logout of its owner. */
class Loot {
  element = copyOf('copy');
  /** When its owner logged out, and when it last worked and first did not, by the server's clock. */
  #logout = null;
  #worked = null;
  #refused = null;
  #sent = null;
  #told = null;

  /**
   * @param {Copy} copy
   * @param {unknown} held what script itself holds, to put it back later
   */
  constructor(copy, held) {
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
    return answer;
  }

  render() {
    fill(this.element);
    const { strategy, credential, payload } = this.copy;
    const { status, body } = this.#sent ?? {};
    const code = body?.code ?? '';
    const texts = {
      copy_of: strategy,
      copy_value: credential.value_masked,
      copy_bytes: `${number(credential.bytes)} ${word('unit.bytes')}`,
      told: status ?? '–',
      told_code: code,
      told_more: this.#told ? word(this.#told) : told(status, code, body),
      life: this.#life(),
      edit_hint: word(payload ? 'thief.edit.text' : 'thief.edit.noise'),
    };
    for (const [field, text] of Object.entries(texts)) this.#find(`[data-field=${field}]`).textContent = text;
    this.element.dataset.outcome = !status ? '' : (status < 400 ? 'works' : 'refused');
    this.#payload.ariaLabel = word('thief.edit.label', { slug: strategy });
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

function told(status, code, body) {
  if (!status) return word('thief.untried');
  if (body?.members) return word('thief.admin', { count: body.members.length });
  if (body?.state) return word('thief.profile', { name: body.user.display_name, credits: body.state.credits });
  return hasWord(`code.${code}`) ? word(`code.${code}`) : body?.detail ?? '';
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

  const each = (deed) => Promise.all([...loot.values()].map(deed));
  const deeds = {
    copy: () => Promise.all(page.strategies.map(async ({ slug, client }) => {
      const { status, body } = await client.copy();
      if (status === 201) loot.set(slug, new Loot(body, client.keeper.held()));
    })),
    restore: async () => {
      await Promise.all(page.strategies.map(({ slug, client }) => loot.has(slug) && client.restore(loot.get(slug).copy)));
      await page.lookAgain();
    },
    use: () => each((one) => one.use()),
    forge: () => each((one) => one.forge()),
  };
  const show = () => {
    const inOrder = page.columns.map(({ slug }) => loot.get(slug)).filter(Boolean);
    list.replaceChildren(...inOrder.map((one) => one.element));
  };
  for (const button of box.querySelectorAll('[data-thief-act]')) {
    button.addEventListener('click', async () => {
      box.ariaBusy = 'true';
      await deeds[button.dataset.thiefAct]();
      show();
      box.ariaBusy = 'false';
    });
  }
  // One try after the other: a busy server is not made busier.
  const again = async () => {
    await deeds.use();
    if (watch.checked && box.open) timer = setTimeout(again, pace);
  };
  watch.addEventListener('change', () => (watch.checked ? again() : clearTimeout(timer)));
  box.addEventListener('toggle', () => box.open && watch.checked && again());
  page.panels.addEventListener('happening', ({ target, detail: { act, status } }) => {
    if (act === 'logout' && status === 204) loot.get(target.dataset.strategy)?.ownerLeft();
  });
  document.addEventListener('words', () => each((one) => one.render()));
}
