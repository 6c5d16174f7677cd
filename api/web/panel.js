/** One column: a strategy, what it last answered, and what that cost. It shows what its client knows and decides nothing itself. */

import { Client } from './api.js';
import { copyOf, element, setIcon } from './dom.js';
import { masked } from './keep.js';
import { facts, headline, payments, tagline } from './traits.js';
import { fill, hasWord, number, time, word } from './words.js';
import { exchangeView } from './wire.js';

/** Enough to see a login begin and end. */
const exchangesShown = 6;

export class Panel {
  /** @type {HTMLElement} */
  element;
  client;
  /** The newest profile an answer brought, until nobody is logged in any more. @type {any} */
  profile = null;
  #column;
  /** @type {import('./api.js').Exchange[]} newest first */
  #exchanges = [];
  #wasIn = false;
  /** Whether the learner has done something here: before, a 401 is how things are, not a refusal. */
  #used = false;
  /** Key of a remark on how things stand, or '', and the values in it. */
  #note = '';
  #noteValues = {};
  /** The strategy's own page, inside the path of its cookie, once the learner wants to see what script reads there. */
  #frame = null;

  /**
   * @param {{slug: string, traits: import('./traits.js').Traits}} column
   * @param {() => void} onHide
   */
  constructor(column, onHide) {
    this.#column = column;
    this.client = new Client(column);
    this.element = copyOf('panel');
    this.element.dataset.strategy = column.slug;
    this.element.dataset.holder = column.traits.holder;
    this.#find('a[data-field=slug]').href = `/${column.slug}/`;
    this.#find('[data-hide]').addEventListener('click', onHide);
    this.#find('[data-wire]').addEventListener('toggle', ({ target }) => target.open && this.#report({ act: 'headers' }));
    this.#find('[data-views]').addEventListener('toggle', ({ target }) => target.open && this.#openFrame());
    this.#offerStorage();
    this.render();
  }

  get slug() {
    return this.#column.slug;
  }

  /**
   * Does an act, shows what came of it and reports it.
   * @param {string} name
   * @param {object} fields
   */
  async act(name, fields) {
    this.#used = true;
    const { status, code } = await this.#perform(name, fields);
    this.#report({ act: name, status, wasIn: this.#wasIn });
    this.#wasIn ||= status === 200;
    return { slug: this.#column.slug, status, code };
  }

  /** Finds out how things stand when the panel appears: a cookie may still be there. The learner has done nothing, so no act is reported. */
  async resume() {
    const { status } = await this.#perform('profile', {});
    this.#wasIn = status === 200;
    this.#report({ act: 'resume' });
  }

  async #perform(name, fields) {
    this.element.ariaBusy = 'true';
    const exchanges = await this.client.act(name, fields);
    const last = exchanges.at(-1);
    this.#exchanges = [...exchanges.reverse(), ...this.#exchanges].slice(0, exchangesShown);
    if (last.body?.state) this.profile = last.body;
    else if (!this.client.inspection) this.profile = null;
    this.#remark(last);
    this.render();
    if (name !== 'profile' || this.#used) this.#frame?.contentWindow.location.reload();
    this.element.ariaBusy = 'false';
    return last;
  }

  /** @param {import('./api.js').Exchange} last */
  #remark({ status, body }) {
    const told = body?.credential;
    const dropped = told?.kind === 'cookie' && this.client.inspection && this.client.inspection.carried.bytes !== told.bytes;
    this.#noteValues = dropped ? { bytes: number(told.bytes) } : {};
    if (this.client.keeper.lost) this.#note = 'note.reloaded';
    else if (dropped) this.#note = 'note.dropped';
    else if (status === 200) this.#note = '';
    else if (status === 204 && !this.#column.traits.revocable) this.#note = 'note.copy';
  }

  /** Shows everything in the language spoken now. */
  render() {
    fill(this.element);
    for (const [field, text] of Object.entries(this.#texts())) this.#find(`[data-field=${field}]`).textContent = text;
    const { inspection } = this.client;
    const [last] = this.#exchanges;
    const { slug, traits } = this.#column;
    this.#find('[data-hide]').ariaLabel = word('panel.hide', { slug });
    setIcon(this.#find('[data-icon=holder]'), facts(traits, ['holds'])[0].icon);
    this.element.dataset.outcome = this.#used ? outcome(last) : '';
    this.#find('.profile').dataset.theme = this.profile?.state.theme ?? '';
    this.#find('[data-bar]').setAttribute('width', String(inspection?.carried.bytes ?? 0));
    this.#renderViews();
    this.#find('[data-field=note]').hidden = !this.#note;
    this.#find('[data-field=decoded]').hidden = !inspection?.carried.decoded;
    this.#find('[data-facts]').replaceChildren(...facts(traits, headline).map((fact) => factView(fact)));
    this.#find('[data-exchanges]').replaceChildren(...this.#exchanges.map((exchange) => exchangeView(exchange, traits)));
  }

  /** The text of every field. */
  #texts() {
    const { slug, traits } = this.#column;
    const { inspection, carries } = this.client;
    const [last] = this.#exchanges;
    const { user, state, version, expires_at: expires } = this.profile ?? {};
    return {
      slug,
      tagline: tagline(traits).map((key) => word(key)).join(' · '),
      status: last?.status || '–',
      code: last?.code ?? '',
      sentence: sentence(last),
      user: user?.display_name ?? '–',
      role: user?.role ?? '',
      theme: state?.theme ?? '–',
      credits: state?.credits ?? '–',
      version: version ?? '–',
      expires: expires ? time(expires) : '–',
      carried: carries?.join(': ') ?? word(`carried.none.${traits.transport}`),
      bytes_up: inspection ? number(inspection.carried.bytes) : (carries ? '–' : '0'),
      reads: inspection?.cost.store_reads ?? '–',
      writes: inspection?.cost.store_writes ?? '–',
      held: heldText(inspection),
      pays: payments(traits).map((key) => word(key)).join(' '),
      wall: word(`wall.${traits.limit_bytes > 0}`, { limit: number(traits.limit_bytes), line: number(4096) }),
      note: this.#note && word(this.#note, this.#noteValues),
      inside: insideText(inspection),
      decoded: JSON.stringify(inspection?.carried.decoded, null, 2),
    };
  }

  /** The page that script reads on: this one, if it is inside the cookie's path, or the one in the frame. */
  get #inside() {
    return location.pathname === `/${this.#column.slug}/` ? document : this.#frame?.contentDocument;
  }

  #openFrame() {
    if (this.#inside) return;
    this.#frame = element('iframe', '');
    this.#frame.src = `/${this.#column.slug}/`;
    this.#frame.addEventListener('load', () => this.#renderViews());
    this.#find('[data-views]').append(this.#frame);
    this.#renderViews();
  }

  /** What script reads, what the browser sends and what the server keeps: the difference is the strategy. */
  #renderViews() {
    const { keeper, inspection, carries } = this.client;
    const visible = this.#inside ? keeper.visible(this.#inside, inspection?.carried) : '';
    this.#find('[data-field=script_place]').textContent = word(`place.${keeper.place}`);
    this.#find('[data-field=script_sees]').textContent = visible
      ? word('sees.all', { value: masked(visible), length: number(visible.length) })
      : word(inspection ? 'sees.nothing_httponly' : 'sees.nothing');
    this.#find('[data-field=browser_sends]').textContent = carries?.join(': ') ?? word(`carried.none.${this.#column.traits.transport}`);
    this.#find('[data-field=server_holds]').textContent = heldText(inspection);
    if (this.#frame) this.#frame.title = word('sees.frame_title', { slug: this.#column.slug });
  }

  /** Where script keeps the credential is a choice only where script has to keep it. */
  #offerStorage() {
    const { keeper } = this.client;
    if (!keeper.renews) return;
    const offer = copyOf('keeper');
    const choice = offer.querySelector('input');
    choice.checked = keeper.stored;
    choice.addEventListener('change', () => {
      keeper.stored = choice.checked;
      this.#report({ act: 'keep' });
    });
    this.element.append(offer);
  }

  /** @param {import('./checklist.js').Happening} happening */
  #report(happening) {
    this.element.dispatchEvent(new CustomEvent('happening', { bubbles: true, detail: happening }));
  }

  /** @returns {any} */
  #find(selector) {
    return this.element.querySelector(selector);
  }
}

/**
 * A fact as a row of a definition list: an icon, and always words beside it.
 * @param {{ask: string, tell: string, icon: string}} fact
 * @param {Record<string, string | number>} [values]
 */
export function factView({ ask, tell, icon }, values) {
  const row = copyOf('fact');
  setIcon(row.querySelector('use'), icon);
  row.querySelector('dt span').textContent = word(ask);
  row.querySelector('dd').textContent = word(tell, values);
  return row;
}

/** @param {import('./api.js').Exchange} [last] */
function outcome(last) {
  return last?.code === '' ? 'done' : 'refused';
}

function sentence(last) {
  if (!last) return word('waiting');
  const key = last.code ? `code.${last.code}` : `done.${last.status}`;
  return hasWord(key) ? word(key, last.body ?? {}) : last.body.title;
}

/** @param {import('./api.js').Inspection | null} inspection */
export function heldText(inspection) {
  if (!inspection) return '–';
  const { held } = inspection;
  return held ? word('held.record', { store: held.store, bytes: number(held.bytes) }) : word('held.nothing');
}

function insideText(inspection) {
  if (!inspection) return word('inside.absent');
  if (!inspection.carried.decoded) return word('inside.random');
  return word(inspection.carried.readable_without_key ? 'inside.readable' : 'inside.sealed');
}
