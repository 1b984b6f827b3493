/** Logging in, and making the first user. */

import { button, el, fill, say } from "./elements.js";
import { call, enter, get, session } from "./api.js";
import { switchLanguage, t } from "./words.js";

/** @param {() => void} done when somebody is logged in */
export function show(main, place, done) {
  if (session) {
    queueMicrotask(done);
    return () => {};
  }
  const isSetup = place.pathname === "/setup";
  const fragment = place.hash.slice(1);
  if (fragment) history.replaceState(null, "", place.pathname + place.search); // it is nobody's business
  draw(main, isSetup, fragment, done);
  if (!isSetup) {
    get("/api/entrance")
      .then((found) => {
        if (found.needs_setup) main.querySelector(".hint").textContent = t("needsSetup");
      })
      .catch(() => {});
    // Filled in, never sent by itself: a link must not log anybody in as somebody else.
    const [name, password] = fragment.split(":");
    if (name && password) {
      main.querySelector("#name").value = name;
      main.querySelector("#password").value = password;
      main.querySelector("button[type=submit]").focus();
    }
  }
  return () => {};
}

function draw(main, isSetup, token, done) {
  document.title = `${t(isSetup ? "setUp" : "logIn")} · Cradle`;
  const name = el("input", { id: "name", autocomplete: "username", required: true, maxlength: 40 });
  const password = el("input", {
    id: "password",
    type: "password",
    autocomplete: isSetup ? "new-password" : "current-password",
    required: true,
    minlength: isSetup ? 10 : null,
    maxlength: 200,
  });
  const hint = isSetup ? (token ? t("setUpHint") : t("noToken")) : "";
  const form = el(
    "form",
    {
      class: "card entrance",
      onsubmit: (event) => {
        event.preventDefault();
        const given = { name: name.value, password: password.value };
        if (isSetup) send(main, "/api/setup", { ...given, token }, done);
        else send(main, "/api/session", given, done);
      },
    },
    el("img", { src: "/assets/icon.svg", alt: "", width: 56, height: 56 }),
    el("h1", {}, t(isSetup ? "setUp" : "logIn")),
    el("p", { class: "hint" }, hint),
    el("label", { for: "name" }, t("name")),
    name,
    el("label", { for: "password" }, t("password")),
    password,
    el("p", { class: "error", role: "alert" }),
    el("button", { type: "submit", class: "strong" }, t(isSetup ? "make" : "logIn")),
    button(t("otherLanguage"), () => {
      switchLanguage();
      draw(main, isSetup, token, done);
    }),
  );
  fill(main, form);
  name.focus();
}

async function send(main, path, content, done) {
  const error = main.querySelector(".error");
  try {
    enter(await call("POST", path, content));
    done();
  } catch (failed) {
    const words = {
      0: t("unreachable"),
      401: t("wrongLogin"),
      429: t("tooOften"),
    };
    error.textContent = words[failed.status] ?? t("failed", { why: failed.message });
    say(error.textContent);
  }
}
