/** The same acts for a terminal: what the page does with fetch, as curl lines that can be pasted one after the other. */

import { acts } from './api.js';

/** Reads one member of the answer in login.json, with a tool every shell has. */
const pick = (variable, member) => `${variable}=$(sed -n 's/.*"${member}": *"\\([^"]*\\)".*/\\1/p' login.json)`;

/**
 * @param {{slug: string, traits: import('./facts.js').Traits}} column
 * @param {string} act
 * @param {object} fields
 * @returns {string} a line, or for tokens a few: a terminal has no keeper, so the lines keep the tokens in variables
 */
export function curl({ slug, traits }, act, fields) {
  const bearer = traits.transport === 'bearer';
  const renewal = traits.refresh_token === 'body' ? { refresh_token: '$REFRESH' } : undefined;
  const { method, path, body, issues, bare } = acts[act]({ ...fields, renewal });

  const parts = ['curl -si'];
  if (!bearer) parts.push('-b jar -c jar');
  else if (!bare) parts.push('-H "Authorization: Bearer $TOKEN"');
  if (method !== (body ? 'POST' : 'GET')) parts.push(`-X ${method}`);
  if (body) parts.push("-H 'Content-Type: application/json'", '-d', quoted(JSON.stringify(body), body === renewal));
  parts.push(`${location.origin}/${slug}${path}`);
  if (!bearer || !issues) return parts.join(' ');

  const lines = [`${parts.join(' ')} | tee login.json`, pick('TOKEN', 'access_token')];
  if (issues === 'always' && traits.refresh_token === 'body') lines.push(pick('REFRESH', 'refresh_token'));
  return lines.join('\n');
}

/**
 * One word of a shell: in single quotes, where nothing is special, or in double quotes if a variable is to be filled in.
 * @param {string} text
 * @param {boolean} variable
 */
export function quoted(text, variable) {
  return variable ? `"${text.replaceAll('"', '\\"')}"` : `'${text.replaceAll("'", "'\\''")}'`;
}
