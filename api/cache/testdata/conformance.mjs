// Runs the public conformance suite for HTTP caches (npm http-cache-tests) against
// a cache. Its origin server is here, on a port that the first line of the output
// names; the address of the cache in front of it is the first line of the input.
// The last line of the output is JSON: for each group its tests, with what came of
// them.
//
// Time stands still, and moves when all tests that are not done pause: then a line
// of the output says by how many milliseconds, and a line of the input that the
// cache's clock has moved too. So no result depends on how fast the machine is.
import http from 'node:http'
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline/promises'
import { pathToFileURL } from 'node:url'

const root = pathToFileURL(`${process.env.STATELAB_NODE_MODULES}/http-cache-tests/`)
const load = async (name) => (await import(new URL(name, root))).default
const fetch = createRequire(new URL('cli.mjs', root))('node-fetch')
const { runTests, getResults } = await import(new URL('client/runner.mjs', root))
const groups = await load('tests/index.mjs')
const handlers = {
  config: await load('server/handle-config.mjs'),
  state: await load('server/handle-state.mjs'),
  test: await load('server/handle-test.mjs')
}

const began = Date.UTC(2026, 0, 2, 3, 4, 5) // as in conformance_test.go
let moved = 0
Date.now = () => began + moved
const pauses = [] // what goes on after the pause, the only timer of the suite
const realTimeout = globalThis.setTimeout
globalThis.setTimeout = (f, ms, ...args) => ms === 3000 ? pauses.push(f) : realTimeout(f, ms, ...args)

// moveOn moves the time whenever all tests pause that are not done.
function moveOn (tests, input) {
  const look = async () => {
    if (pauses.length > 0 && pauses.length + Object.keys(getResults()).length === tests) {
      moved += 3000
      const heard = new Promise((resolve) => input.once('line', resolve))
      print(3000)
      await heard
      for (const goOn of pauses.splice(0)) goOn()
    }
    realTimeout(look, 5)
  }
  look()
}

const print = console.log
console.log = () => {} // the suite warns of what its own tests provoke

const origin = http.createServer((request, response) => {
  // The Date of an answer is of the time that the tests have, unless they set one.
  const writeHead = response.writeHead
  response.writeHead = (...args) => {
    if (!response.hasHeader('Date')) response.setHeader('Date', new Date(Date.now()).toUTCString())
    return writeHead.apply(response, args)
  }
  const [, kind, ...rest] = new URL(request.url, 'http://origin').pathname.split('/')
  if (kind in handlers) return handlers[kind](rest, request, response)
  response.writeHead(404).end()
})
origin.listen(0, '127.0.0.1', async () => {
  print(origin.address().port)
  const input = createInterface({ input: process.stdin })
  const base = await new Promise((resolve) => input.once('line', resolve))
  const all = groups.flatMap(({ tests }) => tests.filter((test) => !test.browser_only))
  moveOn(all.length, input)
  await runTests(groups, fetch, false, base, all.length) // at once: they pause together
  const results = getResults()
  print(JSON.stringify(groups.map(({ id, name, tests }) => ({
    id,
    name,
    tests: tests.filter((test) => test.id in results).map((test) => ({
      id: test.id, kind: test.kind ?? 'required', needs: test.depends_on ?? [], result: results[test.id] === true ? '' : results[test.id].join(': ')
    }))
  }))))
  process.exit(0)
})
