/**
 * The grid of forged requests. A window with the attacker's page sends them, from another site and from another origin of the same site.
 * A cell says what was observed: the answer, what the attacker could read, and whether the login is still there.
 */

import { send } from './api.js';
import { element } from './dom.js';
import { markOf } from './table.js';
import { language, word } from './words.js';

/** The kinds of request, in the order in which they are tried: what can end a login comes last. */
const kinds = ['image', 'read', 'text', 'json', 'script', 'form'];
const sites = ['cross-site', 'same-site'];
/** For how many milliseconds the page waits for a request, and after which it looks again. */
const patience = 30000;
const pace = 30;

const pause = () => new Promise((done) => { setTimeout(done, pace); });

/** One attack: the window with the attacker's page, and what it reports. */
class Attack {
  #window;
  /** What the attacker could read, by mark. @type {Map<string, Record<string, number>>} */
  #reports = new Map();
  #run = crypto.randomUUID().slice(0, 8);
  #steps = 0;
  #listen = ({ origin, data }) => {
    if (origin === this.origin && data?.mark) this.#reports.set(data.mark, data.seen);
  };

  constructor(opened) {
    this.#window = opened;
    addEventListener('message', this.#listen);
  }

  /**
   * Has the attacker's page send requests, and waits until the server has answered them.
   * @param {string} origin of the attacker's page
   * @param {string[]} some kinds
   * @param {string[]} slugs
   */
  async step(origin, some, slugs) {
    this.origin = origin;
    this.#steps += 1;
    const mark = `${this.#run}-${this.#steps}`;
    this.#window.location.href = `${origin}/try?lang=${language}&mark=${mark}&kinds=${some}&slugs=${slugs}`;
    const of = (kind, slug) => (request) => request.path.startsWith(`/${slug}/`) && request.path.endsWith(`?${mark}-${kind}`);
    const every = (requests) => some.every((kind) => slugs.every((slug) => requests.some(of(kind, slug))));
    const end = performance.now() + patience;
    while (performance.now() < end && !this.#window.closed) {
      await pause();
      const { body } = await send('/classroom/forged', { method: 'GET' });
      const requests = body?.requests ?? [];
      if (every(requests) && (this.#reports.has(mark) || some.includes('form'))) {
        return (kind, slug) => ({ requests: requests.filter(of(kind, slug)), read: this.#reports.get(mark)?.[`${kind} ${slug}`] });
      }
    }
    throw new Error(this.#window.closed ? 'closed' : 'late');
  }

  end() {
    removeEventListener('message', this.#listen);
    this.#window.close();
  }
}

/**
 * Key of a word for what came of a request, with its mark, or of words for what stopped it.
 * @param {{kind: string, traits: import('./facts.js').Traits, requests: any[], read?: number, lost: boolean}} observed
 */
function resultOf({ kind, traits, requests, read, lost }) {
  const request = requests.find(({ method }) => method !== 'OPTIONS');
  const status = (request ?? requests[0]).status;
  if (lost) return { mark: 'bad', keys: [request.credential ? 'lost' : 'lost_by_answer'], status };
  if (read) return { mark: 'bad', keys: ['read'], status };
  if (request && request.status < 300 && request.method === 'POST' && request.credential) return { mark: 'bad', keys: ['done'], status };
  const keys = [];
  if (request && !request.credential) keys.push(traits.sent_by_browser ? 'same_site' : 'not_ambient');
  if (request?.code === 'csrf_blocked') keys.push('origin_check');
  if (request?.code === 'unsupported_media_type') keys.push('json_only');
  if (!request) keys.push('preflight');
  if (kind === 'read' && request?.credential) keys.push('cors');
  if (kind === 'image' && request.credential) keys.push('no_effect');
  return { mark: 'good', keys, status };
}

/**
 * @param {HTMLElement} box
 * @param {import('./page.js').Page} page
 */
export function forged(box, page) {
  const table = box.querySelector('table');
  const button = box.querySelector('[data-forge]');
  const said = box.querySelector('[data-field=forged_said]');
  /** By "site kind slug". @type {Map<string, ReturnType<typeof resultOf>>} */
  const results = new Map();
  /** Key of the word on what the last try came to, and its values. */
  let told = { key: '', values: {} };
  /** The attacker's two origins, by site. @type {Record<string, string> | null} */
  let origins = null;

  const cellOf = (site, kind, { slug, traits }) => {
    const result = results.get(`${site} ${kind} ${slug}`);
    const cell = element('td', result ? '' : 'none', result ? '' : word('forged.untried'));
    cell.dataset.holder = traits.holder;
    if (result) {
      const why = result.keys.map((key) => word(`forged.${key}`)).join(' · ');
      cell.append(markOf(result.mark), ` ${why} `, element('code', '', String(result.status)));
      cell.dataset.result = `${result.mark} ${result.keys.join(' ')}`;
    }
    cell.dataset.cell = `${site} ${kind} ${slug}`;
    return cell;
  };
  const render = () => {
    const heads = page.strategies.map(({ slug, traits }) => {
      const head = element('th', '', element('code', '', slug));
      head.scope = 'col';
      head.dataset.holder = traits.holder;
      return head;
    });
    const corner = element('th', '', word('forged.request'));
    corner.scope = 'col';
    table.tHead.replaceChildren(element('tr', '', corner, ...heads));
    [...table.tBodies].forEach((body, i) => body.replaceChildren(...rowsOf(sites[i])));
    said.textContent = told.key && word(told.key, told.values);
  };
  const rowsOf = (site) => {
    const name = element('th', '', word(`forged.${site}`), ' ', element('code', '', origins?.[site] ?? ''));
    name.colSpan = page.strategies.length + 1;
    name.scope = 'rowgroup';
    return [element('tr', 'site', name), ...kinds.map((kind) => {
      const head = element('th', '', word(`forged.kind.${kind}`));
      head.scope = 'row';
      return element('tr', '', head, ...page.strategies.map((column) => cellOf(site, kind, column)));
    })];
  };
  const tell = (key, values = {}) => {
    told = { key, values };
    render();
  };

  /** Puts a login back that was changed. Returns whether it had ended: the server notes a form before the browser has the answer. */
  const recover = async (column, before, clears) => {
    let looks = clears ? 99 : 1;
    do {
      await pause();
      await column.resume();
    } while (column.profile && (looks -= 1));
    const lost = !column.profile;
    if (!lost && column.profile.state.credits === before.state.credits) return false;
    const fields = page.fields();
    if (fields.username === before.user.username) await column.revive(fields, before.state);
    return lost;
  };
  const attack = async (opened) => {
    const one = new Attack(opened);
    const victims = new Map(page.strategies.filter(({ profile }) => profile).map((column) => [column, column.profile]));
    const counted = { tried: 0, worked: 0 };
    const step = async (site, some, columns) => {
      const there = columns.filter(({ profile }) => profile);
      if (!there.length) return;
      const observed = await one.step(origins[site], some, there.map(({ slug }) => slug));
      for (const column of there) {
        const clears = column.traits.sent_by_browser && observed('form', column.slug).requests.some(({ status }) => status <= 401);
        const lost = await recover(column, victims.get(column), clears);
        for (const kind of some) {
          const result = resultOf({ kind, traits: column.traits, lost: lost && some.length === 1, ...observed(kind, column.slug) });
          results.set(`${site} ${kind} ${column.slug}`, result);
          counted.tried += 1;
          counted.worked += Number(result.mark === 'bad');
          if (result.mark === 'bad' && kind !== 'read') page.report({ act: 'changed-elsewhere', slug: column.slug });
        }
      }
      render();
    };
    try {
      for (const site of sites) {
        const columns = [...victims.keys()];
        await step(site, kinds.slice(0, 4), columns);
        await step(site, ['script'], columns);
        for (const column of columns) await step(site, ['form'], [column]); // each takes the window along
      }
      const back = [...victims.keys()].every(({ profile }) => profile);
      tell(!counted.worked ? 'forged.all_stopped' : (back ? 'forged.some_worked' : 'forged.log_in_again'), counted);
    } catch (error) {
      tell(`forged.${error.message === 'closed' ? 'closed' : 'late'}`);
    } finally {
      one.end();
      page.changed();
    }
  };
  button.addEventListener('click', async () => {
    if (!origins) return tell('forged.off');
    if (!page.strategies.some(({ profile }) => profile)) return tell('forged.first');
    const opened = open('', '', 'popup,width=520,height=360'); // at once: a browser allows a window only while it handles a click
    if (!opened) return tell('forged.blocked');
    results.clear();
    tell('forged.trying');
    box.ariaBusy = 'true';
    await page.enqueue(() => attack(opened));
    box.ariaBusy = 'false';
  });
  box.closest('[role=tabpanel]').addEventListener('opened', async () => {
    if (origins) return;
    const { body } = await send('/classroom/inbox', { method: 'GET' });
    if (body?.origin) origins = { 'cross-site': body.origin, 'same-site': body.origin.replace(/\/\/.*:/, '//localhost:') };
    render();
  });
  page.addEventListener('columns', render);
  page.addEventListener('happening', ({ detail: { act } }) => {
    if (act !== 'settings' || !results.size) return;
    results.clear(); // they were observed under other settings
    tell('forged.settings');
  });
  document.addEventListener('words', render);
}
