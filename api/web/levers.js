/** The tab "What if": what a learner can change on the running server. Each change shows the curl line that does the same. */

import { send } from './api.js';
import { quoted } from './curl.js';
import { element } from './dom.js';
import { duration, number, time, word } from './words.js';

/**
 * @param {HTMLElement} box
 * @param {import('./page.js').Page} page
 */
export function levers(box, page) {
  const find = (selector) => box.querySelector(selector);
  const inputs = [...box.querySelectorAll('[data-setting]')];
  const records = find('[data-records]');
  /** What the last answer of each kind was, to say it again in another language. */
  let clock = null;
  let held = null;
  let said = null;
  let dropped = false;

  const render = () => {
    find('[data-field=clock]').textContent = clock ? word('lever.clock.shows', { time: time(clock.now), offset: duration(millisecondsOf(clock.offset)) }) : '';
    find('[data-field=pulled]').textContent = said ? word(said.key, said.values) : '';
    find('[data-field=notes]').textContent = dropped ? word('setting.dropped') : '';
    records.replaceChildren(...(held?.records ?? []).map(recordView));
    if (held && !held.records.length) records.append(element('li', 'none', word('lever.store.empty')));
  };

  /** Makes a change, shows its curl line, and asks for every column again. */
  async function pull(method, lever, body, key = 'lever.pulled') {
    const answer = await send(`/classroom/${lever}`, { method, body });
    const code = find('[data-field=pulled_curl]');
    code.textContent = curlLine(method, lever, body);
    code.hidden = false;
    said = answer.code ? refusal(answer) : { key, values: {} };
    render();
    if (!answer.code && method !== 'GET') await page.lookAgain();
    return answer;
  }

  /** What a refused value has to be, in the page's language; else the code, which stands in the documentation. */
  function refusal({ code, body }) {
    const at = body?.errors?.[0]?.pointer?.slice(1);
    const { min, max } = inputs.find((input) => input.dataset.setting === at)?.dataset ?? {};
    if (min === undefined) return { key: 'lever.refused', values: { code } };
    return { key: max ? 'lever.refused.range' : 'lever.refused.least', values: { setting: at, min, max } };
  }

  function recordView({ id, username, store, bytes, record }) {
    const drop = element('button', 'quiet', word('lever.store.drop'));
    drop.type = 'button';
    drop.addEventListener('click', async () => {
      await pull('DELETE', `store/${held.strategy}/${id}`);
      await deeds.store();
    });
    const text = element('pre', '', JSON.stringify(record, null, 2));
    text.tabIndex = 0; // it scrolls
    return element('li', '', element('b', '', username), ` ${store}, ${word('bytes', { count: number(bytes) })} `, drop, text);
  }

  /** Puts the settings in force into the form. */
  function showSettings({ status, body }) {
    if (status !== 200) return;
    for (const input of inputs) {
      const value = body[input.dataset.setting];
      if (input.type === 'checkbox') input.checked = value;
      else input.value = value;
    }
    dropped = body.same_site === 'None' && location.protocol === 'http:';
    render();
  }

  async function readSettings() {
    showSettings(await send('/classroom/settings', { method: 'GET' }));
  }

  async function readClock(advance = '0s') {
    const answer = advance === '0s'
      ? await send('/classroom/clock', { method: 'POST', body: { advance } })
      : await pull('POST', 'clock', { advance });
    if (answer.status === 200) clock = answer.body;
    render();
  }

  const deeds = {
    restart: () => pull('POST', 'restart', { keep_keys: find('[data-keep-keys]').checked }),
    rotate: () => pull('POST', 'keys/rotate', { keep_previous: find('[data-keep-previous]').checked }),
    role: () => pull('PUT', `accounts/${find('[data-role-of]').value}/role`, { role: find('[data-role]').value }),
    store: async () => {
      const answer = await pull('GET', `store/${find('[data-store]').value}`, undefined, 'lever.looked');
      held = answer.status === 200 ? answer.body : null;
      render();
    },
    reset: async () => {
      await pull('POST', 'reset');
      held = null;
      await Promise.all([readSettings(), readClock()]);
    },
  };

  /** Does something, and lets the box say that it is at work. */
  const busily = (deed) => async () => {
    box.ariaBusy = 'true';
    await deed();
    box.ariaBusy = 'false';
  };
  for (const button of box.querySelectorAll('[data-lever]')) button.addEventListener('click', busily(() => deeds[button.dataset.lever]()));
  for (const button of box.querySelectorAll('[data-advance]')) button.addEventListener('click', busily(() => readClock(button.dataset.advance)));
  for (const input of inputs) {
    input.addEventListener('change', busily(async () => {
      const value = { checkbox: () => input.checked, number: () => input.valueAsNumber }[input.type]?.() ?? input.value;
      const answer = await pull('PUT', 'settings', { [input.dataset.setting]: value });
      if (answer.code) await readSettings(); // a refused value is not in force
      else {
        showSettings(answer);
        page.report({ act: 'settings', ...answer.body });
      }
    }));
  }
  box.addEventListener('opened', busily(() => Promise.all([readSettings(), readClock()])));
  document.addEventListener('words', render);
}

/** A duration as Go writes it, such as 1h16m0s, in milliseconds. */
function millisecondsOf(text) {
  const units = { h: 3600000, m: 60000, s: 1000 };
  return [...text.matchAll(/([\d.]+)([hms])(?!s)/g)].reduce((sum, [, count, unit]) => sum + Number(count) * units[unit], 0);
}

function curlLine(method, lever, body) {
  const parts = ['curl -si'];
  if (method !== (body ? 'POST' : 'GET')) parts.push(`-X ${method}`);
  if (body) parts.push("-H 'Content-Type: application/json'", '-d', quoted(JSON.stringify(body), false));
  return [...parts, `${location.origin}/classroom/${lever}`].join(' ');
}
