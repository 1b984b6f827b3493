/** Making elements: text is always text, never markup, so nothing that a camera is called or a model
 * has written can become part of the page's code. */

/**
 * @param {string} tag
 * @param {Record<string, unknown>} [attributes] `on…` are listeners, `data-…`/`aria-…` as they are;
 *   false, null and undefined are left out
 * @param {...(Node | string | number | null | undefined | false)} children
 * @returns {any}
 */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  return dress(made, attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes = {}, ...children) {
  return dress(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function dress(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "muted") made[name] = value;
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children) {
    if (child !== null && child !== undefined && child !== false) made.append(child);
  }
  return made;
}

/** A button with words; `pressed` makes it a toggle. */
export function button(words, onclick, attributes = {}) {
  return el("button", { type: "button", onclick, ...attributes }, words);
}

/** Replace what an element holds. The focus stays on what looks the same. */
export function fill(holder, ...children) {
  const focused = holder.contains(document.activeElement) ? document.activeElement : null;
  const wanted = focused && looks(focused);
  const place = focused && alike(holder, focused.tagName, wanted).indexOf(focused);
  holder.replaceChildren(...children.filter((child) => child || child === 0));
  if (focused && focused !== holder) alike(holder, focused.tagName, wanted)[place]?.focus();
}

const looks = (each) => each.id || each.getAttribute("href") || each.textContent;

const alike = (holder, tag, wanted) =>
  [...holder.querySelectorAll(tag)].filter((each) => looks(each) === wanted);

/** Say something in passing: to eyes and to screen readers. */
let forget;
export function say(words) {
  const said = document.getElementById("said");
  said.textContent = words;
  clearTimeout(forget);
  forget = setTimeout(() => (said.textContent = ""), 6000);
}
