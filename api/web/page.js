/**
 * The one state that both documents draw: the columns, which of them are shown, and the acts that drive them all. Views listen:
 * "columns" when others are shown, "acting" before an act, "change" when something is to be drawn again (with the act, if one caused
 * it), and "happening" for each column's part of it.
 */

import { send } from './api.js';
import { Column } from './column.js';
import { copyOf, element } from './dom.js';
import { LocalColumn } from './local.js';
import { changePlace, hashOf, readPlace } from './place.js';
import { language, languages, preferred, speak, word } from './words.js';

/** So many that a cookie is full after a few clicks. */
const itemsAtOnce = 10;

export class Page extends EventTarget {
  /** Every column of this document, in the server's order, with what is no strategy last. */
  all;
  /** Whether this is the page of one strategy. */
  single;
  /** @type {Column[]} */
  shown = [];
  /** The act that the last request was part of, and the fields it was done with. */
  lastAct = 'login';
  #lastFields = null;
  /** How many tasks wait or run. */
  #tasks = 0;
  #asked = new Set();
  /** Acts run one after the other, so that a quick second click sees what the first one did. */
  #queue = Promise.resolve();
  #form = /** @type {HTMLFormElement} */ (document.querySelector('.login'));
  #accounts = /** @type {HTMLElement[]} */ ([...document.querySelectorAll('[data-username]')]);

  constructor() {
    super();
    const definitions = JSON.parse(document.getElementById('columns').textContent);
    this.single = definitions.length === 1 && location.pathname !== '/';
    this.all = [...definitions.map((definition) => new Column(definition)), ...(this.single ? [] : [new LocalColumn()])];
    this.#listen();
  }

  /** @param {string} slug */
  column(slug) {
    return this.all.find((column) => column.slug === slug);
  }

  /** The columns shown that are strategies. */
  get strategies() {
    return this.shown.filter((column) => column.client);
  }

  /** @param {string[]} slugs of the columns to show, in any order */
  show(slugs) {
    this.shown = this.all.filter((column) => slugs.includes(column.slug));
    // A column that has not been logged in since its last 401 has nothing to ask for.
    const fresh = this.shown.filter((column) => !this.#asked.has(column) && column.mayBeIn);
    for (const column of fresh) this.#asked.add(column);
    this.dispatchEvent(new Event('columns'));
    return this.#ask(fresh);
  }

  /** @param {string} slug */
  hide(slug) {
    this.dispatchEvent(new CustomEvent('hide', { detail: slug }));
  }

  /** Whether an act or a question is under way. */
  get busy() {
    return this.#tasks > 0;
  }

  /** Whether the server has levers and a thief. */
  get classroom() {
    return document.body.dataset.classroom === 'true';
  }

  /**
   * Asks how things stand, after something other than an act has changed them. A column without a login has nothing to ask for.
   * @param {Column[]} [columns]
   */
  lookAgain(columns = this.strategies.filter((column) => column.profile || column.mayBeIn)) {
    return this.#ask(columns);
  }

  /** Draws everything again. @param {string} [act] */
  changed(act) {
    this.dispatchEvent(new CustomEvent('change', { detail: { act } }));
  }

  /** @param {import('./lessons.js').Happening} happening */
  report(happening) {
    this.dispatchEvent(new CustomEvent('happening', { detail: happening }));
  }

  /** Where script keeps the token is a choice, and only where script has to keep it. @param {Column} column */
  storageChoice({ client }) {
    const offer = copyOf('keeper');
    const choice = offer.querySelector('input');
    choice.checked = client.keeper.stored;
    offer.querySelector('span').textContent = word('keep.local');
    choice.addEventListener('change', () => {
      client.keeper.stored = choice.checked;
      this.changed();
    });
    return offer;
  }

  /** Wrong passwords lock an account for a while. In the classroom a button lifts that, together with every other change. */
  liftButton() {
    const button = element('button', 'quiet', word('lift'));
    button.type = 'button';
    button.dataset.testid = 'lift';
    button.addEventListener('click', async () => {
      await this.enqueue(() => send('/classroom/reset', { method: 'POST' }));
      await this.act('login');
      document.querySelector('[data-act=login]').focus();
    });
    return button;
  }

  /** @param {string} name */
  act(name) {
    return this.enqueue(async () => {
      this.lastAct = name;
      this.dispatchEvent(new Event('acting'));
      const fields = this.fields();
      this.#lastFields = this.printable();
      const happenings = name === 'login' ? await this.#logIn(fields) : await Promise.all(this.shown.map((column) => column.does(name, fields)));
      this.changed(name);
      for (const happening of happenings) this.report(happening);
      const told = happenings.map(({ slug, status, code }) => `${slug} ${status || '–'} ${code}`.trim());
      document.querySelector('[data-live]').textContent = `${word(`act.${name}`)}: ${told.join(', ')}`;
    });
  }

  /** Logs in with one column first: a wrong password in ten columns would count ten times. */
  async #logIn(fields) {
    const [first, ...others] = this.strategies;
    const happening = await first?.does('login', fields);
    const refused = ['bad_login', 'too_many_attempts'].includes(happening?.code);
    if (refused) for (const column of others) column.spare(first.slug);
    const asked = this.shown.filter((column) => column !== first && !(refused && column.client));
    return [happening, ...await Promise.all(asked.map((column) => column.does('login', fields)))].filter(Boolean);
  }

  /** Runs a task after those before it. */
  enqueue(task) {
    this.#count(1);
    const turn = this.#queue.then(task).finally(() => this.#count(-1));
    this.#queue = turn.catch(() => {}); // reported by the browser as unhandled from `turn`, and no reason to stop the next act
    return turn;
  }

  /** One theme and one cart for all columns, so that one click is one request, the same everywhere. */
  fields() {
    const state = this.shown.find((column) => column.profile)?.profile.state;
    const cart = state?.cart ?? [];
    return {
      username: this.#form.username.value,
      password: this.#form.password.value,
      theme: state?.theme === 'dark' ? 'light' : 'dark',
      cart: [...cart, ...Array.from({ length: itemsAtOnce }, (_, i) => word('cart.item', { number: cart.length + i + 1 }))],
    };
  }

  /** The fields as they may stand on a projector: only a password that is public anyway is shown. */
  printable() {
    const fields = this.fields();
    const published = this.#accounts.some(({ dataset }) => dataset.password === fields.password);
    return published ? fields : { ...fields, password: '…' };
  }

  /** The fields for a terminal: of the last act, or of the form before a login. */
  get curlFields() {
    return this.lastAct === 'login' ? this.printable() : this.#lastFields;
  }

  #count(change) {
    this.#tasks += change;
    this.dispatchEvent(new Event('busy'));
  }

  #ask(columns) {
    return this.enqueue(async () => {
      const happenings = await Promise.all(columns.map((column) => column.resume()));
      this.changed();
      for (const happening of happenings) this.report(happening);
    });
  }

  #listen() {
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.act('login');
    });
    this.#form.addEventListener('input', () => this.changed());
    for (const { dataset } of this.#accounts) {
      document.querySelector(`[data-testid="account-${dataset.username}"]`).addEventListener('click', () => {
        this.#form.username.value = dataset.username;
        this.#form.password.value = dataset.password;
        this.changed();
      });
    }
    for (const button of document.querySelectorAll('button[type=button][data-act]')) {
      button.addEventListener('click', () => this.act(button.dataset.act));
    }
    for (const button of document.querySelectorAll('[data-language]')) {
      button.addEventListener('click', () => {
        changePlace({ lang: button.dataset.language });
        this.speakAsAsked();
      });
    }
    document.querySelector('.skip').addEventListener('click', (event) => {
      event.preventDefault(); // the hash is the page's state
      document.querySelector('#board').focus();
    });
    document.addEventListener('words', () => this.#renderFrame());
    addEventListener('hashchange', () => this.speakAsAsked());
    addEventListener('storage', () => this.changed()); // another tab of this browser has written
  }

  /** Speaks the language of the URL, or the visitor's. */
  speakAsAsked() {
    const { lang } = readPlace();
    speak(languages.includes(lang) ? lang : preferred());
  }

  /** What stands around the views and depends on the language. */
  #renderFrame() {
    for (const button of document.querySelectorAll('[data-language]')) button.ariaPressed = String(button.dataset.language === language);
    const { lang } = readPlace();
    for (const link of document.querySelectorAll('a[data-keeps-place]')) link.hash = hashOf({ lang });
    for (const link of document.querySelectorAll('a[data-guide]')) link.href = `/web/guide/${language}.md`;
  }
}
