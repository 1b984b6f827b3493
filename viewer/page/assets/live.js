/** Live of one camera in one video element: hls.js where the browser has Media Source Extensions,
 * the browser's own HLS else.
 *
 * It never gives up: whatever ends playback is begun again after a pause. Twice a second it says how
 * the picture is: `live` with its delay, `starting`, or `stale` since when. A picture that stands
 * still, or is older than STALE_SECONDS, is stale, whatever anybody else says of the camera.
 */

import Hls from "/assets/hls.mjs";
import { now } from "./api.js";

export const STALE_SECONDS = 12;
const STANDING_SECONDS = 4;
const AGAIN_SECONDS = 1.5;
const NATIVE_SECONDS = 10;
const FAR_BEHIND_SECONDS = 9;
const LOOK_MS = 500;
const DROPS_MS = 8000;
const MANY_DROPS = 0.3;
const FEW_PICTURES = 20;

const CONFIGURATION = {
  enableWorker: false, // a worker from a blob would need a wider content security policy
  liveSyncDurationCount: 2,
  liveMaxLatencyDurationCount: 8,
  liveDurationInfinity: true,
  maxLiveSyncPlaybackRate: 1.15,
  backBufferLength: 10,
  maxBufferLength: 12,
  manifestLoadPolicy: policy(4000, 0),
  playlistLoadPolicy: policy(4000, 4),
  fragLoadPolicy: policy(8000, 3),
};

function policy(timeoutMs, retries) {
  const retry = { maxNumRetry: retries, retryDelayMs: 500, maxRetryDelayMs: 1500 };
  return {
    default: {
      maxTimeToFirstByteMs: timeoutMs,
      maxLoadTimeMs: timeoutMs * 2,
      timeoutRetry: retry,
      errorRetry: retry,
    },
  };
}

export class LivePlayer {
  /** @param {HTMLVideoElement} video
   * @param {string} camera
   * @param {(state: {state: string, delay: number | null, at: number | null, isBehind: boolean}) => void} tell
   *   `isBehind`: pictures come, and this browser shows too few of them or too late */
  constructor(video, camera, tell) {
    this.video = video;
    this.address = `/api/cameras/${camera}/live/index.m3u8`;
    this.tell = tell;
    this.hls = null;
    this.moved = { time: -1, at: performance.now() };
    this.shownAt = null;
    this.drops = { at: performance.now(), total: 0, dropped: 0, isMany: false };
    this.begin();
    this.timer = setInterval(() => this.look(), LOOK_MS);
  }

  begin() {
    this.end();
    if (Hls.isSupported()) {
      const hls = new Hls(CONFIGURATION);
      this.hls = hls;
      hls.on(Hls.Events.ERROR, (_event, fault) => this.failed(hls, fault));
      hls.on(Hls.Events.MANIFEST_PARSED, () => this.play());
      hls.attachMedia(this.video);
      hls.loadSource(this.address);
    } else {
      this.video.src = this.address;
      this.video.onerror = () => this.again();
      this.play();
    }
  }

  failed(hls, fault) {
    if (!fault.fatal || hls !== this.hls) return;
    if (fault.type === Hls.ErrorTypes.MEDIA_ERROR && !this.mended) {
      this.mended = true; // once; if that does not help, all is begun anew
      hls.recoverMediaError();
      this.play();
    } else {
      this.again();
    }
  }

  again() {
    this.moved.at = performance.now();
    this.end();
    this.next = setTimeout(() => this.begin(), AGAIN_SECONDS * 1000);
  }

  play() {
    this.video.play().catch((error) => {
      if (error.name !== "NotAllowedError") return; // interrupted by a new beginning
      this.video.muted = true; // a browser that wants a gesture first for sound plays without
      this.video.play().catch(() => {});
    });
  }

  end() {
    clearTimeout(this.next);
    this.mended = false;
    this.hls?.destroy();
    this.hls = null;
  }

  /** When the shown picture was captured, milliseconds since 1970; null if that is not known. */
  capturedAt() {
    if (this.hls) return this.hls.playingDate?.getTime() ?? null;
    const start = this.video.getStartDate?.();
    return start && !Number.isNaN(start.getTime())
      ? start.getTime() + this.video.currentTime * 1000
      : null;
  }

  look() {
    const time = this.video.currentTime;
    if (time !== this.moved.time) {
      if (this.moved.time >= 0 && time > 0) {
        this.shownAt = this.capturedAt() ?? this.shownAt;
        this.mended = false;
      }
      this.moved = { time, at: performance.now() };
    }
    const standing = (performance.now() - this.moved.at) / 1000;
    const delay = this.shownAt === null ? null : (now() - this.shownAt) / 1000;
    let state = "starting";
    if (delay !== null) {
      state = standing > STANDING_SECONDS || delay > STALE_SECONDS ? "stale" : "live";
    }
    if (!this.hls && state === "stale" && standing > NATIVE_SECONDS) this.again();
    this.catchUp(delay);
    this.count();
    const isLate = state === "stale" && standing < STANDING_SECONDS;
    this.tell({ state, delay, at: this.shownAt, isBehind: isLate || this.drops.isMany });
  }

  /** Pictures that were decoded and never shown. */
  count() {
    const at = performance.now();
    const quality = this.video.getVideoPlaybackQuality?.();
    if (!quality || at - this.drops.at < DROPS_MS) return;
    const { totalVideoFrames: total, droppedVideoFrames: dropped } = quality;
    const came = total - this.drops.total;
    const isMany = came > FEW_PICTURES && (dropped - this.drops.dropped) / came > MANY_DROPS;
    this.drops = { at, total, dropped, isMany };
  }

  catchUp(delay) {
    const edge = this.hls?.liveSyncPosition;
    if (delay !== null && delay > FAR_BEHIND_SECONDS && edge > this.video.currentTime + 1) {
      this.video.currentTime = edge;
    }
    if (this.video.paused && !this.video.ended && this.hls) this.play();
  }

  close() {
    clearInterval(this.timer);
    this.end();
    this.video.onerror = null;
    this.video.removeAttribute("src");
    this.video.load();
  }
}

/** The shown picture as a PNG file for the person. */
export async function snapshot(video, name) {
  if (!video.videoWidth) return false;
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  const picture = await new Promise((done) => canvas.toBlob(done, "image/png"));
  const address = URL.createObjectURL(picture);
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
  return true;
}
