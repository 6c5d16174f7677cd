// What client.js promises, against a real server behind a proxy that spoils answers: node client.test.mjs API, which client_test.go does.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { Problem, TokenClient } from './client.js';

const api = process.env.STATELAB_API;
const accounts = { alice: 'wonderland', bob: 'cheshire-cat' };

/** A proxy. Of the requests that a test chooses, it changes the answer, or keeps it until the test lets it go. */
class Proxy {
  /** @type {(request: string, answer: {status: number, headers: object, body: string}) => unknown} */
  spoil = () => {};
  /** Whether it takes If-None-Match away. */
  whole = false;
  /** Every request, in order. */
  asked = [];

  async start(t) {
    const server = createServer(async (request, response) => {
      const chunks = [];
      for await (const chunk of request) chunks.push(chunk);
      const { 'content-type': type, authorization, 'if-match': match, 'if-none-match': none } = request.headers;
      const sent = Object.entries({ 'Content-Type': type, Authorization: authorization, 'If-Match': match, 'If-None-Match': !this.whole && none }).filter(([, value]) => value);
      const name = `${request.method} ${request.url.split('/').at(-1)}`;
      this.asked.push(match ? `${name} ${match}` : name);
      const back = await fetch(api + request.url, { method: request.method, headers: Object.fromEntries(sent), body: chunks.length ? Buffer.concat(chunks) : undefined });
      const answer = { status: back.status, headers: Object.fromEntries(back.headers), body: await back.text() };
      delete answer.headers['content-length'];
      delete answer.headers['content-encoding'];
      await this.spoil(name, answer);
      response.writeHead(answer.status, answer.headers).end(answer.body);
      if (answer.cut) response.destroy();
    });
    await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
    t.after(() => { server.closeAllConnections(); server.close(); });
    this.base = `http://127.0.0.1:${server.address().port}/token`;
  }

  /** Keeps the next answer to a request. @returns {{came: Promise<void>, go: () => void}} */
  keepsBack(request) {
    let came, go;
    const held = { came: new Promise((resolve) => { came = resolve; }), go: () => go() };
    const gone = new Promise((resolve) => { go = resolve; });
    let once = true;
    this.spoil = async (name) => {
      if (name !== request || !once) return;
      once = false;
      came();
      await gone;
    };
    return held;
  }

  /** Gives an answer of its own to a request. */
  answers(request, status, body, headers = { 'content-type': 'text/html' }) {
    this.spoil = (name, answer) => { if (name === request) Object.assign(answer, { status, body, headers }); };
  }
}

/** A client behind a proxy, logged in as alice. */
async function begin(t) {
  const proxy = new Proxy();
  await proxy.start(t);
  const client = new TokenClient(proxy.base);
  await enter(client, 'alice');
  return { proxy, client };
}

const enter = (client, username) => client.login(username, accounts[username]);
const isIn = async (client, username) => { assert.equal((await client.profile()).user.username, username); };

/** What a promise rejects with: a Problem of this code and status. */
const refused = (promise, code, status) => assert.rejects(promise, (thrown) => {
  assert.ok(thrown instanceof Problem, thrown.stack);
  assert.deepEqual([thrown.code, thrown.status], [code, status]);
  return true;
});

for (const [name, request, act] of [
  ['a change', 'PATCH profile', (client) => client.change({ theme: 'dark' })],
  ['a profile', 'GET profile', (client) => client.profile()],
  ['a renewal', 'POST refresh', (client) => client.refresh()],
]) {
  test(`${name} that is answered late does not bring the old login back`, async (t) => {
    const { proxy, client } = await begin(t);
    const held = proxy.keepsBack(request);
    const late = refused(act(client), 'superseded', 0);
    await held.came;
    if (request !== 'POST refresh') await client.logout(); // which waits for a renewal
    await enter(client, 'bob');
    held.go();
    await late;
    await isIn(client, 'bob');
    await client.change({ theme: 'dark' });
    await client.refresh();
    await isIn(client, 'bob');
  });
}

test('a change that is answered after the logout leaves the client logged out', async (t) => {
  const { proxy, client } = await begin(t);
  const held = proxy.keepsBack('PATCH profile');
  const late = refused(client.change({ theme: 'light' }), 'superseded', 0);
  await held.came;
  await client.logout();
  held.go();
  await late;
  assert.equal(client.mayBeIn, false);
});

test('of two logins the last one counts, and the other one is ended', async (t) => {
  const { proxy, client } = await begin(t);
  const held = proxy.keepsBack('POST login');
  const late = refused(enter(client, 'alice'), 'superseded', 0);
  await held.came;
  await enter(client, 'bob');
  const ended = new Promise((resolve) => { proxy.spoil = (name, { status }) => { if (name === 'POST logout') resolve(status); }; });
  held.go();
  await late;
  assert.equal(await ended, 204);
  await isIn(client, 'bob');
});

test('a 401 of the login before does not end the new one, and is not tried again with it', async (t) => {
  const { proxy, client } = await begin(t);
  const held = proxy.keepsBack('PATCH profile');
  const inner = proxy.spoil;
  proxy.spoil = async (name, answer) => {
    if (name !== 'PATCH profile') return;
    await inner(name, answer);
    Object.assign(answer, { status: 401, body: '{"title":"Expired","detail":"","code":"expired"}' });
  };
  const late = refused(client.change({ theme: 'dark' }), 'superseded', 0);
  await held.came;
  await enter(client, 'bob');
  proxy.asked.length = 0;
  held.go();
  await late;
  await isIn(client, 'bob');
  assert.deepEqual(proxy.asked, ['GET profile']);
});

test('a profile that is answered after a later change does not replace it', async (t) => {
  const { proxy, client } = await begin(t);
  const { state: { theme } } = await client.profile();
  await client.change({ theme: theme === 'dark' ? 'light' : 'dark' });
  const { version } = await client.profile();
  proxy.whole = true;
  const held = proxy.keepsBack('GET profile');
  const late = client.profile();
  await held.came;
  await client.change({ theme });
  held.go();
  await late;
  assert.equal((await client.change({ theme: 'dark' })).version, version + 2);
});

for (const [name, status, body, headers] of [
  ['HTML with 502', 502, '<html><body>Bad Gateway</body></html>'],
  ['nothing with 502', 502, ''],
  ['nothing with 200', 200, ''],
  ['HTML with 200', 200, '<html>Sign in to the network</html>'],
  ['JSON of its own with 503', 503, '{"message":"no upstream"}', { 'content-type': 'application/json', 'retry-after': '7' }],
  ['null with 200', 200, 'null', { 'content-type': 'application/json' }],
  ['HTML with 401', 401, '<html>Who are you?</html>'],
  ['nothing with 204', 204, ''],
]) {
  test(`a proxy that answers ${name} ends no login`, async (t) => {
    const { proxy, client } = await begin(t);
    for (const [request, act] of [
      ['GET profile', () => client.profile()], ['PATCH profile', () => client.change({ theme: 'dark' })],
      ['POST refresh', () => client.refresh()], ['POST login', () => enter(client, 'bob')],
    ]) {
      proxy.answers(request, status, body, headers);
      await refused(act(), 'unreadable', status);
      proxy.spoil = () => {};
      await isIn(client, 'alice');
    }
    if (status === 204) return;
    proxy.answers('POST logout', status, body, headers);
    await refused(client.logout(), 'unreadable', status);
    assert.ok(client.mayBeIn, 'a logout that was not confirmed');
  });
}

test('half of an answer, and none, is a problem', async (t) => {
  const { proxy, client } = await begin(t);
  proxy.spoil = (name, answer) => { answer.headers['content-length'] = '9999'; answer.cut = true; };
  await assert.rejects(client.change({ theme: 'dark' }), ({ code }) => ['unreadable', 'unreachable'].includes(code));
  const nowhere = new TokenClient('http://127.0.0.1:1/token');
  await refused(enter(nowhere, 'alice'), 'unreachable', 0);
});

for (const code of ['bad_login', 'not_yet_valid', 'no_credential']) {
  test(`a 401 ${code} ends no login that has tokens`, async (t) => {
    const { proxy, client } = await begin(t);
    proxy.answers('GET profile', 401, `{"title":"No","detail":"","code":"${code}"}`, { 'content-type': 'application/problem+json' });
    await refused(client.profile(), code, 401);
    proxy.spoil = () => {};
    await isIn(client, 'alice');
  });
}

test('a 401 of the refresh token ends the login', async (t) => {
  const { proxy, client } = await begin(t);
  await refused(client.login('bob', 'wrong password'), 'bad_login', 401);
  await isIn(client, 'alice');
  proxy.answers('POST refresh', 401, '{"title":"No","detail":"","code":"revoked"}', { 'content-type': 'application/problem+json' });
  await refused(client.refresh(), 'revoked', 401);
  assert.equal(client.mayBeIn, false);
});

test('a key that was dropped is one renewal', async (t) => {
  const { proxy, client } = await begin(t);
  let once = true;
  proxy.spoil = (name, answer) => {
    if (name !== 'GET profile' || !once) return;
    once = false;
    Object.assign(answer, { status: 401, body: '{"title":"No","detail":"","code":"bad_signature"}' });
  };
  proxy.asked.length = 0;
  await isIn(client, 'alice');
  assert.deepEqual(proxy.asked, ['GET profile', 'POST refresh', 'GET profile']);
});

for (const [name, alter] of [['weak', (tag) => `W/${tag}`], ['another', (tag) => tag.replace('"', '"gzip-')]]) {
  test(`a proxy that makes a tag ${name} prevents no change, and no other change is lost`, async (t) => {
    const { proxy, client } = await begin(t);
    proxy.spoil = (_, { headers }) => { if (headers.etag) headers.etag = alter(headers.etag); };
    const { version } = await client.profile();
    for (const [i, theme] of ['dark', 'light', 'dark'].entries()) {
      assert.equal((await client.change({ theme })).version, version + i + 1);
    }
    assert.equal(proxy.asked.some((asked) => asked.includes('W/')), false, 'an If-Match with a weak tag never succeeds');
    // Another version, as if another tab had changed it.
    const inner = proxy.spoil;
    proxy.spoil = (request, answer) => {
      inner(request, answer);
      if (request === 'GET profile') answer.body = answer.body.replace(`"version":${version + 3}`, `"version":${version + 4}`);
    };
    await refused(client.change({ theme: 'light' }), 'version_mismatch', 412);
  });
}
