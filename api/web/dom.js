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
 * Points an `<svg><use>` at a symbol of the sprite at the end of the document.
 * @param {Element} use
 * @param {string} name
 */
export function setIcon(use, name) {
  use.setAttribute('href', `#icon-${name}`);
}
