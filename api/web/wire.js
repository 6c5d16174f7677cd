/** The wire view: requests as they went and answers as they came, in the notation of DevTools, secrets masked. */

import { element } from './dom.js';
import { masked } from './keep.js';
import { word } from './words.js';

/**
 * @param {import('./api.js').Exchange} exchange
 * @param {import('./traits.js').Traits} traits
 * @returns {HTMLLIElement}
 */
export function exchangeView(exchange, traits) {
  const { request, carried, status } = exchange;
  const sent = element('div', 'sent', element('p', 'start', element('b', '', request.method), ` ${request.url}`));
  if (request.body) sent.append(header('Content-Type', 'application/json'));
  sent.append(carried ? header(...carried, 'credential') : element('p', 'none', word(`wire.none.${traits.transport}`)));
  if (request.body) sent.append(element('p', 'body', JSON.stringify(request.body, hideSecrets)));

  const came = element('div', 'came', element('p', 'start', element('b', '', status ? String(status) : '–'), ` ${exchange.code}`));
  if (exchange.issued) came.append(...issuedView(exchange.body.credential));
  return element('li', '', sent, came);
}

/** A new credential in the answer. Script is never shown Set-Cookie, so that line is told from the answer's own account of it. */
function issuedView({ kind, name, bytes, access_token }) {
  if (kind === 'bearer') return [element('p', 'body', `{"credential": {"access_token": "${masked(access_token)}", …}}`)];
  return [header('Set-Cookie', `${name}=…`, 'credential'), element('p', 'none', word('wire.set_cookie', { bytes }))];
}

function header(name, value, className = '') {
  return element('p', className, element('span', 'name', `${name}:`), ` ${value}`);
}

function hideSecrets(name, value) {
  return /password|token/.test(name) ? '•••' : value;
}
