/**
 * The tab "X-ray": the credential of each column in coloured parts, decoded, and edited in place. The classroom's server sends the edited
 * one, as a client that has nothing else: script can neither read an HttpOnly cookie nor send one of its choice.
 */

import { send } from './api.js';
import { copyOf, element } from './dom.js';
import { masked } from './keep.js';
import { explained } from './thief.js';
import { fill, number, word } from './words.js';

/** One column's credential. */
class Ray {
  element = copyOf('ray');
  #column;
  /** The strategy's own page, inside the path of its cookie: there script sees what a script of that page would. */
  #frame = null;
  /** Key of a remark, or the answer to what was sent. @type {string | {status: number, body: any} | null} */
  #told = null;
  #shown = null;

  /** @param {import('./column.js').Column} column */
  constructor(column, classroom) {
    this.#column = column;
    this.element.dataset.strategy = column.slug;
    this.element.dataset.holder = column.traits.holder;
    this.#find('[data-send]').hidden = !classroom;
    this.#find('[data-send]').addEventListener('click', () => this.#sendEdited());
    this.#find('[data-undo]').addEventListener('click', () => {
      this.#shown = null;
      this.#told = null;
      this.draw();
    });
  }

  /** Loads the strategy's page where only it can read the cookie. */
  look() {
    if (this.#inside) return;
    this.#frame = element('iframe', 'unseen');
    this.#frame.src = `/${this.#column.slug}/`;
    this.#frame.tabIndex = -1;
    this.#frame.ariaHidden = 'true';
    this.#frame.addEventListener('load', () => this.draw());
    this.element.append(this.#frame);
  }

  get #inside() {
    return location.pathname === `/${this.#column.slug}/` ? document : this.#frame?.contentDocument;
  }

  draw() {
    fill(this.element);
    const { slug, traits, client } = this.#column;
    const { inspection, keeper, carries } = client;
    this.#find('h3').textContent = slug;
    this.#find('[data-field=value]').replaceChildren(...(carries ? partsOf(carries, traits) : [word(`carried.none.${traits.transport}`)]));
    this.#find('[data-field=inside]').textContent = insideText(inspection);
    const decoded = inspection?.carried.decoded ? JSON.stringify(inspection.carried.decoded, null, 2) : null;
    const text = this.#find('textarea');
    if (decoded !== this.#shown) {
      this.#shown = decoded;
      text.value = decoded ?? '';
    }
    text.hidden = !decoded;
    text.readOnly = !inspection?.carried.readable_without_key;
    text.ariaLabel = word('xray.decoded', { slug });
    this.#find('[data-send]').disabled = !inspection;
    this.#find('[data-undo]').hidden = !this.#told && (text.hidden || text.readOnly);
    this.#find('[data-send]').textContent = word(decoded && !text.readOnly ? 'xray.send' : 'xray.garble');
    this.#find('[data-field=told]').replaceChildren(...this.#toldNodes());
    const visible = this.#inside ? keeper.visible(this.#inside, inspection?.carried) : '';
    this.#find('[data-field=script_place]').textContent = word(`place.${keeper.place}`);
    this.#find('[data-field=script_sees]').textContent = visible
      ? word('sees.all', { value: masked(visible), length: number(visible.length) })
      : word(inspection ? 'sees.nothing_httponly' : 'sees.nothing');
  }

  /** Sends what stands in the text, or the credential with one character changed where nothing can be read. */
  async #sendEdited() {
    const text = this.#find('textarea');
    const request = { method: 'GET', path: '/profile' };
    if (text.hidden || text.readOnly) {
      request.garble = true;
    } else {
      try {
        request.payload = JSON.parse(text.value);
      } catch {
        this.#told = 'thief.no_json';
        this.draw();
        return;
      }
      if (text.value === this.#shown) {
        this.#told = 'xray.unedited';
        this.draw();
        return;
      }
    }
    const copied = await this.#column.client.copy();
    const sent = copied.status === 201 ? await send(`/classroom/copies/${copied.body.id}/send`, { method: 'POST', body: request }) : copied;
    this.#told = sent.status === 200 ? sent.body : sent;
    this.draw();
  }

  #toldNodes() {
    if (!this.#told) return [];
    return typeof this.#told === 'string' ? [word(this.#told)] : explained(this.#told.status, this.#told.body, { edited: true });
  }

  /** @returns {any} */
  #find(selector) {
    return this.element.querySelector(selector);
  }
}

/**
 * @param {HTMLElement} box
 * @param {import('./page.js').Page} page
 */
export function xray(box, page) {
  const list = box.querySelector('[data-rays]');
  /** @type {Map<string, Ray>} */
  const rays = new Map();
  const draw = () => {
    if (box.hidden) return;
    for (const column of page.strategies) if (!rays.has(column.slug)) rays.set(column.slug, new Ray(column, page.classroom));
    const shown = page.strategies.map(({ slug }) => rays.get(slug));
    if (shown.some((ray, i) => ray.element !== list.children[i]) || list.children.length !== shown.length) list.replaceChildren(...shown.map((ray) => ray.element));
    for (const ray of shown) {
      ray.draw();
      ray.look();
    }
  };
  box.addEventListener('opened', draw);
  page.addEventListener('change', draw);
  page.addEventListener('columns', draw);
  document.addEventListener('words', () => rays.forEach((each) => each.draw()));
}

/** The value in parts: name, header, payload, signature, each with its colour and its word. */
function partsOf([name, value], traits) {
  const [before, secret] = name === 'Cookie' ? value.split(/(?<==)/) : value.split(/(?<= )/);
  const kinds = { randomness: ['random'], encryption: ['sealed'], none: ['payload'], signature: traits.refresh_token === 'none' ? ['payload', 'signature'] : ['header', 'payload', 'signature'] }[traits.protected_by];
  const [start, end] = (secret ?? '').split('…');
  const texts = { 1: [`${start}…${end ?? ''}`], 2: [`${start}…`, `…${end ?? ''}`], 3: [`${start}…`, '…', `…${end ?? ''}`] }[kinds.length];
  const parts = texts.flatMap((text, i) => {
    const part = element('mark', kinds[i], text);
    part.title = word(`part.${kinds[i]}`);
    return i ? ['.', part] : [part];
  });
  const legend = element('span', 'legend', ...kinds.flatMap((kind) => [element('mark', kind, word(`part.${kind}`)), ' ']));
  return [element('code', '', `${name}: ${before}`, ...parts), legend];
}

function insideText(inspection) {
  if (!inspection) return word('inside.absent');
  if (!inspection.carried.decoded) return word('inside.random');
  return word(inspection.carried.readable_without_key ? 'inside.readable' : 'inside.sealed');
}
