/** The table: a row for each fact, a column for each strategy. What an act has changed flashes once, and says what it was before. */

import { copyOf, element } from './dom.js';
import { hashOf, readPlace } from './place.js';
import { rows } from './rows.js';
import { word } from './words.js';

export class Table {
  #page;
  #table;
  /** Cells by "slug row". @type {Map<string, HTMLTableCellElement>} */
  #cells = new Map();
  /** Values by the same, as they were drawn last. @type {Map<string, string>} */
  #values = new Map();
  /** The same as they were before the last act. @type {Map<string, string>} */
  #before = new Map();
  #wanted;

  /**
   * @param {HTMLTableElement} table
   * @param {import('./page.js').Page} page
   * @param {(row: import('./rows.js').Row) => boolean} wanted which rows to show
   */
  constructor(table, page, wanted = () => true) {
    this.#table = table;
    this.#page = page;
    this.#wanted = wanted;
    page.addEventListener('columns', () => this.build());
    page.addEventListener('busy', () => { table.ariaBusy = String(page.busy); });
    page.addEventListener('acting', () => { this.#before = new Map(this.#values); });
    page.addEventListener('change', ({ detail }) => this.draw(detail?.act));
    document.addEventListener('words', () => {
      this.#before.clear();
      this.build();
    });
    table.addEventListener('animationend', ({ target }) => target.classList.remove('changed'));
  }

  /** Makes the head and a cell for each row and column shown. */
  build() {
    const columns = this.#page.shown;
    const head = element('tr', '', this.#table.querySelector('thead th') ?? element('td', ''), ...columns.map((column) => this.#headOf(column)));
    this.#table.tHead.replaceChildren(head);
    this.#cells.clear();
    this.#table.tBodies[0].replaceChildren(...rows.filter(this.#wanted).map((row) => this.#rowOf(row, columns)));
    this.draw();
  }

  #headOf({ slug, client, traits }) {
    const head = copyOf('column-head');
    head.dataset.strategy = slug;
    head.dataset.holder = traits.holder;
    const link = head.querySelector('a');
    link.textContent = slug;
    if (client) link.href = `/${slug}/${hashOf({ lang: readPlace().lang })}`;
    const hide = head.querySelector('[data-hide]');
    hide.ariaLabel = word('column.hide', { slug });
    hide.addEventListener('click', () => this.#page.hide(slug));
    hide.hidden = this.#page.single;
    return head;
  }

  /** @param {import('./rows.js').Row} row */
  #rowOf(row, columns) {
    const head = element('th', '', element('span', '', word(`row.${row.id}`)));
    head.scope = 'row';
    if (row.kind === 'design') head.append('\u00a0', designed());
    const line = element('tr', '', head);
    line.dataset.row = row.id;
    for (const { slug, traits } of columns) {
      const cell = element('td', '');
      cell.dataset.strategy = slug;
      cell.dataset.holder = traits.holder;
      this.#cells.set(`${slug} ${row.id}`, cell);
      line.append(cell);
    }
    return line;
  }

  /** @param {string} [act] the act that has changed something; without one nothing flashes */
  draw(act) {
    for (const column of this.#page.shown) {
      for (const row of rows.filter(this.#wanted)) this.#drawCell(column, row, act);
    }
    this.#table.ariaBusy = String(this.#page.busy);
  }

  #drawCell(column, row, act) {
    const key = `${column.slug} ${row.id}`;
    const cell = this.#cells.get(key);
    if (!cell) return;
    const { fields, mark, bar, value, code, trust, lift } = row.cell(column);
    const text = Object.values(fields).join(' ');
    const parts = [];
    if (mark) parts.push(markOf(mark), ' ');
    for (const [name, content] of Object.entries(fields)) parts.push(fieldOf(name, content, code), ' ');
    const before = this.#before.get(key);
    if (value !== undefined && before !== undefined && before !== value) parts.push(element('small', 'was', word('was', { value: before })));
    if (bar !== undefined) parts.push(barOf(bar));
    if (lift && this.#page.classroom) parts.push(this.#page.liftButton());
    if (trust) parts.push(this.#page.storageChoice(column));
    cell.replaceChildren(...parts);
    if (row.id === 'answer') cell.dataset.outcome = outcome(column);
    if (act && cell.dataset.text !== undefined && cell.dataset.text !== text) cell.classList.add('changed');
    cell.dataset.text = text;
    if (value) this.#values.set(key, value);
  }
}

/** The sign of a row that holds by design and is not measured here. */
function designed() {
  const made = element('span', 'kind', '◇');
  made.ariaLabel = word('kind.design');
  made.title = word('kind.design');
  made.role = 'img';
  return made;
}

const signs = { good: '✔', bad: '✘', partly: '◐', none: '–' };

/** A sign, with its word for those who do not see it. @param {keyof typeof signs} mark */
export function markOf(mark) {
  const made = element('span', `mark ${mark}`, signs[mark]);
  made.ariaLabel = word(`mark.${mark}`);
  made.role = 'img';
  return made;
}

function fieldOf(name, content, code) {
  const made = code ? element('code', '', ...coloured(content)) : element('span', '', content);
  made.dataset.field = name;
  return made;
}

/** A header with its name apart from its value. */
function coloured(header) {
  const at = header.indexOf(': ');
  return [element('span', 'name', header.slice(0, at + 1)), header.slice(at + 1)];
}

/** A bar on the scale from 0 to 8,192 bytes, with a line at 4,096. */
function barOf(bytes) {
  const bar = copyOf('bar');
  bar.querySelector('rect').setAttribute('width', String(Math.min(bytes, 8192)));
  return bar;
}

function outcome({ used, last, spared }) {
  if (!used || !last || spared) return '';
  return last.code ? 'refused' : 'done';
}

