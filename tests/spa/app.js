/** The page: a form, a profile, and what went over the wire. Text is only ever set as text. */

import { Problem, SessionClient, TokenClient } from './client.js';

const find = (selector) => document.querySelector(selector);
const { api } = document.documentElement.dataset;
const slug = new URLSearchParams(location.search).get('with') === 'token' ? 'token' : 'session';
const client = new { session: SessionClient, token: TokenClient }[slug](`${api}/${slug}`, heard);

/** What each button does, and what it has to say. */
const acts = {
  login: async () => {
    show(await client.login(find('#username').value, find('#password').value));
    find('#password').value = '';
    return 'Logged in.';
  },
  profile: async () => {
    show(await client.profile());
    return 'Read.';
  },
  three: async () => {
    const [profile] = await Promise.all([client.profile(), client.profile(), client.profile()]);
    show(profile);
    return 'Three requests at once, three answers.';
  },
  theme: async () => {
    show(await client.change({ theme: find('[data-field=theme]').textContent === 'dark' ? 'light' : 'dark' }));
    return 'Changed.';
  },
  refresh: async () => {
    await client.refresh();
    return 'Renewed.';
  },
  logout: async () => {
    await client.logout();
    show(null);
    return 'Logged out.';
  },
};

/** How many acts are under way. */
let working = 0;

/** Does an act and says how it went. */
async function act(name) {
  working += 1;
  find('main').ariaBusy = 'true';
  let problem = null;
  try {
    say(await acts[name]());
  } catch (thrown) {
    if (!(thrown instanceof Problem)) throw thrown;
    if (thrown.code === 'superseded') return; // the user has gone on to another login, or to none
    problem = thrown;
    if (client.ends(problem)) show(null);
    say(`${problem.message}. ${problem.detail}`);
  } finally {
    find('[data-problem]').hidden = !problem;
    find('[data-field=code]').textContent = problem?.code ?? '';
    find('[data-field=wait]').textContent = problem?.retryAfter ? `try again in ${problem.retryAfter} s` : '';
    find('[data-field=request]').textContent = problem?.requestId ?? '';
    working -= 1;
    find('main').ariaBusy = String(working > 0);
  }
}

function say(sentence) {
  find('[data-said]').textContent = sentence;
}

/** Shows a profile, or the form if there is none. @param {import('./client.js').Profile | null} profile */
function show(profile) {
  find('[data-out]').hidden = profile !== null;
  find('[data-in]').hidden = profile === null;
  const { user, state, version } = profile ?? {};
  const fields = { user: user?.display_name, role: user?.role, theme: state?.theme, credits: state?.credits, version };
  for (const [name, value] of Object.entries(fields)) find(`[data-field=${name}]`).textContent = value ?? '';
  document.documentElement.dataset.theme = state?.theme ?? 'system';
}

/** Adds a line to the wire, and keeps the last ten. */
function heard({ method, path }, { status, headers, body }) {
  const row = find('template').content.firstElementChild.cloneNode(true);
  const cells = [`${method} /${slug}${path}`, `${status} ${body?.code ?? ''}`, ...['ETag', 'X-Request-Id', 'Server-Timing'].map((name) => headers.get(name) ?? '')];
  cells.forEach((text, i) => { row.children[i].textContent = text; });
  find('tbody').prepend(row);
  find('tbody').children[10]?.remove();
}

find('form').addEventListener('submit', (event) => {
  event.preventDefault();
  act('login');
});
for (const button of document.querySelectorAll('[data-act]')) button.addEventListener('click', () => act(button.dataset.act));
find(`nav [href="?with=${slug}"]`).ariaCurrent = 'page';
find('[data-about]').textContent = {
  session: 'The browser keeps an HttpOnly cookie for the API. This page never sees it, and is still logged in after a reload.',
  token: 'This page keeps two tokens in memory. It sends one in a header, renews it with the other, and has lost both after a reload.',
}[slug];
if (client.mayBeIn) act('profile');
