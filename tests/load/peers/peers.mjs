// The peers that run on Node.js. They do the same job as those in Go: see main.go beside.
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'

const loginPath = '/session/login'
const secret = randomBytes(32)

// values are what a session or a token keeps of a profile. The cart is empty.
const values = ({ user, state, version, issued_at, expires_at }) => ({
  sub: user.id, username: user.username, name: user.display_name, role: user.role,
  theme: state.theme, language: state.language, nickname: state.nickname, note: state.note, credits: state.credits,
  version, issued_at, expires_at,
})

// answerOf makes the answer of such values, or null if there is no login.
const answerOf = (v) => v?.sub && Date.now() < Date.parse(v.expires_at)
  ? JSON.stringify({
    strategy: 'session',
    user: { id: v.sub, username: v.username, display_name: v.name, role: v.role },
    state: { theme: v.theme, language: v.language, nickname: v.nickname, note: v.note, credits: v.credits, cart: [] },
    version: v.version, issued_at: v.issued_at, expires_at: v.expires_at,
  }) + '\n'
  : null

// fastify makes a server whose logins are kept by start(request, values), which may return a
// token, and found by find(request).
const fastify = (register, start, find) => async (job) => {
  const app = (await import('fastify')).default()
  await register(app)
  app.post(loginPath, async (request) => {
    const token = await start(request, values(job.profile), app)
    return token ? { credential: { access_token: token } } : {}
  })
  app.get(job.Path, async (request, reply) => {
    const answer = answerOf(await find(request))
    return answer ? reply.headers(job.headers).send(answer) : reply.code(401).send()
  })
  await app.listen({ port: 0, host: 'localhost' })
  return app.server
}

const peers = {
  'express-session': async (job) => {
    const [{ default: express }, { default: session }] = await Promise.all([import('express'), import('express-session')])
    const app = express()
    app.disable('x-powered-by')
    app.use(session({ secret: secret.toString('hex'), resave: false, saveUninitialized: false }))
    app.post(loginPath, (request, response) => request.session.regenerate(() => {
      request.session.values = values(job.profile)
      response.json({})
    }))
    app.get(job.Path, (request, response) => {
      const answer = answerOf(request.session.values)
      if (answer) response.set(job.headers).send(answer)
      else response.sendStatus(401)
    })
    const server = app.listen(0, 'localhost')
    await once(server, 'listening')
    return server
  },
  'fastify-session': fastify(async (app) => {
    await app.register((await import('@fastify/cookie')).default)
    await app.register((await import('@fastify/session')).default, {
      secret: secret.toString('hex'), cookie: { secure: false }, saveUninitialized: false,
    })
  }, async (request, v) => {
    await request.session.regenerate()
    request.session.set('values', v)
  }, (request) => request.session.get('values')),
  'fastify-secure-session': fastify(async (app) => {
    await app.register((await import('@fastify/secure-session')).default, { key: secret, cookie: { path: '/' } })
  }, (request, v) => { request.session.set('values', v) }, (request) => request.session.get('values')),
  'fastify-jwt': fastify(async (app) => {
    await app.register((await import('@fastify/jwt')).default, { secret })
  }, (request, v, app) => app.jwt.sign(v, { expiresIn: '8h' }), (request) => request.jwtVerify()),
}

// keepLogins prints how many bytes of memory a login takes in express-session's MemoryStore
// among so many, each of which belongs to an account of its own.
const keepLogins = async (logins) => {
  const { default: session } = await import('express-session')
  const store = globalThis.store = new session.MemoryStore() // which keeps it from the collector
  const used = () => { gc(); gc(); const m = process.memoryUsage(); return m.heapUsed + m.external }
  const before = used()
  for (let i = 0; i < logins; i++) {
    const now = new Date(), end = new Date(now.getTime() + 8 * 3600e3)
    store.sessions[randomBytes(24).toString('base64url')] = JSON.stringify({
      cookie: { originalMaxAge: null, expires: null, httpOnly: true, path: '/' },
      values: values({
        user: { id: String(i).padStart(26, '0'), username: `user-${i}`, display_name: `User ${i}`, role: 'member' },
        state: { theme: 'light', language: 'en', nickname: '', note: '', credits: 100 },
        version: 1, issued_at: now.toISOString(), expires_at: end.toISOString(),
      }),
    })
  }
  console.log(Math.round((used() - before) / logins))
}

if (process.argv[2] === 'memory') {
  await keepLogins(Number(process.argv[3]))
  process.exit(0)
}

const peer = peers[process.argv[2]]
if (!peer) {
  console.error(`peers: name one of ${Object.keys(peers).join(', ')}`)
  process.exit(1)
}
process.stdin.setEncoding('utf8')
process.stdin.on('end', () => process.exit()) // it ends with the tool that started us
const job = await new Promise((read) => {
  let text = ''
  process.stdin.on('data', (part) => {
    text += part
    try {
      read(JSON.parse(text))
    } catch { /* the rest is on the way */ }
  })
})
job.profile = JSON.parse(Buffer.from(job.Answer.Body, 'base64').toString())
job.headers = Object.fromEntries(Object.entries(job.Answer.Header).map(([name, [line]]) => [name, line]))
const server = await peer(job)
console.log(`http://localhost:${server.address().port}`)
