/** The few lines of DOM that every module here needs. Text is only ever set as text: no module builds markup from strings. */

/**
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {string} className
 * @param {...(string | Node)} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

/**
 * A copy of the one element inside `<template id="…">`.
 * @param {string} id
 * @returns {HTMLElement}
 */
export function copyOf(id) {
  const template = /** @type {HTMLTemplateElement} */ (document.getElementById(id));
  return /** @type {HTMLElement} */ (template.content.firstElementChild.cloneNode(true));
}

/**
 * Copies the text of an element, and leaves it selected for copying by hand. Browsers have navigator.clipboard on HTTPS and localhost
 * only; elsewhere the older command copies what is selected.
 * @param {Element} source
 * @returns {Promise<boolean>} whether the text is on the clipboard
 */
export async function copyText(source) {
  getSelection().selectAllChildren(source);
  try {
    await navigator.clipboard.writeText(source.textContent);
    return true;
  } catch {
    return document.execCommand('copy');
  }
}
