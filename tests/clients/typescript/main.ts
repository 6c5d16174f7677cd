// A client of statelab with types that openapi-typescript made of openapi.yaml:
//
//     npx openapi-typescript openapi.yaml -o tests/clients/typescript/schema.d.ts
//
// It logs in, reads the profile and handles errors by their code, once with a cookie
// and once with an access token.
import createClient, { type Middleware } from 'openapi-fetch';
import type { components, paths } from './schema.js';

type Strategy = components['schemas']['Strategy'];
type Login = components['schemas']['Login'];
type Problem = components['schemas']['Problem'];

declare const process: { argv: string[] };

/** keeper keeps what an answer gives and sends it with the next request. A browser does this with cookies by itself. */
function keeper(): Middleware & { keep(login: Login): void } {
  let token = '';
  let cookie = '';
  return {
    onRequest({ request }) {
      if (token) request.headers.set('Authorization', `Bearer ${token}`);
      if (cookie) request.headers.set('Cookie', cookie);
      return request;
    },
    onResponse({ response }) {
      for (const line of response.headers.getSetCookie()) cookie = line.includes('Max-Age=0') ? '' : line.split(';', 1)[0]!;
    },
    keep(login) {
      if (login.credential.kind === 'bearer') token = login.credential.access_token;
    },
  };
}

/** advice says what a user can do about a problem. The code is stable; titles and details may change. */
function advice(problem: Problem): string {
  switch (problem.code) {
    case 'bad_login':
      return 'check username and password';
    case 'no_credential':
    case 'unknown_session':
    case 'expired':
      return 'log in';
    case 'insufficient_credits':
      return 'spend less';
    default:
      return problem.detail;
  }
}

/** expect stops the program if the advice is not the expected one. */
function expect(problem: Problem | undefined, wanted: string): void {
  const given = problem ? advice(problem) : 'no problem';
  if (given !== wanted) throw new Error(`"${given}" instead of "${wanted}"`);
}

async function visit(baseUrl: string, strategy: Strategy): Promise<void> {
  const kept = keeper();
  const api = createClient<paths>({ baseUrl });
  api.use(kept);
  const params = { path: { strategy } };

  expect((await api.GET('/{strategy}/profile', { params })).error, 'log in');
  const login = await api.POST('/{strategy}/login', { params, body: { username: 'alice', password: 'wonderland' } });
  if (login.error) throw new Error(advice(login.error));
  kept.keep(login.data);

  const profile = await api.GET('/{strategy}/profile', { params });
  if (profile.error) throw new Error(advice(profile.error));
  console.log(`${profile.data.strategy}: ${profile.data.user.display_name} has ${profile.data.state.credits} credits`);

  expect((await api.POST('/{strategy}/spend', { params, body: { amount: 1000 } })).error, 'spend less');
  const logout = await api.POST('/{strategy}/logout', { params });
  if (logout.error) throw new Error(advice(logout.error));
}

for (const strategy of ['session', 'token'] as const) {
  await visit(process.argv[2] ?? 'http://localhost:8080', strategy);
}
