/** What was seen: notes as they arrive, with filters and search, and how analysis is doing. */

import { button, el, fill, say } from "./elements.js";
import { get, listen, path } from "./api.js";
import { dateAndMinute, dayOf, fromLocal, minute } from "./time.js";
import { t, tOr } from "./words.js";

const PAGE = 40;
const PROVIDER_MS = 60000;
const ACTIVITIES = [
  "sleeping",
  "resting",
  "playing",
  "moving",
  "feeding",
  "crying",
  "with_carer",
  "out_of_view",
  "cannot_tell",
];

export function show(main, place) {
  const view = new NotesView(main, place.searchParams);
  view.begin();
  return () => view.close();
}

class NotesView {
  constructor(main, query) {
    this.main = main;
    this.titles = new Map();
    this.filters = Object.fromEntries(
      ["camera", "activity", "from", "to", "words"].map((name) => [name, query.get(name) ?? ""]),
    );
    this.list = el("ul", { class: "cards", "aria-live": "polite" });
    this.provider = el("p", { class: "provider" });
    this.more = button(t("more"), () => this.load(false), { hidden: true });
  }

  async begin() {
    try {
      for (const each of await get("/api/cameras")) this.titles.set(each.id, each.title);
    } catch (error) {
      say(t(error.status === 0 ? "unreachable" : "failed", { why: error.message }));
    }
    if (this.closed) return;
    this.draw();
    await this.load(true);
    if (this.closed) return;
    this.unlisten = listen({ note: ({ note, is_late }) => !is_late && this.arrived(note) }, () => this.load(true));
  }

  draw() {
    const field = (name, words, input) => [el("label", { for: `f-${name}` }, words), input];
    const choice = (name, any, options) => {
      const made = el(
        "select",
        { id: `f-${name}`, name },
        el("option", { value: "" }, any),
        ...options.map(([value, words]) => el("option", { value }, words)),
      );
      made.value = this.filters[name];
      return made;
    };
    const given = (name, type) =>
      el("input", { id: `f-${name}`, name, type, value: this.filters[name], maxlength: 100 });
    const form = el(
      "form",
      {
        class: "filters",
        role: "search",
        onsubmit: (event) => {
          event.preventDefault();
          this.filters = Object.fromEntries(new FormData(form));
          history.replaceState(null, "", path("/notes", this.filters));
          this.load(true);
        },
      },
      ...field("camera", t("room"), choice("camera", t("anyRoom"), [...this.titles])),
      ...field(
        "activity",
        t("activity"),
        choice("activity", t("anyActivity"), ACTIVITIES.map((each) => [each, tOr("activity", each)])),
      ),
      ...field("from", t("from"), given("from", "datetime-local")),
      ...field("to", t("to"), given("to", "datetime-local")),
      ...field("words", t("words"), given("words", "search")),
      el("button", { type: "submit", class: "strong" }, t("search")),
    );
    form.addEventListener("change", (event) => event.target.matches("select") && form.requestSubmit());
    fill(this.main, el("h1", {}, t("notes")), this.provider, form, this.list, this.more);
  }

  async load(isNew) {
    const { from, to } = this.filters;
    const iso = (text) => text && new Date(fromLocal(text)).toISOString();
    const before = isNew ? iso(to) : this.oldest;
    const query = {
      ...this.filters,
      from: iso(from),
      to: before,
      limit: PAGE,
    };
    let found;
    try {
      found = await get(path("/api/notes", query));
      await this.loadProvider();
    } catch (error) {
      say(t(error.status === 0 ? "unreachable" : "failed", { why: error.message }));
      return;
    }
    if (isNew) fill(this.list);
    if (isNew && !found.length) fill(this.list, el("li", { class: "empty" }, t("noNotes")));
    this.list.append(...found.map((note) => card(note, this.titles.get(note.camera) ?? note.camera)));
    this.oldest = found.at(-1)?.starts_at ?? this.oldest;
    this.more.hidden = found.length < PAGE;
  }

  async loadProvider() {
    this.providerAt = performance.now();
    this.drawProvider(await get("/api/notes/provider"));
  }

  drawProvider({ state, reason, until, budget }) {
    fill(
      this.provider,
      el("b", {}, `${t("analysis")}: `),
      tOr("provider", state),
      until ? ` ${t("until", { when: dateAndMinute(Date.parse(until)) })}` : null,
      reason ? el("span", { class: "fine" }, ` (${reason})`) : null,
      budget
        ? el(
            "span",
            { class: "budget" },
            t("budgetToday", {
              requests: budget.requests,
              requestsPerDay: budget.requests_per_day,
              tokens: budget.tokens,
              tokensPerDay: budget.tokens_per_day,
              usd: budget.usd,
              usdPerDay: budget.usd_per_day,
            }),
          )
        : null,
    );
    this.provider.dataset.state = state;
  }

  arrived(note) {
    if (performance.now() - this.providerAt > PROVIDER_MS) this.loadProvider().catch(() => {});
    const { camera, activity, words, from, to } = this.filters;
    const isWanted =
      !to &&
      (!from || Date.parse(note.starts_at) >= fromLocal(from)) &&
      (!camera || camera === note.camera) &&
      (!activity || activity === note.activity || activity === note.other_activity) &&
      words
        .split(/\s+/)
        .filter(Boolean)
        .every((word) => `${note.summary} ${note.evidence}`.includes(word));
    const known = [...this.list.children].some((each) => each.dataset.key === note.key);
    if (!isWanted || known) return;
    this.list.querySelector(".empty")?.remove();
    this.list.prepend(card(note, this.titles.get(note.camera) ?? note.camera));
    while (this.list.children.length > 500) this.list.lastChild.remove();
  }

  close() {
    this.closed = true;
    this.unlisten?.();
  }
}

/** One note. @param {string | null} room its title, where rooms differ
 * @param {(moment: number) => void} [play] */
export function card(note, room, play) {
  const starts = Date.parse(note.starts_at);
  const at = Date.parse(note.picture_at);
  const when = room ? dateAndMinute(starts) : minute(starts);
  const address = path(`/rooms/${note.camera}`, { day: dayOf(at), at: note.picture_at });
  return el(
    "li",
    { class: "card note", "data-key": note.key, "data-activity": note.activity },
    el("img", {
      src: path("/api/notes/picture", { key: note.key }),
      alt: "",
      loading: "lazy",
      width: 160,
      height: 90,
    }),
    el(
      "div",
      {},
      el(
        "h2",
        {},
        el("span", { class: `dot ${note.activity}`, "aria-hidden": "true" }),
        `${when} ${room ? `${room} · ` : ""}${tOr("activity", note.activity)}`,
        note.other_activity ? `, ${tOr("activity", note.other_activity)}` : "",
      ),
      el("p", {}, note.summary),
      el(
        "p",
        { class: "fine" },
        `${t("children")}: ${tOr("presence", note.children)} · ${t("adults")}: ${tOr("presence", note.adults)} · ${tOr("judged", note.judged_by)}`,
        note.remote_state && note.remote_state !== "ok"
          ? ` · ${tOr("provider", note.remote_state)}`
          : "",
      ),
      play
        ? button(t("play"), () => play(at))
        : el("a", { href: address }, t("theDay")),
    ),
  );
}
