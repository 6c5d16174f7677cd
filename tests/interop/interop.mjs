// Mints and verifies tokens with two implementations that are not ours, jose and
// jsonwebtoken. What to do comes as JSON on standard input, and what came of it
// goes to standard output:
//
//	{jwks, alg, now, secret?, key?, tokens: {name: token}, parts: {name: {header, claims}}}
//	{tokens: {name: token}, refusals: {library: {name: reason}}, thumbprints: {kid: thumbprint}}
//
// A token that a library has minted is called after both: "jose: genuine".
import { createRequire } from 'node:module'
import { text } from 'node:stream/consumers'
import { pathToFileURL } from 'node:url'

const require = createRequire(process.env.STATELAB_NODE_MODULES + '/')
const jose = await import(pathToFileURL(require.resolve('jose')))
const jsonwebtoken = require('jsonwebtoken')

const task = JSON.parse(await text(process.stdin))
const { alg, issuer, audience, now } = task
const jwks = await (await fetch(task.jwks)).json()

// The keys: an asymmetric one is verified with what the server publishes.
const secret = task.secret && Buffer.from(task.secret, 'base64url')
const remote = jose.createRemoteJWKSet(new URL(task.jwks))
const pem = jwks.keys.length && await jose.exportSPKI(await jose.importJWK(jwks.keys[0]))

const libraries = {
  jose: {
    mint: async ({ header, claims }) => new jose.SignJWT(claims).setProtectedHeader(header)
      .sign(secret ?? await jose.importJWK(task.key, header.alg), { crit: { x: true } }),
    verify: token => jose.jwtVerify(token, secret ?? remote, {
      algorithms: [alg], issuer, audience, typ: 'at+jwt', currentDate: new Date(now * 1000),
      requiredClaims: ['exp', 'sub', 'iat', 'jti', 'client_id'],
    }),
  },
  jsonwebtoken: {
    mint: ({ header, claims }) => jsonwebtoken.sign(claims, secret ?? pem, { header, algorithm: header.alg }),
    verify: token => jsonwebtoken.verify(token, secret ?? pem, { algorithms: [alg], issuer, audience, clockTimestamp: now }),
  },
}

// fault runs f and returns why it could not, or else nothing.
const fault = async f => {
  try { await f() } catch (error) { return `${error.name}: ${error.message}` }
}

const tokens = { ...task.tokens }
const refusals = {}
for (const [library, { mint }] of Object.entries(libraries)) {
  refusals[library] = {}
  for (const [name, parts] of Object.entries(task.parts)) {
    const why = await fault(async () => { tokens[`${library}: ${name}`] = await mint(parts) })
    if (why) refusals[library][`mint ${name}`] = why
  }
}
for (const [library, { verify }] of Object.entries(libraries)) {
  for (const [name, token] of Object.entries(tokens)) {
    const why = await fault(() => verify(token))
    if (why) refusals[library][name] = why
  }
}

const thumbprints = {}
for (const key of jwks.keys) thumbprints[key.kid] = await jose.calculateJwkThumbprint(key)
console.log(JSON.stringify({ tokens, refusals, thumbprints }))
