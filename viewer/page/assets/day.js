/** A day of one room: the timeline, the clips, the gaps with their reasons, and what was seen. */

import { button, el, fill, say } from "./elements.js";
import { call, get, listen, now, path, session } from "./api.js";
import { Playback } from "./playback.js";
import { KINDS, Timeline } from "./timeline.js";
import { clock, dayBeside, dayOf, length, size } from "./time.js";
import { cause, sentence, t } from "./words.js";
import { go } from "./app.js";
import { card } from "./notes.js";

const AGAIN_MS = 60000;
const SPEEDS = [1, 2, 4, 8];

export function show(main, place, camera) {
  const view = new DayView(main, camera, place.searchParams);
  view.begin();
  return () => view.close();
}

class DayView {
  constructor(main, camera, query) {
    this.main = main;
    this.camera = camera;
    this.day = query.get("day") ?? dayOf(now());
    this.at = query.get("at");
    this.span = [null, null];
    this.timeline = new Timeline(camera, (moment) => this.play(moment));
    this.playback = new Playback(camera, (moment, clip) => this.moved(moment, clip));
    this.playback.changed = () => this.drawTools();
    this.sums = el("p", { class: "sums" });
    this.clockWords = el("output", { class: "clock" });
    this.tools = el("div", { class: "tools" });
    this.lists = el("div", { class: "lists" });
    this.player = el("div", { class: "player" }, this.playback.root, this.clockWords, this.tools);
    this.player.hidden = true; // until a moment is chosen
  }

  async begin() {
    let cameras = [];
    try {
      cameras = await get("/api/cameras");
    } catch (error) {
      say(t(error.status === 0 ? "unreachable" : "failed", { why: error.message }));
    }
    if (this.closed) return;
    this.drawFrame(cameras);
    await this.load();
    if (this.closed) return;
    if (this.at) this.play(Date.parse(this.at));
    let isOpen = true; // after midnight it is read once more
    const again = () => {
      if (isOpen) this.load();
      isOpen = this.isToday();
    };
    this.timer = setInterval(again, AGAIN_MS);
    this.unlisten = listen({ clip: ({ camera }) => camera === this.camera && again() }, again);
  }

  isToday() {
    return this.day === dayOf(now());
  }

  drawFrame(cameras) {
    const chosen = cameras.find((each) => each.id === this.camera);
    const to = (camera, day) => go(path(`/rooms/${camera}`, { day }));
    const rooms = el(
      "select",
      { id: "room", onchange: (event) => to(event.target.value, this.day) },
      ...cameras.map((each) =>
        el("option", { value: each.id, selected: each.id === this.camera }, each.title),
      ),
    );
    rooms.value = this.camera;
    const date = el("input", {
      id: "day",
      type: "date",
      value: this.day,
      max: dayOf(now()),
      onchange: (event) => event.target.value && to(this.camera, event.target.value),
    });
    fill(
      this.main,
      el("h1", {}, chosen?.title ?? this.camera),
      el(
        "div",
        { class: "chooser" },
        el("label", { for: "room" }, t("room")),
        rooms,
        button("‹", () => to(this.camera, dayBeside(this.day, -1)), {
          "aria-label": t("previousDay"),
        }),
        el("label", { for: "day" }, t("day")),
        date,
        button("›", () => to(this.camera, dayBeside(this.day, 1)), {
          "aria-label": t("nextDay"),
          disabled: this.isToday(),
        }),
        el("span", { class: "zone" }, session.timezone),
      ),
      this.sums,
      this.timeline.root,
      this.player,
      this.lists,
    );
  }

  async load() {
    try {
      this.facts = await get(`/api/cameras/${this.camera}/days/${this.day}`);
    } catch (error) {
      say(t(error.status === 0 ? "unreachable" : "failed", { why: error.message }));
      return;
    }
    if (this.closed) return;
    this.timeline.set(this.facts);
    this.playback.set(this.facts.clips);
    this.sums.textContent = t("daySums", {
      stored: length(this.facts.stored_seconds),
      missing: length(faults(this.facts.missing).reduce((sum, each) => sum + each.seconds, 0)),
      pending: length(this.facts.not_yet_stored_seconds),
    });
    this.drawTools();
    this.drawLists();
  }

  play(moment) {
    this.player.hidden = false;
    this.timeline.mark(moment);
    this.playback.play(moment);
    this.drawTools();
  }

  moved(moment, clip) {
    const isNew = this.clip?.starts !== clip.starts;
    this.clip = clip;
    this.timeline.mark(moment);
    this.moment = moment;
    this.clockWords.textContent = clock(moment);
    if (isNew) this.drawTools();
  }

  drawTools() {
    const clip = this.clip && this.facts.clips.find((each) => same(each, this.clip));
    const isOperator = session.role === "operator";
    const isPaused = this.playback.video.paused;
    const speeds = el(
      "select",
      { "aria-label": t("speed"), onchange: (event) => this.playback.speed(+event.target.value) },
      ...SPEEDS.map((each) => el("option", { value: each }, `${each}×`)),
    );
    speeds.value = String(this.playback.rate);
    fill(
      this.tools,
      button(t(isPaused ? "play" : "pause"), () => this.playback.toggle(), {
        id: "play",
        disabled: !this.clip,
        class: "strong",
      }),
      speeds,
      ...(isOperator && clip ? this.clipTools(clip) : []),
      ...(isOperator ? this.spanTools() : []),
    );
  }

  clipTools(clip) {
    return [
      el("a", { href: `${this.playback.base(clip)}/download`, download: "" }, t("downloadClip")),
      button(t(clip.is_held ? "held" : "hold"), () => this.hold(clip), {
        "aria-pressed": String(clip.is_held),
        title: t("holdHint"),
      }),
    ];
  }

  spanTools() {
    const [from, to] = this.span;
    const mark = (place) => {
      this.span[place] = this.moment;
      if (this.span[0] !== null && this.span[1] !== null && this.span[1] <= this.span[0]) {
        this.span[1 - place] = null;
      }
      this.timeline.choosen(this.span);
      this.drawTools();
    };
    const isWhole = from !== null && to !== null;
    const address = isWhole
      ? path(`/api/cameras/${this.camera}/span`, {
          from: new Date(from).toISOString(),
          to: new Date(to).toISOString(),
        })
      : "";
    return [
      button(t("markFrom"), () => mark(0), { disabled: !this.clip }),
      button(t("markTo"), () => mark(1), { disabled: !this.clip }),
      isWhole &&
        el(
          "a",
          { href: address, download: "", class: "span-download" },
          `${t("downloadSpan")} ${clock(from)} – ${clock(to)}`,
        ),
    ];
  }

  async hold(clip) {
    try {
      await call(clip.is_held ? "DELETE" : "PUT", `${this.playback.base(clip)}/hold`);
      await this.load();
    } catch (error) {
      say(t("failed", { why: error.message }));
    }
  }

  drawLists() {
    const { missing, clips, notes } = this.facts;
    const opened = new Set(
      [...this.lists.querySelectorAll("details[open]")].map((each) => each.dataset.name),
    );
    const isFirst = !this.lists.childElementCount;
    const section = (name, count, content) =>
      el(
        "details",
        { "data-name": name, open: opened.has(name) || (isFirst && name === "notes") },
        el("summary", {}, `${t(name)} (${count})`),
        content,
      );
    fill(
      this.lists,
      section("notes", notes.length, this.notesList(notes)),
      section("gaps", missing.length, gapTable(missing)),
      section("clips", clips.length, this.clipTable(clips)),
    );
  }

  notesList(notes) {
    if (!notes.length) return el("p", { class: "empty" }, t("noNotes"));
    const newest = notes.slice(-60).reverse();
    return el(
      "ul",
      { class: "cards" },
      ...newest.map((note) => card(note, null, (moment) => this.play(moment))),
    );
  }

  clipTable(clips) {
    if (!clips.length) return el("p", { class: "empty" }, t("noClips"));
    const rows = clips.map((clip) =>
      el(
        "tr",
        { "data-clip": `${clip.epoch}-${clip.first}` },
        el("td", {}, button(clock(Date.parse(clip.starts_at)), () => this.play(Date.parse(clip.starts_at)))),
        el("td", {}, clock(Date.parse(clip.ends_at))),
        el("td", {}, String(clip.frames)),
        el("td", {}, size(clip.bytes)),
        el("td", {}, clip.container === "ts" ? t("keptBytes") : clip.codec.toUpperCase()),
        el("td", {}, clip.is_held ? t("held") : ""),
      ),
    );
    return table([t("from"), t("to"), "#", "", "", ""], rows);
  }

  close() {
    this.closed = true;
    clearInterval(this.timer);
    this.unlisten?.();
    this.playback.close();
  }
}

/** Gaps that somebody may have to explain. */
const faults = (missing) => missing.filter((each) => !KINDS[each.cause]);

const same = (one, other) => one.epoch === other.epoch && one.first === other.first;

function gapTable(missing) {
  if (!missing.length) return el("p", { class: "empty" }, t("noGaps"));
  const rows = missing.map((gap) =>
    el(
      "tr",
      {},
      el("td", {}, clock(Date.parse(gap.starts_at))),
      el("td", {}, clock(Date.parse(gap.ends_at))),
      el("td", {}, length(gap.seconds)),
      el("td", {}, cause(gap.cause)),
      el("td", { class: "fine" }, sentence(gap.reason)),
    ),
  );
  return table([t("from"), t("to"), t("length"), t("reason"), ""], rows);
}

/** A table that scrolls by itself on a small screen. */
export function table(headings, rows) {
  return el(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": headings.filter(Boolean).join(", ") },
    el(
      "table",
      {},
      el(
        "thead",
        {},
        el("tr", {}, ...headings.map((each) => el(each ? "th" : "td", each ? { scope: "col" } : {}, each))),
      ),
      el("tbody", {}, ...rows),
    ),
  );
}
