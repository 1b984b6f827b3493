/** What the page says, in Korean and English. `t("key", {name})` fills in `{name}`. */

import { inKorean } from "./reasons.js";

const WORDS = {
  skip: ["본문으로", "Skip to content"],
  menu: ["메뉴", "Menu"],
  live: ["실시간", "Live"],
  notes: ["관찰 기록", "What was seen"],
  system: ["시스템", "System"],
  reference: ["API", "API"],
  otherLanguage: ["English", "한국어"],
  logOut: ["로그아웃", "Log out"],
  logIn: ["로그인", "Log in"],
  name: ["이름", "Name"],
  password: ["비밀번호", "Password"],
  wrongLogin: ["이름 또는 비밀번호가 맞지 않습니다.", "The name or the password is wrong."],
  tooOften: ["시도가 너무 많습니다. 잠시 후 다시 해 주세요.", "Too many attempts. Please wait a little."],
  unreachable: ["서버에 연결할 수 없습니다. 다시 시도합니다.", "The server cannot be reached. Trying again."],
  failed: ["처리하지 못했습니다: {why}", "That did not work: {why}"],
  needsSetup: [
    "아직 사용자가 없습니다. cradle up 이 출력한 설정 링크를 열어 주세요.",
    "There is no user yet. Please open the set-up link that cradle up has printed.",
  ],
  setUp: ["첫 사용자 만들기", "Make the first user"],
  setUpHint: [
    "이 사용자는 모든 방을 보고 관리할 수 있습니다. 비밀번호는 10자 이상입니다.",
    "This user can see and manage every room. The password needs at least 10 characters.",
  ],
  make: ["만들고 시작하기", "Make it and begin"],
  noToken: ["설정 링크가 완전하지 않습니다.", "The set-up link is not complete."],

  noCameras: ["카메라가 없습니다.", "There are no cameras."],
  state_live: ["실시간", "Live"],
  state_starting: ["연결 중", "Connecting"],
  state_stale: ["멈춘 화면", "Not live"],
  state_offline: ["카메라 꺼짐", "Camera offline"],
  state_stalled: ["영상 없음", "No video"],
  state_unknown: ["알 수 없음", "Unknown"],
  delay: ["{seconds}초 지연", "{seconds} s delay"],
  staleSince: ["{clock} 화면 · 실시간 아님", "Picture of {clock} · not live"],
  noPicture: ["화면 없음", "No picture"],
  expired: [
    "저장이 확인되기 전에 지워진 영상: {from} – {to} ({why})",
    "Deleted before it was known to be stored: {from} – {to} ({why})",
  ],
  expired_quota: ["저장 공간 부족", "no room left for it"],
  expired_retention: ["보존 시간 지남", "its hours were over"],
  enlarge: ["크게 보기", "Enlarge"],
  allRooms: ["모든 방", "All rooms"],
  fullScreen: ["전체 화면", "Full screen"],
  sound: ["소리", "Sound"],
  snapshot: ["사진 저장", "Save picture"],
  saved: ["사진을 저장했습니다.", "The picture was saved."],
  overload: [
    "이 기기나 연결이 화면의 모든 방을 제때 보여 주지 못합니다. 방 하나를 크게 보거나 창을 줄여 주세요.",
    "This device, or its connection, does not keep up with all rooms on the screen. Enlarge one room, or make the window smaller.",
  ],
  theDay: ["하루 보기", "The day"],
  keys: [
    "키: 화살표 이동, Enter 크게, S 사진, M 소리, F 전체 화면, Esc 모든 방",
    "Keys: arrows move, Enter enlarges, S picture, M sound, F full screen, Esc all rooms",
  ],

  room: ["방", "Room"],
  day: ["날짜", "Day"],
  previousDay: ["이전 날", "Day before"],
  nextDay: ["다음 날", "Day after"],
  stored: ["저장됨", "Stored"],
  missing: ["없음", "Missing"],
  pending: ["저장 중", "On its way"],
  daySums: [
    "저장 {stored}, 없음 {missing}, 저장 중 {pending}",
    "Stored {stored}, missing {missing}, on its way {pending}",
  ],
  timeline: ["시간표", "Timeline"],
  timelineHint: ["화살표로 이동, Enter 로 재생", "Arrows move, Enter plays"],
  zoomIn: ["확대", "Zoom in"],
  zoomOut: ["축소", "Zoom out"],
  gaps: ["빈 시간과 이유", "Times without footage, and why"],
  noGaps: ["빈 시간이 없습니다.", "There are none."],
  from: ["시작", "From"],
  to: ["끝", "To"],
  length: ["길이", "Length"],
  reason: ["이유", "Reason"],
  clips: ["클립", "Clips"],
  noClips: ["이 날의 클립이 없습니다.", "No clip of this day."],
  play: ["재생", "Play"],
  pause: ["멈춤", "Pause"],
  speed: ["속도", "Speed"],
  nothingThere: ["이 시각의 영상이 없습니다.", "There is no footage of this moment."],
  download: ["내려받기", "Download"],
  downloadClip: ["이 클립 내려받기", "Download this clip"],
  hold: ["보관 유지", "Keep for good"],
  held: ["보관 중", "Kept for good"],
  holdHint: ["보관 기간이 지나도 지우지 않습니다.", "It is not deleted when its days are over."],
  markFrom: ["여기부터", "From here"],
  markTo: ["여기까지", "To here"],
  downloadSpan: ["구간 내려받기", "Download the span"],
  span: ["구간 {from} – {to}", "Span {from} – {to}"],
  cannotPlay: [
    "이 브라우저는 {codec} 영상을 재생할 수 없습니다.",
    "This browser cannot play {codec} video.",
  ],
  transcode: ["변환하여 보기", "Convert and play"],
  originalBytes: [
    "이 클립은 원본 그대로 보관되어 브라우저에서 재생할 수 없습니다. 내려받아 보세요.",
    "This clip was kept as its original bytes, which no browser plays. Download it to see it.",
  ],
  keptBytes: ["원본", "Original"],

  activity: ["활동", "Activity"],
  anyActivity: ["모든 활동", "Any activity"],
  anyRoom: ["모든 방", "Any room"],
  words: ["검색어", "Words"],
  search: ["검색", "Search"],
  more: ["더 보기", "More"],
  noNotes: ["기록이 없습니다.", "Nothing was noted."],
  children: ["아이", "Children"],
  adults: ["어른", "Adults"],
  presence_none: ["없음", "none"],
  presence_one: ["한 명", "one"],
  presence_several: ["여러 명", "several"],
  presence_cannot_tell: ["알 수 없음", "cannot tell"],
  activity_sleeping: ["자는 중", "Sleeping"],
  activity_resting: ["쉬는 중", "Resting"],
  activity_playing: ["노는 중", "Playing"],
  activity_moving: ["움직이는 중", "Moving"],
  activity_feeding: ["먹는 중", "Feeding"],
  activity_crying: ["우는 중", "Crying"],
  activity_with_carer: ["선생님과 함께", "With a carer"],
  activity_out_of_view: ["보이지 않음", "Out of view"],
  activity_cannot_tell: ["알 수 없음", "Cannot tell"],
  judged_local: ["이 장치에서 측정", "Measured on this machine"],
  judged_gemini: ["Gemini", "Gemini"],
  analysis: ["분석", "Analysis"],
  provider_ok: ["정상", "Working"],
  provider_local: ["이 장치에서 측정합니다. 사진은 밖으로 나가지 않습니다.", "Measured on this machine; no picture leaves it."],
  provider_off: ["꺼짐", "Switched off"],
  provider_unknown: ["아직 판단한 것이 없습니다", "Nothing has been judged yet"],
  provider_throttled: ["잠시 기다리는 중", "Waiting, as the provider asked"],
  provider_quota: ["오늘 예산을 다 썼습니다", "Paused: today's budget is used up"],
  provider_unavailable: ["제공자에 연결할 수 없음", "The provider cannot be reached"],
  provider_misconfigured: ["설정이 잘못됨", "Misconfigured"],
  provider_blocked: ["제공자가 답하지 않음", "The provider would not answer"],
  provider_invalid: ["제공자의 답을 읽을 수 없음", "The provider's answer is not readable"],
  provider_no_consent: ["이 방은 동의가 없어 밖으로 보내지 않음", "Not sent: no consent for this room"],
  provider_unpaid: [
    "유료 요금제가 확인되지 않아 밖으로 보내지 않음",
    "Not sent: the paid tier is not confirmed",
  ],
  until: ["({when} 까지)", "(until {when})"],
  budgetToday: [
    "오늘 사용: 요청 {requests}/{requestsPerDay}, 토큰 {tokens}/{tokensPerDay}, ${usd}/${usdPerDay}",
    "Used today: {requests} of {requestsPerDay} requests, {tokens} of {tokensPerDay} tokens, ${usd} of ${usdPerDay}",
  ],

  broker: ["메시지 브로커", "Broker"],
  connectedSince: ["{when} 부터 연결됨", "connected since {when}"],
  away: ["연결 안 됨: {why}", "away: {why}"],
  stages: ["단계", "Stages"],
  stage: ["단계", "Stage"],
  replicas: ["작업자 수", "Workers"],
  nobody: ["없음", "nobody"],
  cameras: ["카메라", "Cameras"],
  lag: ["저장 지연", "Archive lag"],
  lastError: ["마지막 오류", "Last error"],
  queues: ["큐", "Queues"],
  queue: ["큐", "Queue"],
  age: ["가장 오래된 것", "Oldest"],
  atMost: ["{length} 이하", "at most {length}"],
  messages: ["메시지", "Messages"],
  consumers: ["소비자", "Consumers"],
  frameStore: ["프레임 저장소", "Frame store"],
  bucketUsed: ["{used} 사용 (한도 {quota})", "{used} used of a quota of {quota}"],
  disk: [
    "{used} 사용 (한도 {quota}), 디스크 {free} 남음 (전체 {total})",
    "{used} used of a quota of {quota}; {free} of the disk's {total} free",
  ],
  otherPages: ["다른 화면", "Other pages"],
  link_broker: ["브로커 대시보드", "Broker's dashboard"],
  link_bucket: ["버킷 브라우저", "Bucket browser"],
  link_grafana: ["Grafana", "Grafana"],
  hours: ["시간", "h"],
  minutes: ["분", "min"],
  seconds: ["초", "s"],
};

const CAUSES = {
  "camera offline": "카메라 꺼짐",
  "camera sent nothing": "카메라가 보내지 않음",
  "camera clock": "카메라 시계",
  "source ended": "영상 끝",
  "stream changed": "영상 형식 바뀜",
  "ingest down": "수집 중단",
  "handed over": "인계",
  "frame store full": "프레임 저장소 가득 참",
  "clock step": "시계 변경",
  "deleted before it was stored": "저장 전에 지워짐",
  lost: "유실",
  unreadable: "읽을 수 없음",
  expired: "보관 기간 지남",
  "not yet recording": "녹화 전",
  "not yet stored": "저장 중",
  other: "기타",
  unknown: "알 수 없음",
};

const KEPT = "cradle-language";
let index = chosen() === "ko" ? 0 : 1;

function chosen() {
  const kept = localStorage.getItem(KEPT);
  if (kept === "ko" || kept === "en") return kept;
  return navigator.language.toLowerCase().startsWith("ko") ? "ko" : "en";
}

export const language = () => ["ko", "en"][index];

export function switchLanguage() {
  index = 1 - index;
  localStorage.setItem(KEPT, language());
}

/** Words in the language that is set. */
export function t(key, values = {}) {
  const words = WORDS[key];
  if (!words) return key;
  return words[index].replace(/\{(\w+)\}/g, (all, name) => String(values[name] ?? all));
}

/** The cause of a gap. */
export const cause = (words) => (index === 0 ? (CAUSES[words] ?? words) : words);

/** The sentence of a record: why footage is missing, or a camera away. */
export const sentence = (words) => (index === 0 ? (inKorean(words) ?? words) : words);

/** A word that may be new to this page: as it is, then. */
export function tOr(prefix, word) {
  const key = `${prefix}_${word.replaceAll("-", "_")}`;
  return WORDS[key] ? t(key) : word;
}
