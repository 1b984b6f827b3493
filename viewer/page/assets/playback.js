/** Playing stored clips one after the other, so that their borders are not noticed.
 *
 * Two video elements take turns: while one plays, the other holds the next clip ready. A moment is
 * the clip's first frame plus the place in it: a pause of the camera is a pause in the clip, too.
 */

import { el, fill } from "./elements.js";
import { t } from "./words.js";

const READY_BEFORE_SECONDS = 20;
const HEVC = 'video/mp4; codecs="hvc1.1.6.L93.B0"';

export class Playback {
  /** @param {string} camera
   * @param {(moment: number | null, clip: any) => void} tell where playback is */
  constructor(camera, tell) {
    this.camera = camera;
    this.tell = tell;
    this.clips = [];
    this.converted = new Map();
    this.rate = 1;
    this.screens = [0, 1].map(() => el("video", { playsinline: true, preload: "auto" }));
    for (const video of this.screens) {
      video.addEventListener("ended", () => this.ended(video));
      video.addEventListener("timeupdate", () => this.moved(video));
      video.addEventListener("play", () => this.changed?.());
      video.addEventListener("pause", () => this.changed?.());
      video.addEventListener("error", () => this.broken(video));
    }
    this.veil = el("div", { class: "veil", hidden: true });
    this.root = el("div", { class: "picture screen" }, ...this.screens, this.veil);
    this.show(0);
  }

  /** @param {any[]} clips of the day, in order */
  set(clips) {
    this.clips = clips.map((clip) => ({
      ...clip,
      starts: Date.parse(clip.starts_at),
      ends: Date.parse(clip.ends_at),
    }));
  }

  get video() {
    return this.screens[this.front];
  }

  show(number) {
    this.front = number;
    this.screens.forEach((video, each) => (video.hidden = each !== number));
  }

  /** Play from a moment, or from the next that there is. */
  async play(moment) {
    const clip =
      this.clips.find((each) => each.starts <= moment && moment < each.ends) ??
      this.clips.find((each) => each.starts > moment);
    if (!clip) return this.refuse(t("nothingThere"));
    const problem = this.problem(clip);
    this.clip = clip;
    if (problem) return problem;
    this.load(this.video, clip, Math.max(0, (moment - clip.starts) / 1000));
    this.veil.hidden = true;
    await this.video.play().catch(() => {});
    return true;
  }

  load(video, clip, seconds) {
    const address = this.converted.get(name(clip)) ?? `${this.base(clip)}/video`;
    if (video.dataset.address !== address || video.error) {
      video.dataset.address = address;
      video.src = address;
    }
    video.clip = clip;
    video.playbackRate = this.rate;
    video.currentTime = seconds;
  }

  base(clip) {
    return `/api/cameras/${this.camera}/clips/${clip.epoch}/${clip.first}`;
  }

  /** What keeps a clip from being played here, shown with the way out; false if nothing does. */
  problem(clip) {
    if (clip.container !== "mp4") return this.refuse(t("originalBytes"));
    if (!this.needsConverting(clip)) return false;
    const convert = el(
      "button",
      {
        type: "button",
        class: "strong",
        onclick: () => {
          this.converted.set(name(clip), `${this.base(clip)}/h264`);
          this.play(clip.starts);
        },
      },
      t("transcode"),
    );
    return this.refuse(t("cannotPlay", { codec: "HEVC" }), convert);
  }

  needsConverting(clip) {
    const isKnown = clip.codec !== "hevc" || this.video.canPlayType(HEVC);
    return !isKnown && !this.converted.has(name(clip));
  }

  refuse(words, ...more) {
    this.video.pause();
    fill(this.veil, el("strong", {}, words), ...more);
    this.veil.hidden = false;
    return true;
  }

  broken(video) {
    if (video === this.video && video.clip) this.refuse(t("failed", { why: video.error?.message }));
  }

  moved(video) {
    if (video !== this.video || !video.clip) return;
    this.tell(video.clip.starts + video.currentTime * 1000, video.clip);
    if (video.duration - video.currentTime < READY_BEFORE_SECONDS) this.prepare(video.clip);
  }

  after(clip) {
    return this.clips.find((each) => each.starts >= clip.ends - 1000 && name(each) !== name(clip));
  }

  prepare(clip) {
    const next = this.after(clip);
    const spare = this.screens[1 - this.front];
    if (!next || (spare.clip && name(spare.clip) === name(next))) return;
    if (next.container !== "mp4" || this.needsConverting(next)) return;
    this.load(spare, next, 0);
  }

  ended(video) {
    if (video !== this.video) return;
    const next = this.after(video.clip);
    if (!next) return;
    const spare = this.screens[1 - this.front];
    const isReady = spare.clip && name(spare.clip) === name(next) && !spare.error;
    if (!isReady || this.needsConverting(next)) {
      this.play(next.starts);
      return;
    }
    this.show(1 - this.front);
    this.clip = next;
    spare.playbackRate = this.rate;
    spare.play().catch(() => {});
    this.tell(next.starts, next);
  }

  toggle() {
    if (!this.video.clip) return;
    if (this.video.paused) this.video.play().catch(() => {});
    else this.video.pause();
  }

  speed(rate) {
    this.rate = rate;
    for (const video of this.screens) video.playbackRate = rate;
  }

  close() {
    for (const video of this.screens) {
      video.removeAttribute("src");
      video.load();
    }
  }
}

const name = (clip) => `${clip.epoch}-${clip.first}`;
