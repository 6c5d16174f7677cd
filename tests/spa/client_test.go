package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"statelab/state/store/storetest"
	"statelab/tests/harness"
)

// nodeIn returns a command of Node.js.
func nodeIn(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath("node")
	storetest.Need(t, "node", err == nil, "install Node.js")
	return exec.CommandContext(t.Context(), path, args...) // #nosec G204 -- ours
}

func TestTheClientSurvivesWhatAProxyAnswers(t *testing.T) {
	cmd := nodeIn(t, "--test-reporter=spec", "client.test.mjs")
	cmd.Env = append(os.Environ(), "STATELAB_API="+harness.NewServer(t).URL)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Regexp(t, `pass [1-9]\d`, string(out))
}

// TestTypesOfTheClient compiles the README's use of the client, and compares the members
// that client.d.ts names with those that client.js has.
func TestTypesOfTheClient(t *testing.T) {
	tsc := filepath.Join(os.Getenv("STATELAB_NODE_MODULES"), "typescript", "bin", "tsc")
	_, err := os.Stat(tsc)
	storetest.Need(t, "node", err == nil, "let STATELAB_NODE_MODULES name a node_modules with typescript")
	dir := t.TempDir()
	for _, name := range []string{"client.js", "client.d.ts"} {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	block := regexp.MustCompile("(?s)```ts\n(.*?)```").FindSubmatch(readme)
	require.NotNil(t, block)
	for name, text := range map[string]string{
		"hook.ts": string(block[1]) + `
export const use = async (): Promise<string> => (await client.change({ theme: 'dark' })).user.id;
// @ts-expect-error a change names members of the profile
void client.change({ colour: 'dark' });
`,
		"react.d.ts": `declare module 'react' {
	export function useState<T>(initial: T): [T, (next: T) => void];
	export function useEffect(effect: () => void, on: unknown[]): void;
}`,
		"members.mjs": `import * as client from './client.js';
import { readFileSync } from 'node:fs';
const types = readFileSync('client.d.ts', 'utf8');
const { SessionClient, TokenClient, Problem } = client;
const names = new Set([...types.matchAll(/^  (?:get )?(\w+)\(/gm)].map(([, name]) => name).filter((name) => name !== 'constructor'));
for (const made of [new SessionClient(''), new TokenClient('')]) for (const name of names) if (!(name in made)) throw new Error(name);
const said = Object.keys(new Problem({ code: 'x' })).sort().join();
if (said !== 'code,detail,requestId,retryAfter,status') throw new Error(said);
const exported = [...types.matchAll(/^export class (\w+)/gm)].map(([, name]) => name).sort().join();
if (exported !== Object.keys(client).sort().join()) throw new Error(exported);
`,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	for _, args := range [][]string{
		{tsc, "--noEmit", "--strict", "--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler", "--lib", "es2022,dom", "--skipLibCheck", "hook.ts", "react.d.ts"},
		{"members.mjs"},
	} {
		cmd := nodeIn(t, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
}
