/**
 * What both documents do: one form and a row of acts drive every panel shown, each act shows its curl lines, and the language can be
 * switched. A document adds its own parts around it by listening to "happening" on the panels.
 */

import { curl } from './curl.js';
import { copyOf } from './dom.js';
import { Panel } from './panel.js';
import { changePlace, hashOf, readPlace } from './place.js';
import { fill, language, languages, preferred, speak, word } from './words.js';

/**
 * @typedef {object} Column
 * @property {string} slug
 * @property {import('./traits.js').Traits} traits
 * @property {(hide: () => void) => LocalPanel} [makePanel] for what is no strategy: it has no server to ask
 */

/** So many that a cookie is full after a few clicks. */
const itemsAtOnce = 10;

export class Page {
  /** Every strategy of this document, in the server's order. @type {Column[]} */
  columns = JSON.parse(document.body.dataset.columns);
  panels = /** @type {HTMLElement} */ (document.querySelector('[data-panels]'));
  /** Hidden panels too: hiding one must not forget its login. @type {Map<string, Panel>} */
  #made = new Map();
  /** @type {string[]} */
  #shown = [];
  /** The act whose curl lines are shown. */
  #explained = 'login';
  /** Acts run one after the other, so that a quick second click sees what the first one did. */
  #queue = Promise.resolve();
  #form = /** @type {HTMLFormElement} */ (document.querySelector('.login'));
  #accounts = /** @type {HTMLElement[]} */ ([...document.querySelectorAll('[data-username]')]);

  constructor() {
    this.#listen();
    this.#speakAsAsked();
  }

  /** @param {string[]} slugs of the panels to show, in any order; unknown ones are ignored */
  show(slugs) {
    this.#shown = this.columns.map((column) => column.slug).filter((slug) => slugs.includes(slug));
    const fresh = this.#shown.filter((slug) => !this.#made.has(slug));
    for (const slug of fresh) this.#made.set(slug, this.#makePanel(slug));
    this.panels.replaceChildren(...this.#visible.map((panel) => panel.element));
    this.#render();
    this.#enqueue(() => Promise.all(fresh.map((slug) => this.#made.get(slug).resume())));
  }

  get shown() {
    return this.#shown;
  }

  /** @param {string} slug */
  panel(slug) {
    return this.#made.get(slug);
  }

  /** Looks again at how things stand, after something else than an act has changed them. */
  lookAgain() {
    return this.#enqueue(() => Promise.all(this.#visible.map((panel) => panel.resume())));
  }

  /** The panels that show a strategy. */
  get strategies() {
    return this.#visible.filter((panel) => panel.client);
  }

  get #visible() {
    return this.#shown.map((slug) => this.#made.get(slug));
  }

  #makePanel(slug) {
    const column = this.columns.find((each) => each.slug === slug);
    const hide = () => this.panels.dispatchEvent(new CustomEvent('hide', { detail: slug }));
    return column.makePanel?.(hide) ?? new Panel(column, hide);
  }

  #listen() {
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#act('login');
    });
    this.#form.addEventListener('input', () => this.#explain(this.#explained));
    for (const account of this.#accounts) account.addEventListener('click', () => this.#fillIn(account.dataset));
    for (const button of document.querySelectorAll('[data-act]')) {
      button.addEventListener('focus', () => this.#explain(button.dataset.act));
      if (button.type === 'button') button.addEventListener('click', () => this.#act(button.dataset.act));
    }
    for (const button of document.querySelectorAll('[data-language]')) {
      button.addEventListener('click', () => {
        changePlace({ lang: button.dataset.language });
        this.#speakAsAsked();
      });
    }
    document.querySelector('.skip').addEventListener('click', (event) => {
      event.preventDefault(); // the hash is the page's state
      this.panels.focus();
    });
    document.addEventListener('words', () => this.#render());
    addEventListener('hashchange', () => this.#speakAsAsked());
  }

  /** Speaks the language of the URL, or the visitor's. */
  #speakAsAsked() {
    const { lang } = readPlace();
    speak(languages.includes(lang) ? lang : preferred());
  }

  #fillIn({ username, password }) {
    this.#form.username.value = username;
    this.#form.password.value = password;
    this.#explain('login');
  }

  /** @param {string} name */
  #act(name) {
    this.#explain(name);
    this.#enqueue(async () => {
      const fields = this.#fields();
      const answers = await Promise.all(this.#visible.map((panel) => panel.act(name, fields)));
      const told = answers.map(({ slug, status, code }) => `${slug} ${status || '–'} ${code}`.trim());
      document.querySelector('[data-live]').textContent = `${word(`act.${name}`)}: ${told.join(', ')}`;
      this.#explain(this.#explained); // the next theme has changed
    });
  }

  #enqueue(task) {
    const turn = this.#queue.then(task);
    this.#queue = turn.catch(() => {}); // reported by the browser as unhandled from `turn`, and no reason to stop the next act
    return turn;
  }

  /** One theme for all panels, so that one click is one request, the same everywhere. */
  #fields() {
    const current = this.#visible.find((panel) => panel.profile)?.profile.state.theme;
    const cart = this.#visible.find((panel) => panel.profile)?.profile.state.cart ?? [];
    return {
      username: this.#form.username.value,
      password: this.#form.password.value,
      theme: current === 'dark' ? 'light' : 'dark',
      cart: [...cart, ...Array.from({ length: itemsAtOnce }, (_, i) => word('cart.item', { number: cart.length + i + 1 }))],
    };
  }

  /** Shows the curl lines of an act. @param {string} act */
  #explain(act) {
    this.#explained = act;
    document.querySelector('[data-curl-act]').textContent = word(`act.${act}`);
    const shown = this.columns.filter((column) => this.#shown.includes(column.slug) && !column.makePanel);
    document.querySelector('[data-curl]').replaceChildren(...shown.map((column) => this.#curlLine(column)));
  }

  /** @param {Column} column */
  #curlLine(column) {
    const line = copyOf('curl-line');
    fill(line);
    line.dataset.curlFor = column.slug;
    line.querySelector('.slug').textContent = column.slug;
    const code = line.querySelector('code');
    code.textContent = curl(column, this.#explained, this.#printable());
    const button = line.querySelector('button');
    button.addEventListener('click', async () => {
      getSelection().selectAllChildren(code); // for copying by hand, where the browser denies the clipboard
      const copied = await navigator.clipboard.writeText(code.textContent).then(() => true, () => false);
      if (copied) button.textContent = word('copied');
    });
    return line;
  }

  /** The fields as they may stand on a projector: only a password that is public anyway is shown. */
  #printable() {
    const fields = this.#fields();
    const published = this.#accounts.some(({ dataset }) => dataset.password === fields.password);
    return published ? fields : { ...fields, password: '…' };
  }

  /** Everything that depends on the language or on the panels shown. */
  #render() {
    for (const button of document.querySelectorAll('[data-language]')) button.ariaPressed = String(button.dataset.language === language);
    for (const panel of this.#made.values()) panel.render();
    const { lang } = readPlace();
    for (const link of document.querySelectorAll('a[data-keeps-place]')) link.hash = hashOf({ lang });
    for (const link of document.querySelectorAll('a[data-guide]')) link.href = `/web/guide/${language}.md`;
    this.#explain(this.#explained);
  }
}
