// Runs the public conformance suite for HTTP caches (npm http-cache-tests) against
// a cache. Its origin server is here, on a port that the first line of the output
// names; the address of the cache in front of it is the first line of the input.
// The rest of the output is JSON: for each group its tests, with what came of them.
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

const print = console.log
console.log = () => {} // the suite warns of what its own tests provoke

const origin = http.createServer((request, response) => {
  const [, kind, ...rest] = new URL(request.url, 'http://origin').pathname.split('/')
  if (kind in handlers) return handlers[kind](rest, request, response)
  response.writeHead(404).end()
})
origin.listen(0, '127.0.0.1', async () => {
  print(origin.address().port)
  const input = createInterface({ input: process.stdin })
  const base = await new Promise((resolve) => input.once('line', resolve))
  await runTests(groups, fetch, false, base, 500) // at once: most of it is waiting
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
