/** The one way to the server: JSON, the CSRF token with every change, and the events. */

/** @type {{name: string, role: string, timezone: string, csrf_token: string} | null} */
export let session = null;
let ahead = 0;
const LISTEN_AGAIN_MS = 3000;

export class Failed extends Error {
  constructor(status, words) {
    super(words);
    this.status = status;
  }
}

/** @returns {Promise<any>} what the server answers; throws Failed */
export async function call(method, path, body) {
  const headers = { accept: "application/json" };
  if (body !== undefined) headers["content-type"] = "application/json";
  if (session && method !== "GET") headers["x-csrf-token"] = session.csrf_token;
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      signal: AbortSignal.timeout(30000),
    });
  } catch {
    throw new Failed(0, "unreachable");
  }
  if (answer.status === 204) return null;
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    if (answer.status === 401 && session) {
      location.assign(`/login?next=${encodeURIComponent(location.pathname)}`);
    }
    throw new Failed(answer.status, typeof content.detail === "string" ? content.detail : "");
  }
  return content;
}

export const get = (path) => call("GET", path);

/** Who is logged in; null if nobody is. */
export async function whoAmI() {
  try {
    enter(await get("/api/session"));
  } catch (error) {
    if (error.status !== 401) throw error;
    session = null;
  }
  return session;
}

/** Take over what a log-in has answered. */
export function enter(who) {
  session = who;
  setClock(who.now);
}

export async function logOut() {
  await call("DELETE", "/api/session");
  session = null;
}

function setClock(now) {
  ahead = Date.parse(now) - Date.now();
}

/** The server's clock, milliseconds since 1970: this machine's may be wrong. */
export const now = () => Date.now() + ahead;

/** Events while the page is to be seen: browsers allow six connections to a server, and many tabs
 * may be open. @param {Record<string, (facts: any) => void>} handlers by kind
 * @param {() => void} again after a time in which events may have been missed
 * @returns {() => void} ends it */
export function listen(handlers, again = () => {}) {
  let source = null;
  let wasOpen = false;
  let later;
  let isOver = false;
  const open = () => {
    source = new EventSource("/api/stream");
    source.onopen = () => {
      if (wasOpen) again();
      wasOpen = true;
    };
    source.onerror = () => {
      if (source?.readyState !== EventSource.CLOSED) return; // it tries again by itself
      close();
      later = setTimeout(async () => {
        await get("/api/session").catch(() => {}); // leads to the log-in page if it has ended
        change();
      }, LISTEN_AGAIN_MS);
    };
    source.addEventListener("clock", (event) => setClock(JSON.parse(event.data).now));
    for (const [kind, handle] of Object.entries(handlers)) {
      source.addEventListener(kind, (event) => handle(JSON.parse(event.data)));
    }
  };
  const close = () => {
    clearTimeout(later);
    source?.close();
    source = null;
  };
  const change = () => {
    if (document.hidden || isOver) close();
    else if (!source) open();
  };
  document.addEventListener("visibilitychange", change);
  change();
  return () => {
    isOver = true;
    document.removeEventListener("visibilitychange", change);
    close();
  };
}

/** A path with its query. */
export function path(base, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== "");
  return given.length ? `${base}?${new URLSearchParams(given)}` : base;
}
