/** The frame around the views: who is logged in, where we are, in which language.
 *
 * A view is a module with `show(main, place)`, which fills the page and returns what ends it. Links
 * inside the page are followed without loading it anew.
 */

import { el, button, fill } from "./elements.js";
import { get, logOut, session, whoAmI } from "./api.js";
import { language, switchLanguage, t } from "./words.js";

const VIEWS = [
  { form: /^\/$/, view: () => import("./wall.js"), words: "live" },
  { form: /^\/rooms\/([a-z0-9-]+)$/, view: () => import("./day.js"), words: "theDay" },
  { form: /^\/notes$/, view: () => import("./notes.js"), words: "notes" },
  { form: /^\/system$/, view: () => import("./system.js"), words: "system" },
  { form: /^\/reference$/, view: () => import("./reference.js"), words: "reference" },
];
const LINKS = [
  ["/", "live"],
  ["/notes", "notes"],
  ["/system", "system", "operator"],
  ["/reference", "reference", "operator"],
];

let leave = () => {};
let turn = 0;

/** Go somewhere inside the page. */
export function go(address) {
  history.pushState(null, "", address);
  show();
}

async function show() {
  const mine = ++turn;
  leave();
  leave = () => {};
  const main = document.getElementById("main");
  const place = new URL(location.href);
  document.documentElement.lang = language();
  document.getElementById("skip").textContent = t("skip");
  if (place.pathname === "/login" || place.pathname === "/setup") {
    const entrance = await import("./entrance.js");
    fill(document.getElementById("bar"));
    leave = entrance.show(main, place, () => go(within(place.searchParams.get("next"))));
    return;
  }
  if (!session) {
    const entrance = await get("/api/entrance").catch(() => ({ needs_setup: false }));
    history.replaceState(null, "", entrance.needs_setup ? "/setup" : "/login");
    show();
    return;
  }
  const found = VIEWS.find(({ form }) => form.test(place.pathname)) ?? VIEWS[0];
  bar(place);
  document.title = `${t(found.words)} · Cradle`;
  const view = await found.view();
  if (mine !== turn) return;
  fill(main);
  leave = view.show(main, place, found.form.exec(place.pathname)?.[1]) ?? (() => {});
}

/** Where to after logging in: a path of this page, never another site. */
const within = (path) => (/^\/(?![/\\])/.test(path ?? "") ? path : "/");

function bar(place) {
  const links = LINKS.filter(([, , role]) => !role || session.role === role).map(([to, words]) =>
    el("a", { href: to, "aria-current": to === place.pathname ? "page" : null }, t(words)),
  );
  fill(
    document.getElementById("bar"),
    el("a", { href: "/", class: "brand" }, el("img", { src: "/assets/icon.svg", alt: "Cradle" }), el("span", { "aria-hidden": "true" }, "Cradle")),
    el("nav", { "aria-label": t("menu") }, ...links),
    el("span", { class: "spring" }),
    button(t("otherLanguage"), () => {
      switchLanguage();
      show();
    }),
    el("span", { class: "who" }, session.name),
    button(t("logOut"), async () => {
      await logOut().catch(() => {});
      location.assign("/login");
    }),
  );
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]");
  const plain = !event.defaultPrevented && !event.ctrlKey && !event.metaKey && !event.shiftKey;
  if (!link || !plain || link.target || link.hasAttribute("download")) return;
  const to = new URL(link.href);
  if (to.origin !== location.origin || to.pathname.startsWith("/api/")) return;
  event.preventDefault();
  if (to.hash) document.getElementById(to.hash.slice(1))?.focus();
  else go(link.getAttribute("href"));
});
window.addEventListener("popstate", show);

try {
  await whoAmI();
} catch {
  setTimeout(() => location.reload(), 3000); // the server is on its way up
}
show();
