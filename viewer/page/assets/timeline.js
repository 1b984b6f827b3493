/** A day as a band: footage and gaps above, what was seen below, a mark where playback is.
 *
 * Moments are milliseconds since 1970. The band shows `view` (begin and end), all of the day at
 * first; it zooms around the mark. It is a slider for the keyboard and for screen readers.
 */

import { button, el, fill, svg } from "./elements.js";
import { clock, minute } from "./time.js";
import { cause, sentence, t, tOr } from "./words.js";

const WIDTH = 1000;
const HEIGHT = 74;
const LEAST_VIEW_MS = 10 * 60 * 1000;
const HOVER_MS = 120;
/** Gaps that are nobody's fault. */
export const KINDS = { "not yet stored": "pending", "not yet recording": "before" };
const STEPS = { ArrowLeft: -10, ArrowRight: 10, PageDown: -600, PageUp: 600, ArrowDown: -60, ArrowUp: 60 };

export class Timeline {
  /** @param {string} camera
   * @param {(moment: number) => void} choose */
  constructor(camera, choose) {
    this.camera = camera;
    this.choose = choose;
    this.moment = null;
    this.span = [null, null];
    this.picture = svg("svg", {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      preserveAspectRatio: "none",
      "aria-hidden": "true",
    });
    this.ticks = el("div", { class: "ticks", "aria-hidden": "true" });
    this.band = el(
      "div",
      {
        class: "band",
        role: "slider",
        tabindex: 0,
        "aria-label": t("timeline"),
        "aria-describedby": "timeline-hint",
        onclick: (event) => this.choose(this.at(event)),
        onpointermove: (event) => this.hover(event),
        onpointerleave: () => this.unhover(),
        onkeydown: (event) => this.key(event),
        onwheel: (event) => this.wheel(event),
      },
      this.picture,
    );
    this.colours = el("span", { class: "legend" });
    this.tip = el("div", { class: "tip", hidden: true, "aria-hidden": "true" });
    this.root = el(
      "div",
      { class: "timeline" },
      el(
        "div",
        { class: "legend" },
        el("span", { class: "key stored" }, t("stored")),
        el("span", { class: "key missing" }, t("missing")),
        el("span", { class: "key pending" }, t("pending")),
        this.colours,
        el("span", { class: "spring" }),
        button(t("zoomIn"), () => this.zoom(0.5)),
        button(t("zoomOut"), () => this.zoom(2)),
      ),
      this.band,
      this.ticks,
      this.tip,
      el("p", { class: "hint", id: "timeline-hint" }, t("timelineHint")),
    );
  }

  /** @param {any} day as the API gives it */
  set(day) {
    const isFirst = !this.day || this.day.day !== day.day;
    this.day = day;
    this.bounds = [Date.parse(day.starts_at), Date.parse(day.whole_ends_at)];
    this.gaps = [...day.missing, ...day.not_yet_stored].map((each) => ({
      starts: Date.parse(each.starts_at),
      ends: Date.parse(each.ends_at),
      words: `${cause(each.cause)}: ${sentence(each.reason)}`,
      kind: KINDS[each.cause] ?? "missing",
    }));
    this.stored = day.stored.map((each) => [Date.parse(each.starts_at), Date.parse(each.ends_at)]);
    this.notes = day.notes.map((each) => ({
      starts: Date.parse(each.starts_at),
      ends: Date.parse(each.ends_at),
      note: each,
    }));
    if (isFirst) {
      this.view = [...this.bounds];
      this.moment = null;
    }
    this.draw();
  }

  /** Where playback is. */
  mark(chosen) {
    const [first, last] = this.bounds;
    // A clip may reach over midnight; no view of this day shows what lies beyond.
    const moment = chosen === null ? null : Math.min(last, Math.max(first, chosen));
    this.moment = moment;
    const inside = this.view && moment !== null;
    if (inside && (moment < this.view[0] || moment > this.view[1])) this.centre(moment);
    this.band.setAttribute("aria-valuenow", String(Math.round((moment ?? 0) / 1000)));
    this.band.setAttribute("aria-valuetext", moment === null ? "" : clock(moment));
    this.drawMark();
  }

  /** The chosen span. */
  choosen(span) {
    this.span = span;
    this.drawMark();
  }

  draw() {
    const children = [svg("rect", { class: "ground", x: 0, y: 0, width: WIDTH, height: HEIGHT })];
    for (const [starts, ends] of this.stored) {
      children.push(this.bar(starts, ends, 4, 30, "stored"));
    }
    for (const gap of this.gaps) {
      children.push(this.bar(gap.starts, gap.ends, 4, 30, gap.kind));
    }
    for (const run of runs(this.notes)) {
      const bar = this.bar(run.starts, run.ends, 40, 26, `activity ${run.activity}`);
      bar.dataset.activity = run.activity;
      children.push(bar);
    }
    const activities = new Set(this.notes.map(({ note }) => note.activity));
    fill(
      this.colours,
      ...[...activities].map((each) =>
        el("span", {}, el("span", { class: `dot ${each}` }), tOr("activity", each)),
      ),
    );
    this.cursor = svg("g", { class: "cursor" });
    fill(this.picture, ...children, this.cursor);
    this.band.setAttribute("aria-valuemin", String(Math.round(this.bounds[0] / 1000)));
    this.band.setAttribute("aria-valuemax", String(Math.round(this.bounds[1] / 1000)));
    this.drawTicks();
    this.mark(this.moment);
  }

  bar(starts, ends, y, height, name) {
    const left = Math.max(0, this.x(starts));
    const right = Math.min(WIDTH, this.x(ends));
    const shown = right > 0 && left < WIDTH;
    const width = shown ? Math.max(right - left, 0.6) : 0;
    return svg("rect", { class: name, x: left, y, width, height });
  }

  drawMark() {
    if (!this.cursor) return;
    const children = [];
    const [from, to] = this.span;
    if (from !== null && to !== null && to > from) {
      children.push(this.bar(from, to, 0, HEIGHT, "span"));
    }
    if (this.moment !== null) {
      const x = this.x(this.moment);
      children.push(svg("line", { x1: x, x2: x, y1: 0, y2: HEIGHT }));
    }
    fill(this.cursor, ...children);
  }

  drawTicks() {
    const [starts, ends] = this.view;
    const most = Math.max(3, this.band.clientWidth / 60);
    const step = [1, 2, 5, 10, 30, 60, 120, 180, 360].find(
      (minutes) => (ends - starts) / (minutes * 60000) <= most,
    );
    const every = (step ?? 360) * 60000;
    const marks = [];
    const first = this.bounds[0] + Math.ceil((starts - this.bounds[0]) / every) * every;
    for (let at = first; at <= ends; at += every) {
      const mark = el("span", {}, minute(at));
      const share = this.x(at) / WIDTH;
      mark.style.insetInlineStart = `clamp(1.2rem, ${share * 100}%, calc(100% - 1.2rem))`;
      marks.push(mark);
    }
    fill(this.ticks, ...marks);
  }

  x(moment) {
    const [starts, ends] = this.view;
    return ((moment - starts) / (ends - starts)) * WIDTH;
  }

  at(event) {
    const box = this.band.getBoundingClientRect();
    const share = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    return this.view[0] + share * (this.view[1] - this.view[0]);
  }

  zoom(factor, around = this.moment ?? (this.view[0] + this.view[1]) / 2) {
    const all = this.bounds[1] - this.bounds[0];
    const length = Math.min(all, Math.max(LEAST_VIEW_MS, (this.view[1] - this.view[0]) * factor));
    const share = (around - this.view[0]) / (this.view[1] - this.view[0]);
    const starts = Math.max(
      this.bounds[0],
      Math.min(this.bounds[1] - length, around - share * length),
    );
    this.view = [starts, starts + length];
    this.draw();
  }

  centre(moment) {
    const length = this.view[1] - this.view[0];
    const starts = Math.min(this.bounds[1] - length, Math.max(this.bounds[0], moment - length / 2));
    this.view = [starts, starts + length];
    this.moment = moment;
    this.draw();
  }

  wheel(event) {
    if (!event.ctrlKey) return; // the page scrolls
    event.preventDefault();
    this.zoom(event.deltaY > 0 ? 1.25 : 0.8, this.at(event));
  }

  key(event) {
    const step = STEPS[event.key];
    const from = this.moment ?? this.stored[0]?.[0] ?? this.bounds[0];
    if (step) {
      const to = from + step * 1000;
      this.mark(Math.min(this.bounds[1], Math.max(this.bounds[0], to)));
    } else if (event.key === "Enter" || event.key === " ") this.choose(from);
    else if (event.key === "Home") this.mark(this.stored[0]?.[0] ?? this.bounds[0]);
    else if (event.key === "End") this.mark(this.stored.at(-1)?.[0] ?? this.bounds[0]);
    else if (event.key === "+") this.zoom(0.5);
    else if (event.key === "-") this.zoom(2);
    else return;
    event.preventDefault();
  }

  hover(event) {
    if (event.pointerType === "touch") return;
    const moment = this.at(event);
    const box = this.band.getBoundingClientRect();
    const within = (each) => each.starts <= moment && moment < each.ends;
    const gap = this.gaps.find(within);
    const noted = this.notes.find(within);
    const isStored = this.stored.some(([starts, ends]) => starts <= moment && moment < ends);
    const image = el("img", { alt: "", width: 160, hidden: true });
    fill(
      this.tip,
      image,
      el("b", {}, clock(moment)),
      gap ? el("span", {}, gap.words) : null,
      noted ? el("span", {}, `${tOr("activity", noted.note.activity)}: ${noted.note.summary}`) : null,
    );
    this.tip.hidden = false;
    const share = (event.clientX - box.left) / box.width;
    this.tip.style.insetInlineStart = `clamp(0px, calc(${share * 100}% - 90px), calc(100% - 190px))`;
    clearTimeout(this.later);
    if (!isStored) return;
    this.later = setTimeout(() => {
      image.src = `/api/cameras/${this.camera}/picture?at=${new Date(moment).toISOString()}`;
      image.onload = () => (image.hidden = false);
    }, HOVER_MS);
  }

  unhover() {
    clearTimeout(this.later);
    this.tip.hidden = true;
  }
}

/** Neighbouring notes of the same activity are one span. */
function runs(notes) {
  const found = [];
  for (const { starts, ends, note } of notes) {
    const last = found.at(-1);
    if (last && last.activity === note.activity && starts - last.ends < 90000) last.ends = ends;
    else found.push({ starts, ends, activity: note.activity });
  }
  return found;
}
