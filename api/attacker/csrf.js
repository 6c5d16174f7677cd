/** Sends the requests that only a script can send, to every strategy at once, and shows what this page gets to see of the answers. */

const { victim } = document.querySelector('main').dataset;
const rows = [...document.querySelectorAll('tr[data-strategy]')];

for (const button of document.querySelectorAll('button[data-route]')) {
  button.addEventListener('click', async () => {
    const { route, mode, type, body } = button.dataset;
    button.ariaBusy = 'true';
    await Promise.all(rows.map(async (row) => {
      // The browser adds the cookies that it holds for the victim, unless SameSite forbids it. It shows this page no answer.
      const seen = await fetch(`${victim}/${row.dataset.strategy}/${route}`, {
        method: 'POST', mode, credentials: 'include', headers: type ? { 'Content-Type': type } : {}, body,
      }).then((answer) => answer.type, (error) => String(error));
      row.querySelector('output').textContent = seen;
    }));
    button.ariaBusy = 'false';
  });
}
