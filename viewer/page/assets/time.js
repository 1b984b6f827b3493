/** Moments and lengths for people, in the house's time zone. */

import { session } from "./api.js";
import { language, t } from "./words.js";

const made = new Map();

function form(options) {
  const zone = session ? session.timezone : "UTC";
  const key = JSON.stringify([language(), zone, options]);
  if (!made.has(key)) {
    const locale = language() === "ko" ? "ko-KR" : "en-GB";
    made.set(key, new Intl.DateTimeFormat(locale, { timeZone: zone, ...options }));
  }
  return made.get(key);
}

/** 14:03:09 */
export const clock = (ms) =>
  form({ hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" }).format(ms);

/** 14:03 */
export const minute = (ms) =>
  form({ hour: "2-digit", minute: "2-digit", hourCycle: "h23" }).format(ms);

/** 11월 25일 (수) 14:03 */
export const dateAndMinute = (ms) =>
  form({
    month: "short",
    day: "numeric",
    weekday: "short",
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
  }).format(ms);

/** 2026-11-25, the local day of a moment. */
export function dayOf(ms) {
  const zone = session ? session.timezone : "UTC";
  return new Intl.DateTimeFormat("sv-SE", { timeZone: zone }).format(ms);
}

/** The day before or after a day, as text. */
export function dayBeside(day, step) {
  const moment = new Date(`${day}T12:00:00Z`);
  moment.setUTCDate(moment.getUTCDate() + step);
  return moment.toISOString().slice(0, 10);
}

/** 2 h 5 min; 40 s */
export function length(seconds) {
  const whole = Math.round(seconds);
  const parts = [
    [Math.floor(whole / 3600), t("hours")],
    [Math.floor(whole / 60) % 60, t("minutes")],
    [whole % 60, t("seconds")],
  ].filter(([value]) => value > 0);
  if (!parts.length) return `0 ${t("seconds")}`;
  return parts
    .slice(0, 2)
    .map(([value, unit]) => `${value} ${unit}`)
    .join(" ");
}

/** 1.4 GB */
export function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value >= 100 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** The moment of a wall-clock text such as 2026-11-25T08:00 in the house's time zone. */
export function fromLocal(text) {
  const zone = session ? session.timezone : "UTC";
  const wanted = Date.parse(`${text}Z`);
  const shown = new Intl.DateTimeFormat("sv-SE", {
    timeZone: zone,
    dateStyle: "short",
    timeStyle: "medium",
  });
  const local = (moment) => Date.parse(`${shown.format(moment).replace(" ", "T")}Z`);
  let moment = wanted;
  for (let turn = 0; turn < 2; turn += 1) moment += wanted - local(moment);
  return moment;
}
