/** The live wall: all rooms in a grid, or one large (`/?room=id`).
 *
 * Only tiles that can be seen play, for decoding is what a wall of many rooms costs: those beyond the
 * edge of the screen, and all of a page in the background, rest, but for rooms that are listened to.
 */

import { button, el, fill, say } from "./elements.js";
import { get, listen, now, session } from "./api.js";
import { expiredWords } from "./expired.js";
import { LivePlayer, snapshot } from "./live.js";
import { clock, dateAndMinute, minute } from "./time.js";
import { cause, sentence, t, tOr } from "./words.js";
import { go } from "./app.js";

const AGAIN_MS = 3000;
const OLD_MS = 3600 * 1000;
const AHEAD = "25%";
const HIDDEN_MS = 5000;

export function show(main, place) {
  const wall = new Wall(main, place.searchParams.get("room"));
  wall.load();
  return () => wall.close();
}

class Wall {
  constructor(main, chosen) {
    this.main = main;
    this.chosen = chosen;
    this.tiles = new Map();
    this.onkey = (event) => this.key(event);
    document.addEventListener("keydown", this.onkey);
    this.onhide = () => {
      clearTimeout(this.resting);
      const rest = () => this.tiles.forEach((tile) => tile.see({ isPageSeen: !document.hidden }));
      if (document.hidden) this.resting = setTimeout(rest, HIDDEN_MS);
      else rest();
    };
    document.addEventListener("visibilitychange", this.onhide);
    this.watch = new IntersectionObserver((found) => this.moved(found), { rootMargin: AHEAD });
    const handlers = {
      camera: (facts) => this.tiles.get(facts.id)?.said(facts),
      expired: ({ id, expired }) => this.tiles.get(id)?.warn(expired),
      note: ({ note, is_late }) => !is_late && this.tiles.get(note.camera)?.seen(note),
    };
    this.unlisten = listen(handlers, () => this.look());
  }

  async load() {
    try {
      const cameras = (await get("/api/cameras")).filter((each) => each.is_configured);
      if (!this.closed) this.draw(cameras);
    } catch (error) {
      if (error.status === 0) say(t("unreachable"));
      this.again = setTimeout(() => !this.closed && this.load(), AGAIN_MS);
    }
  }

  /** What may have been missed. */
  async look() {
    const cameras = await get("/api/cameras").catch(() => []);
    for (const camera of cameras) {
      this.tiles.get(camera.id)?.said(camera);
      this.tiles.get(camera.id)?.seen(camera.last_note);
      this.tiles.get(camera.id)?.warn(camera.expired);
    }
  }

  draw(cameras) {
    const shown = this.chosen ? cameras.filter((each) => each.id === this.chosen) : cameras;
    if (!shown.length) {
      fill(this.main, el("p", { class: "empty" }, t("noCameras")));
      return;
    }
    this.overload = el("p", { class: "bad", role: "status", hidden: true }, t("overload"));
    const onstate = () => {
      this.overload.hidden = ![...this.tiles.values()].some((tile) => tile.last.isBehind);
    };
    for (const camera of shown) {
      this.tiles.set(camera.id, new Tile(camera, Boolean(this.chosen), onstate));
    }
    fill(
      this.main,
      el("h1", { class: this.chosen ? "" : "quiet" }, this.chosen ? shown[0].title : t("live")),
      this.chosen ? el("a", { href: "/", class: "back" }, `← ${t("allRooms")}`) : null,
      this.overload,
      el(
        "div",
        { class: this.chosen ? "wall one" : "wall", "data-rooms": shown.length },
        ...[...this.tiles.values()].map((tile) => tile.figure),
      ),
      el("p", { class: "hint keys" }, t("keys")),
    );
    for (const tile of this.tiles.values()) this.watch.observe(tile.figure);
  }

  /** Tiles came onto the screen, or left it. */
  moved(found) {
    for (const { target, isIntersecting } of found) {
      this.tiles.get(target.dataset.camera)?.see({ isOnScreen: isIntersecting });
    }
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    const tiles = [...this.tiles.values()];
    const at = tiles.findIndex((tile) => tile.figure.contains(document.activeElement));
    const tile = tiles[at] ?? (tiles.length === 1 ? tiles[0] : undefined);
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step && tiles.length) {
      tiles[(at + step + tiles.length) % tiles.length].figure.focus();
    } else if (event.key === "Escape" && this.chosen && !document.fullscreenElement) {
      go("/");
    } else if (event.key === "Enter" && tile && document.activeElement === tile.figure) {
      go(this.chosen ? "/" : `/?room=${tile.camera.id}`);
    } else if (tile && event.key === "s") {
      tile.snapshot();
    } else if (tile && event.key === "m") {
      tile.toggleSound();
    } else if (tile && event.key === "f") {
      tile.fullScreen();
    } else {
      return;
    }
    event.preventDefault();
  }

  close() {
    this.closed = true;
    clearTimeout(this.again);
    clearTimeout(this.resting);
    this.watch.disconnect();
    document.removeEventListener("keydown", this.onkey);
    document.removeEventListener("visibilitychange", this.onhide);
    this.unlisten();
    for (const tile of this.tiles.values()) tile.close();
  }
}

const STARTING = { state: "starting", delay: null, at: null, isBehind: false };

class Tile {
  constructor(camera, isLarge, onstate) {
    this.camera = camera;
    this.onstate = onstate;
    this.live = camera.live;
    this.because = camera.cause;
    this.reason = camera.reason;
    this.last = STARTING;
    this.isOnScreen = false;
    this.isPageSeen = !document.hidden;
    this.video = el("video", {
      playsinline: true,
      muted: true,
      autoplay: true,
      tabindex: -1,
      onvolumechange: () => {
        this.soundButton.setAttribute("aria-pressed", String(!this.video.muted));
        this.see({});
      },
    });
    this.badge = el("span", { class: "badge" });
    this.veil = el("div", { class: "veil", hidden: true });
    this.words = el("p", { class: "note" });
    this.warning = el("p", { class: "bad", role: "status", hidden: true });
    this.soundButton = button(t("sound"), () => this.toggleSound(), { "aria-pressed": "false" });
    this.figure = el(
      "figure",
      { class: "tile", tabindex: 0, "data-camera": camera.id, "aria-label": camera.title },
      el("div", { class: "picture", ondblclick: () => this.fullScreen() }, this.video, this.veil),
      el(
        "figcaption",
        {},
        el("div", { class: "heading" }, el("h2", {}, camera.title), this.badge),
        this.words,
        this.warning,
        el(
          "div",
          { class: "tools" },
          isLarge ? null : el("a", { href: `/?room=${camera.id}` }, t("enlarge")),
          el("a", { href: `/rooms/${camera.id}` }, t("theDay")),
          this.soundButton,
          button(t("snapshot"), () => this.snapshot()),
          button(t("fullScreen"), () => this.fullScreen()),
        ),
      ),
    );
    this.seen(camera.last_note);
    this.warn(camera.expired);
    this.draw();
  }

  /** Play while somebody can see it, or hears it. */
  see(change) {
    Object.assign(this, change);
    const isWanted = (this.isOnScreen && this.isPageSeen) || !this.video.muted;
    if (isWanted && !this.player) this.begin();
    else if (!isWanted && this.player) this.rest();
  }

  rest() {
    this.player.close();
    this.player = null;
    this.last = STARTING;
    this.draw();
    this.onstate();
  }

  begin() {
    this.player = new LivePlayer(this.video, this.camera.id, (state) => {
      this.last = state;
      this.draw();
      this.onstate();
    });
  }

  /** What the stages say of the camera. */
  said({ live, cause: because, reason }) {
    this.live = live;
    this.because = because;
    this.reason = reason;
    this.draw();
  }

  seen(note) {
    if (!note) return;
    const at = Date.parse(note.ends_at);
    const isOld = now() - at > OLD_MS;
    const words = `${isOld ? dateAndMinute(at) : minute(at)} ${tOr("activity", note.activity)}: `;
    fill(this.words, el("b", {}, words), note.summary);
  }

  /** Of footage that was deleted unarchived. */
  warn(expired) {
    this.warning.hidden = !expired;
    this.warning.textContent = expired ? expiredWords(expired) : "";
  }

  draw() {
    const { state, delay, at } = this.last;
    const shown = state === "starting" && this.live !== "live" ? this.live : state;
    const known = shown === "stale" && this.live !== "live" ? this.live : shown;
    this.tell(state === "live" ? "live" : known);
    const late = state === "live" && delay !== null;
    this.badge.textContent = late
      ? `${t("state_live")} · ${t("delay", { seconds: Math.max(0, delay).toFixed(1) })}`
      : tOr("state", known);
    this.veil.hidden = state === "live";
    if (state !== "live") {
      const since = at === null ? t("noPicture") : t("staleSince", { clock: clock(at) });
      fill(
        this.veil,
        el("strong", {}, tOr("state", known)),
        el("span", {}, since),
        this.because ? el("small", {}, cause(this.because)) : null,
        this.reason && session.role === "operator" ? el("small", {}, sentence(this.reason)) : null,
      );
    }
  }

  /** Of a picture that is lost, or is back, screen readers are told as well. */
  tell(state) {
    this.figure.dataset.state = state;
    const isLive = state === "live";
    if (!isLive && (!this.player || !this.wasLive || state === "starting")) return;
    if (this.wasLive === !isLive) say(`${this.camera.title}: ${tOr("state", state)}`);
    this.wasLive = isLive;
  }

  toggleSound() {
    this.video.muted = !this.video.muted;
  }

  async snapshot() {
    const stamp = new Date(this.last.at ?? now()).toISOString().replace(/[:.]/g, "-");
    const done = await snapshot(this.video, `${this.camera.id}_${stamp}.png`);
    say(done ? t("saved") : t("noPicture"));
  }

  fullScreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else if (this.figure.requestFullscreen) this.figure.requestFullscreen().catch(() => {});
    else this.video.webkitEnterFullscreen?.(); // on an iPhone only a video can
  }

  close() {
    this.player?.close();
  }
}
