/** The tabs below the table. The one that is open stands in the address, so that a teacher can share it. */

import { changePlace, readPlace } from './place.js';

/** Names that links of the guide used before there were tabs. */
const aliases = { inside: 'xray', views: 'xray', thief: 'attacker', inbox: 'attacker' };

export class Tabs {
  #tabs = /** @type {HTMLButtonElement[]} */ ([...document.querySelectorAll('[role=tab]')]);

  constructor() {
    for (const tab of this.#tabs) {
      tab.addEventListener('click', () => this.open(tab.dataset.tab));
      tab.addEventListener('keydown', (event) => this.#walk(event));
    }
    addEventListener('hashchange', () => this.openAsAsked());
  }

  /** Opens the tab of the address, or the first one. */
  openAsAsked() {
    const { open = '' } = readPlace();
    const name = aliases[open] ?? open;
    const tab = this.#tabs.find((each) => each.dataset.tab === name);
    this.#select(tab ?? this.#tabs[0]);
    if (tab) this.#panelOf(tab).scrollIntoView({ block: 'nearest' });
  }

  /** @param {string} name */
  open(name) {
    changePlace({ open: name });
    this.#select(this.#tabs.find((tab) => tab.dataset.tab === name));
  }

  #select(chosen) {
    for (const tab of this.#tabs) {
      const selected = tab === chosen;
      tab.ariaSelected = String(selected);
      tab.tabIndex = selected ? 0 : -1;
      const panel = this.#panelOf(tab);
      panel.hidden = !selected;
      if (selected) panel.dispatchEvent(new Event('opened'));
    }
  }

  #panelOf(tab) {
    return document.getElementById(tab.getAttribute('aria-controls'));
  }

  /** Arrow keys move along the tabs, as the ARIA pattern of tabs asks. */
  #walk(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const at = this.#tabs.indexOf(event.currentTarget);
    const next = this.#tabs[(at + step + this.#tabs.length) % this.#tabs.length];
    this.open(next.dataset.tab);
    next.focus();
  }
}
