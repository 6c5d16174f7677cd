/**
 * The catalogue under every cache policy, read at once: who had the answer, how old it is, and whether it is still right. No request here
 * carries a credential, since no cache would keep the answer.
 */

import { duration, number, word } from './words.js';

/** While somebody watches, every policy is read so often, in milliseconds. */
const pace = 1000;

/**
 * @typedef {object} Reading
 * @property {string} outcome key of the word on who had the answer
 * @property {number} price of the first item
 * @property {number} age of the answer, in milliseconds
 * @property {number} milliseconds that it took
 * @property {number} bytes that came over the wire
 */

/** One policy, and what was read last. */
class Shelf {
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
    const began = performance.now();
    const response = await fetch(this.url, { credentials: 'omit' }).catch(() => null);
    const answer = response?.ok ? await response.json() : null;
    const milliseconds = performance.now() - began;
    const [timing] = performance.getEntriesByName(new URL(this.url, location).href);
    this.reading = answer && {
      outcome: outcome(response.headers.get('Cache-Status'), timing),
      price: answer.items[0].price,
      sku: answer.items[0].sku,
      age: Date.now() - new Date(answer.generated_at),
      milliseconds,
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
      truth: written ? word(stale ? 'cache.wrong' : 'cache.right', { time: duration(Date.now() - written.at) }) : '',
      cost: word('cache.cost', { milliseconds: reading.milliseconds.toFixed(1), bytes: number(reading.bytes), age: duration(reading.age) }),
    } : { had: word('cache.unread'), price: '–', truth: '', cost: '' };
    for (const [field, text] of Object.entries(texts)) this.#element.querySelector(`[data-field=${field}]`).textContent = text;
    this.#element.dataset.outcome = stale ? 'works' : '';
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
  const asked = { 'uri-miss': 'miss', 'vary-miss': 'miss', miss: 'miss', stale: 'expired' }[forwarded];
  return asked ?? (timing && timing.transferSize < timing.encodedBodySize ? 'validated' : 'bypass');
}

/** @param {HTMLElement} box */
export function caches(box) {
  const shelves = [...box.querySelectorAll('[data-policy]')].map((element) => new Shelf(element));
  const watch = box.querySelector('[data-caches-watch]');
  /** @type {{price: number, at: number} | null} */
  let written = null;
  let timer;

  const render = () => shelves.forEach((shelf) => shelf.render(written));
  // One after the other, so that each is timed alone.
  const read = async () => {
    for (const shelf of shelves) await shelf.read();
    render();
  };
  /** Writes by way of the first policy: the catalogue is one, and all of them must hear of it. */
  const write = async () => {
    const [{ url, reading }] = shelves;
    if (!reading) return;
    const price = 1000 + Math.floor(Math.random() * 9000);
    const response = await fetch(`${url}/${reading.sku}`, {
      method: 'PATCH', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ price }), credentials: 'omit',
    });
    if (response.ok) written = { price, at: Date.now() };
  };
  const busily = (deed) => async () => {
    box.ariaBusy = 'true';
    await deed();
    box.ariaBusy = 'false';
  };
  const again = async () => {
    await read();
    if (watch.checked && box.open) timer = setTimeout(again, pace);
  };
  box.querySelector('[data-caches-read]').addEventListener('click', busily(read));
  box.querySelector('[data-caches-write]')?.addEventListener('click', busily(async () => {
    if (!shelves[0].reading) await read();
    await write();
    await read();
  }));
  watch.addEventListener('change', () => (watch.checked ? again() : clearTimeout(timer)));
  box.addEventListener('toggle', () => box.open && watch.checked && again());
  document.addEventListener('words', render);
  render();
}
