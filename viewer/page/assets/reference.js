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
        fields("→", contentOf(call.requestBody), description),
        el("p", { class: "fine" }, Object.keys(call.responses).join(", ")),
        fields("←", contentOf(call.responses["200"]), description),
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

const contentOf = (message) => message?.content?.["application/json"]?.schema;

/** What a body holds. */
function fields(arrow, schema, description) {
  const named = (schema?.items ?? schema)?.$ref?.split("/").at(-1);
  const made = named && description.components.schemas[named];
  if (!made?.properties) return null;
  return el(
    "ul",
    {},
    el("li", {}, `${arrow} `, el("code", {}, schema.items ? `[${named}, …]` : named)),
    ...Object.entries(made.properties).map(([name, each]) =>
      el("li", {}, el("code", {}, name), ` ${each.description ?? ""}`),
    ),
  );
}
