/** The API's own description, for people: every call, what it takes and what it answers. */

import { el, fill, say } from "./elements.js";
import { get } from "./api.js";
import { t } from "./words.js";

export function show(main) {
  get("/api/openapi.json")
    .then((description) => draw(main, description))
    .catch((error) => say(t("failed", { why: error.message })));
  return () => {};
}

function draw(main, description) {
  const calls = Object.entries(description.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, call]) => ({ path, method, call })),
  );
  fill(
    main,
    el("h1", {}, `${description.info.title} API ${description.info.version}`),
    el("p", {}, description.info.description),
    el("p", {}, el("a", { href: "/api/openapi.json", target: "_blank" }, "openapi.json")),
    ...calls.map(({ path, method, call }) =>
      el(
        "details",
        {},
        el("summary", {}, el("code", {}, `${method.toUpperCase()} ${path}`)),
        el("p", {}, call.description ?? call.summary),
        parameters(call.parameters ?? []),
        el("p", { class: "fine" }, Object.keys(call.responses).join(", ")),
      ),
    ),
  );
}

function parameters(found) {
  if (!found.length) return null;
  return el(
    "ul",
    {},
    ...found.map((each) =>
      el("li", {}, el("code", {}, each.name), ` (${each.in}) ${each.description ?? ""}`),
    ),
  );
}
