/** The operator's view: workers, seats, queues, lag, room on the disk, last errors. */

import { el, fill, say } from "./elements.js";
import { get } from "./api.js";
import { expiredWords } from "./expired.js";
import { dateAndMinute, length, size } from "./time.js";
import { sentence, t, tOr } from "./words.js";
import { table } from "./day.js";

const AGAIN_MS = 5000;

export function show(main) {
  let closed = false;
  let timer;
  const load = async () => {
    try {
      const facts = await get("/api/system");
      if (!closed) draw(main, facts);
    } catch (error) {
      say(t(error.status === 0 ? "unreachable" : "failed", { why: error.message }));
    }
    if (!closed) timer = setTimeout(load, AGAIN_MS);
  };
  load();
  return () => {
    closed = true;
    clearTimeout(timer);
  };
}

function draw(main, facts) {
  const { broker_since: since, frame_store: disk } = facts;
  fill(
    main,
    el("h1", {}, t("system")),
    el(
      "p",
      { class: since ? "good" : "bad" },
      el("b", {}, `${t("broker")}: `),
      since
        ? t("connectedSince", { when: dateAndMinute(Date.parse(since)) })
        : t("away", { why: sentence(facts.broker_reason) }),
    ),
    disk &&
      el(
        "p",
        { class: disk.total_bytes && disk.free_bytes < disk.total_bytes * 0.05 ? "bad" : "good" },
        el("b", {}, `${t("frameStore")}: `),
        t(disk.total_bytes === null ? "bucketUsed" : "disk", {
          used: size(disk.used_bytes),
          free: size(disk.free_bytes),
          total: size(disk.total_bytes),
          quota: size(disk.quota_bytes),
        }),
      ),
    facts.links.length > 0 &&
      el(
        "p",
        {},
        el("b", {}, `${t("otherPages")}: `),
        ...facts.links.map((each) =>
          el(
            "a",
            { href: each.address, target: "_blank", rel: "noopener noreferrer" },
            `${tOr("link", each.name)} ↗ `,
          ),
        ),
      ),
    ...facts.cameras
      .filter((camera) => camera.expired)
      .map((camera) =>
        el("p", { class: "bad", "data-expired": camera.id }, el("b", {}, `${camera.title}: `), expiredWords(camera.expired)),
      ),
    el("h2", {}, t("stages")),
    stages(facts.replicas),
    el("h2", {}, t("cameras")),
    cameras(facts.cameras),
    el("h2", {}, t("queues")),
    queues(facts.queues),
  );
}

function stages(replicas) {
  const rows = Object.entries(replicas).map(([stage, count]) =>
    el("tr", { class: count ? "" : "bad" }, el("td", {}, stage), el("td", {}, String(count))),
  );
  return table([t("stage"), t("replicas")], rows);
}

function cameras(found) {
  const rows = found.map((camera) =>
    el(
      "tr",
      { "data-camera": camera.id },
      el("th", { scope: "row" }, camera.title),
      el("td", { class: camera.live === "live" ? "good" : "bad" }, tOr("state", camera.live)),
      ...camera.seats.map((seat) =>
        el("td", { class: seat.is_held ? "" : "bad" }, seat.is_held ? (seat.worker ?? "?") : t("nobody")),
      ),
      el("td", {}, camera.archive_lag_seconds === null ? "" : length(camera.archive_lag_seconds)),
      el(
        "td",
        { class: "fine" },
        camera.last_error
          ? `${dateAndMinute(Date.parse(camera.last_error_at))} ${sentence(camera.last_error)}`
          : "",
      ),
    ),
  );
  const seats = (found[0]?.seats ?? []).map((seat) => seat.stage);
  return table([t("room"), t("live"), ...seats, t("lag"), t("lastError")], rows);
}

function queues(found) {
  const rows = found.map((queue) =>
    el(
      "tr",
      { class: queue.name === "lost" && queue.messages ? "bad" : "" },
      el("th", { scope: "row" }, queue.name),
      el("td", {}, String(queue.messages)),
      el("td", {}, queue.messages && queue.age_seconds !== null ? atMost(queue) : ""),
      el("td", {}, String(queue.consumers)),
    ),
  );
  return table([t("queue"), t("messages"), t("age"), t("consumers")], rows);
}

const atMost = (queue) => t("atMost", { length: length(queue.age_seconds) });
