/** Why footage is missing or a camera is away, in Korean: the sentences that the stages write into
 * records and events. A record keeps its English words; a sentence that is not known here is shown as
 * it is. `{…}` stands for what varies, which is looked up here as well. */

const SENTENCES = [
  // the camera, as ingest finds it
  ["cannot be opened: {why}", "열 수 없음: {why}"],
  ["cannot be used: {why}", "사용할 수 없음: {why}"],
  ["no answer in {seconds} s", "{seconds}초 동안 응답 없음"],
  ["broke off: {why}", "연결이 끊김: {why}"],
  ["nothing came for {seconds} s", "{seconds}초 동안 아무것도 오지 않음"],
  ["no video for {seconds} s", "{seconds}초 동안 영상이 오지 않음"],
  ["no key frame came for {seconds} s or {size} MiB", "{seconds}초 또는 {size} MiB 동안 키 프레임이 오지 않음"],
  ["no key frame came for {seconds} s", "{seconds}초 동안 키 프레임이 오지 않음"],
  ["it is not a video but {kind}", "영상이 아니라 {kind} 형식임"],
  ["there is no video in it that can be read", "읽을 수 있는 영상이 없음"],
  ["not one frame could be read from it", "프레임을 하나도 읽을 수 없음"],
  ["there is no camera {device}, or another program uses it", "카메라 {device} 없음, 또는 다른 프로그램이 사용 중"],
  ["the device gives no more pictures", "장치가 더 이상 화면을 보내지 않음"],
  ["the server ended the stream", "카메라 쪽에서 전송을 끝냄"],
  ["source ended", "영상이 끝남"],
  ["it is another video now", "다른 영상으로 바뀜"],
  ["the stream's parameters changed", "영상 형식이 바뀜"],
  ["the stream cannot be carried: {why}", "영상을 저장할 수 없는 형식임: {why}"],
  ["the packets cannot be carried: {why}", "영상 데이터를 저장할 수 없음: {why}"],
  ["the fragment cannot be finished: {why}", "영상 조각을 마무리할 수 없음: {why}"],
  ["there is no frame in it", "프레임이 없음"],

  // time
  ["timestamps ran {seconds} s backwards", "카메라 시각이 {seconds}초 되돌아감"],
  ["the epoch is 12 h old", "연속 녹화가 12시간이 되어 새로 시작함"],
  ["the wall clock was stepped by {seconds} s", "서버 시계가 {seconds}초 바뀜"],
  ["media time is {seconds} s off the machine's time", "영상 시각이 서버 시각과 {seconds}초 어긋남"],

  // ingest itself, and its disk
  ["ingest was stopped", "녹화 작업자가 정지됨"],
  ["ingest was interrupted", "녹화 작업자가 중단됨"],
  ["stopped", "정지됨"],
  ["this worker was frozen", "녹화 작업자가 멈춰 있었음"],
  ["it has ended by itself", "녹화가 스스로 끝남"],
  ["{reason}, and nobody came", "{reason}, 이어받은 작업자 없음"],
  ["fair share is {share} of {workers} workers", "작업자 {workers}개가 카메라를 나눔 (작업자당 {share}대)"],
  ["another worker has the seat", "다른 작업자가 이 카메라를 맡음"],
  ["handed over to another worker", "다른 작업자에게 넘김"],
  ["the frame store is full", "프레임 저장소가 가득 참"],
  ["the frame store cannot be written: {why}", "프레임 저장소에 쓸 수 없음: {why}"],
  ["the disk of the frame store does not keep up", "프레임 저장소 디스크가 따라가지 못함"],
  ["quota", "저장 전에 지움: 용량 한도"],
  ["retention", "저장 전에 지움: 보존 시간"],

  // the archive
  ["fragments {first}-{last} are missing", "조각 {first}–{last} 없음"],
  ["neither delivered nor in the frame store", "전달되지 않았고 프레임 저장소에도 없음"],
  ["gone from the frame store before they were archived", "보관하기 전에 프레임 저장소에서 사라짐"],
  ["cannot be read in the frame store", "프레임 저장소에서 읽을 수 없음"],
  ["in no clip, and nobody brought them in time", "어느 클립에도 없고 제때 전해지지 않음"],
  ["the source sent no frames", "카메라가 프레임을 보내지 않음"],
  ["no fragment was recorded", "녹화된 것이 없음"],
  ["the last epoch ended: {reason}", "마지막 녹화가 끝난 이유: {reason}"],

  // what a day's account concludes
  ["may still be on its way", "아직 저장 중일 수 있음"],
  ["may still lie in the spool of a host that is away", "연결이 끊긴 서버의 임시 저장소에 아직 있을 수 있음"],
  ["before the first recording of this camera", "이 카메라의 첫 녹화 이전"],
  ["older than archive.retention_days", "보관 기간이 지남"],
  ["no record says what was before", "그 이전의 기록이 없음"],
  ["no record says how epoch {epoch} ended", "녹화 {epoch} 의 끝에 대한 기록이 없음"],
  [
    "nothing is stored, and no record says how epoch {epoch} went on",
    "저장된 것이 없고, 녹화 {epoch} 의 이어짐에 대한 기록이 없음",
  ],
  [
    "fragments {first}-{last} of epoch {epoch} are in no clip, no record says why",
    "녹화 {epoch} 의 조각 {first}–{last}: 어느 클립에도 없고 이유도 기록되지 않음",
  ],
  [
    "fragments {first}-{last} of epoch {epoch}: {reason} (says {stage})",
    "녹화 {epoch} 의 조각 {first}–{last}: {reason} ({stage} 기록)",
  ],
  ["the clip of {key} cannot be read: {why}", "{key} 의 클립을 읽을 수 없음: {why}"],
  ["its object is not in the bucket", "영상 파일이 버킷에 없음"],
  ["its object has {bytes} bytes instead of {expected}", "영상 파일이 {expected} 바이트가 아니라 {bytes} 바이트임"],

  // the page
  ["nothing has been heard for a while", "한동안 소식이 없음"],
  ["not connected yet", "아직 연결되지 않음"],
  ["the connection to the broker ended: {why}", "브로커 연결이 끊김: {why}"],
  ["the broker at {address}: {why}", "브로커 {address}: {why}"],

  // libav's and the system's own words
  ["Connection refused", "연결 거부됨"],
  ["Connection timed out", "연결 시간 초과"],
  ["Connection reset by peer", "상대가 연결을 끊음"],
  ["No route to host", "호스트에 이르는 경로 없음"],
  ["Network is unreachable", "네트워크에 연결할 수 없음"],
  ["Host is unreachable", "호스트에 연결할 수 없음"],
  ["Broken pipe", "연결이 끊어짐"],
  ["Input/output error", "입출력 오류"],
  ["I/O error", "입출력 오류"],
  ["End of file", "끝에 이름"],
  ["Immediate exit requested", "응답을 기다리다 중단함"],
  ["Invalid data found when processing input", "읽을 수 없는 데이터"],
  ["No such file or directory", "파일이 없음"],
  ["Permission denied", "권한 없음"],
  ["Read-only file system", "읽기 전용 파일 시스템"],
  ["No space left on device", "디스크 공간 없음"],
  ["Protocol not found", "지원하지 않는 주소 형식"],
  ["Server returned 400 Bad Request", "카메라가 요청을 거절함 (400)"],
  ["Server returned 401 Unauthorized (authorization failed)", "카메라 로그인 실패 (401)"],
  ["Server returned 403 Forbidden (access denied)", "카메라가 접근을 거부함 (403)"],
  ["Server returned 404 Not Found", "카메라에 그 주소가 없음 (404)"],
  ["Server returned 5XX Server Error reply", "카메라 내부 오류 (5xx)"],
];

const KNOWN = SENTENCES.map(([english, korean]) => [pattern(english), korean]);

function pattern(english) {
  const form = english
    .split(/\{(\w+)\}/)
    .map((part, place) => (place % 2 ? `(?<${part}>.+?)` : part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")));
  return new RegExp(`^${form.join("")}$`, "s");
}

/** The sentence in Korean; null if it is not known. */
export function inKorean(sentence) {
  for (const [form, korean] of KNOWN) {
    const found = form.exec(sentence);
    if (!found) continue;
    return korean.replace(/\{(\w+)\}/g, (_all, name) => inKorean(found.groups[name]) ?? found.groups[name]);
  }
  return null;
}
