/** The guide: a copy button at each block of code. The words of the buttons come with the document, so nothing else is loaded. */

import { copyOf, copyText } from './dom.js';

/** How long a button says that it has copied, in milliseconds. */
const shown = 2000;

for (const block of document.querySelectorAll('article pre')) {
  const code = block.firstElementChild;
  const button = copyOf('copy-button');
  const { textContent: label } = button;
  button.addEventListener('click', async () => {
    if (!await copyText(code)) return; // the text stays selected, for copying by hand
    button.textContent = button.dataset.copied;
    document.querySelector('[data-live]').textContent = button.dataset.copied;
    setTimeout(() => {
      button.textContent = label;
      document.querySelector('[data-live]').textContent = '';
    }, shown);
  });
  const frame = document.createElement('div');
  frame.className = 'code';
  block.replaceWith(frame);
  frame.append(block, button);
}

/** A table that is wider than its frame can be scrolled with the keyboard, so it takes part in the order of the Tab key. */
function fit() {
  for (const scroller of document.querySelectorAll('.scrolls')) {
    if (scroller.scrollWidth > scroller.clientWidth) scroller.setAttribute('tabindex', '0');
    else scroller.removeAttribute('tabindex');
  }
}
addEventListener('resize', fit);
fit();
