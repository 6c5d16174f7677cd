/**
 * The tab "Caching": one catalog under every policy, read one after the other, so that each time is its own. It shows who had the answer,
 * how old the answer is, and whether it is still right. No request here carries a credential, because no cache would store its answer.
 */

import { costOf } from './api.js';
import { duration, number, word } from './words.js';

/** While the learner watches, every policy is read once in this many milliseconds. */
const pace = 1000;

/**
 * @typedef {object} Reading
 * @property {string} outcome key of the word on who had the answer
 * @property {number} price of the first item
 * @property {number} age of the answer, in milliseconds
 * @property {number | null} milliseconds that the server took; null if the browser did not ask it
 * @property {number} bytes that came over the wire
 */

/** One policy, and what was read last. */
class Policy {
  /** @type {Reading | null} */
  reading = null;
  #element;

  /** @param {HTMLElement} element */
  constructor(element) {
    this.#element = element;
    this.url = `/cache/${element.dataset.policy}/catalog`;
  }

  async read() {
    performance.clearResourceTimings();
    const response = await fetch(this.url, { credentials: 'omit' }).catch(() => null);
    const answer = response?.ok ? await response.json().catch(() => null) : null; // null: a page of a proxy, perhaps
    const [timing] = performance.getEntriesByName(new URL(this.url, location).href);
    const had = answer && outcome(response.headers.get('Cache-Status'), timing);
    this.reading = answer && {
      outcome: had,
      price: answer.items[0].price,
      sku: answer.items[0].sku,
      at: Date.now(),
      age: Date.now() - new Date(answer.generated_at),
      milliseconds: had === 'browser' ? null : costOf(response.headers.get('Server-Timing'))?.milliseconds ?? null,
      bytes: timing?.transferSize ?? 0,
    };
  }

  /** @param {{price: number, at: number} | null} written what was written last, and when */
  render(written) {
    const { reading } = this;
    const stale = reading && written && reading.price !== written.price;
    const texts = reading ? {
      had: word(`cache.${reading.outcome}`),
      price: number(reading.price),
      truth: written ? word(stale ? 'cache.wrong' : 'cache.right', { time: duration(reading.at - written.at) }) : '',
      cost: word(reading.milliseconds === null ? 'cache.cost.none' : 'cache.cost', {
        milliseconds: number(Number((reading.milliseconds ?? 0).toPrecision(2))), bytes: number(reading.bytes),
      }),
      age: this.#ageText(reading),
    } : { had: word('cache.unread'), price: '–', truth: '', cost: '', age: '' };
    for (const [field, text] of Object.entries(texts)) this.#element.querySelector(`[data-field=${field}]`).textContent = text;
    this.#element.dataset.outcome = stale ? 'stale' : '';
  }

  /** Under `http` the body states the last change, and not when the answer was computed. */
  #ageText({ age }) {
    if (this.#element.dataset.policy === 'http') return '';
    return word('cache.age', { age: duration(age) });
  }
}

/**
 * Who had the answer: the browser itself, the cache that Cache-Status (RFC 9211) names, or the browser once the server had said that
 * it is still good.
 * @param {string | null} status
 * @param {PerformanceResourceTiming} [timing]
 */
function outcome(status, timing) {
  if (timing?.decodedBodySize && timing.transferSize === 0) return 'browser';
  const parameters = (status ?? '').split(';').map((part) => part.trim());
  if (parameters.includes('hit')) return 'hit';
  const forwarded = parameters.find((parameter) => parameter.startsWith('fwd='))?.slice('fwd='.length);
  if (parameters.includes('detail=absent') && parameters[0].endsWith('redis')) return 'absent';
  const asked = { 'uri-miss': 'miss', 'vary-miss': 'miss', miss: 'miss', stale: 'expired' }[forwarded];
  return asked ?? (timing && timing.transferSize < timing.encodedBodySize ? 'validated' : 'bypass');
}

/**
 * @param {HTMLElement} box
 * @param {import('./page.js').Page} page
 */
export function caches(box, page) {
  const policies = [...box.querySelectorAll('[data-policy]')].map((element) => new Policy(element));
  const watch = box.querySelector('[data-caches-watch]');
  /** @type {{price: number, at: number} | null} */
  let written = null;
  let timer;

  const render = () => policies.forEach((policy) => policy.render(written));
  // One after the other, so that each is timed alone.
  const read = async () => {
    for (const policy of policies) {
      await policy.read();
      if (policy.reading?.outcome === 'hit' || policy.reading?.outcome === 'browser') page.report({ act: 'cache-hit' });
      if (policy.reading && written && policy.reading.price !== written.price) page.report({ act: 'cache-stale' });
    }
    render();
  };
  /** Writes through the first policy: there is one catalog, and a change invalidates it under all of them. */
  const write = async () => {
    const [{ url, reading }] = policies;
    if (!reading) return;
    const price = 1000 + Math.floor(Math.random() * 9000);
    const response = await fetch(`${url}/${reading.sku}`, {
      method: 'PATCH', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ price }), credentials: 'omit',
    }).catch(() => null);
    if (!response?.ok) return;
    written = { price, at: Date.now() };
    page.report({ act: 'cache-write' });
  };
  const busily = (deed) => async () => {
    box.ariaBusy = 'true';
    await deed();
    box.ariaBusy = 'false';
  };
  const again = async () => {
    await read();
    if (watch.checked && !box.hidden) timer = setTimeout(again, pace);
  };
  box.querySelector('[data-caches-read]').addEventListener('click', busily(read));
  box.querySelector('[data-caches-write]')?.addEventListener('click', busily(async () => {
    if (!policies[0].reading) await read();
    await write();
    await read();
  }));
  watch.addEventListener('change', () => (watch.checked ? again() : clearTimeout(timer)));
  box.addEventListener('opened', () => watch.checked && again());
  document.addEventListener('words', render);
  render();
}
