"""Real sources into a frame store: files of many kinds, RTSP, and what is not a video at all."""

import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

import av
import cv2
import numpy as np
import pytest

from shared.clock import SystemClock
from shared.config import CameraSettings
from tests import flv
from tests.gate import Gate
from tests.ingest_studio import (
    Studio,
    camera_settings,
    carried_by_ffmpeg,
    count_packets,
    wait_until_written,
)
from tests.rtsp import RtspServer
from tests.scenarios import Place, Running, Scenarios
from tests.support import eventually
from tests.videos import Videos, decode_counters

RATE = 30
SMALL = (160, 90)
SECONDS = 60
"""Patience: scenarios share two cores."""
PASSWORDS = {
    "CAMERA_PASSWORD_BASIC": "p@ss:w/rd#?%&+ 비밀",
    "CAMERA_PASSWORD_DIGEST": "p@ss:w/rd#?%&+",
    "CAMERA_PASSWORD_WRONG": "hush",
}


class Scene(Studio):
    """A studio in a place of its own."""

    place: Place

    def video(self, suffix: str = ".mp4", **recipe: Any) -> Path:
        return self.place.video(suffix, **{"size": SMALL, "seconds": 4, **recipe})

    def wait(self, frames: int) -> None:
        wait_until_written(self, frames, SECONDS)

    @property
    def numbers(self) -> list[int]:
        """The frame numbers of all fragments, each decoded alone."""
        return [number for each in self.fragments for number in self.counters_of(each)]

    def check_succession(self, of: int = 120) -> None:
        """Each frame follows the one before, in a source that repeats itself."""
        numbers = self.numbers
        assert numbers == [(numbers[0] + each) % of for each in range(len(numbers))]

    def joined(self) -> Path:
        """All fragments by stream copy in one MP4."""
        path = self.place.folder / "joined.mp4"
        data = self.bytes_of(self.fragments)
        assert carried_by_ffmpeg(data, path, "-dts_delta_threshold", "100") == ""
        return path


@contextmanager
def new_scene(place: Place) -> Iterator[Scene]:
    with Scene(place.folder / "frames", SystemClock()) as scene:
        scene.place = place
        yield scene


scenario = Scenarios(new_scene)


@pytest.fixture(scope="module")
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, videos: Videos
) -> Iterator[Running]:
    with pytest.MonkeyPatch.context() as patch:
        for name, password in PASSWORDS.items():
            patch.setenv(name, password)
        yield from scenario.run(request, tmp_path_factory.mktemp("sources"), videos)


def packet_times(path: Path, kind: str) -> list[float]:
    with av.open(str(path)) as container:
        streams = [each for each in container.streams if each.type == kind]
        return sorted(
            float(packet.pts * packet.time_base)
            for packet in container.demux(streams)
            if packet.pts is not None
        )


def run_ffmpeg(*arguments: str | bytes) -> None:
    subprocess.run(["ffmpeg", "-v", "error", *arguments], check=True, timeout=60)


# -- files --------------------------------------------------------------------------------------


@scenario.each(
    mp4=(".mp4", "h264", "aac", "h264"),
    ts=(".ts", "h264", "aac", "h264"),
    hevc=(".mkv", "hevc", "aac", "hevc"),
    mpeg4_avi=(".avi", "mpeg4", None, "h264"),
    mjpeg_g711=(".mov", "mjpeg", "pcm_mulaw", "h264"),
    h264_g711=(".mov", "h264", "pcm_mulaw", "h264"),
)
def a_file_of_any_kind_is_played_once_at_its_own_pace(
    scene: Scene, case: tuple[str, str, str | None, str]
) -> None:
    suffix, codec, audio, carried_as = case
    video = scene.video(suffix, codec=codec, audio=audio, seconds=3, bitrate="2M")
    began = time.monotonic()
    with scene.capturing(camera_settings(video.as_uri())) as capture:
        eventually(lambda: capture.state == "ended", SECONDS)
        assert time.monotonic() - began > 2.5
    scene.check()
    assert scene.numbers == list(range(3 * RATE))
    stream = scene.fragments[0].stream
    assert stream.video_codec == carried_as
    assert (stream.width, stream.height) == SMALL
    assert stream.audio_codec == (None if audio is None else "aac")
    assert [each.frames for each in scene.fragments] == [RATE] * 3
    joined = scene.joined()
    assert count_packets(joined) == 3 * RATE
    if audio is not None:
        assert packet_times(joined, "audio")[-1] > 2.7
    assert scene.reasons == ["source ended"]
    assert scene.told[-1] == ("camera-1", "offline", {"reason": "the source has ended"})
    said = [line for line in scene.lines if "costs CPU time" in line["event"]]
    assert [line["codec"] for line in said] == ([codec] if codec in {"mpeg4", "mjpeg"} else [])


@scenario.each(plain=0, with_b_frames=2)
def a_looped_file_is_one_epoch_in_which_time_only_rises(scene: Scene, bframes: int) -> None:
    video = scene.video(seconds=1.5, bframes=bframes)
    with scene.capturing(camera_settings(video.as_uri(), loop=True)):
        scene.wait(45 * 4 + 10)
    scene.check()
    assert len(scene.ends) == 1
    joined = scene.joined()
    whole = slice(-bframes or None)  # it may have stopped before the B-frames of its last frame
    numbers = decode_counters(joined)[whole]
    assert numbers == [number % 45 for number in range(len(numbers))]
    times = packet_times(joined, "video")[whole]
    assert all(math.isclose(b - a, 1 / RATE, abs_tol=0.002) for a, b in pairwise(times))


@scenario
def sound_and_picture_stay_in_step_over_many_loops(scene: Scene) -> None:
    with scene.capturing(camera_settings(scene.video(seconds=1).as_uri(), loop=True)):
        scene.wait(RATE * 8)
    scene.check()
    assert len(scene.ends) == 1
    joined = scene.joined()
    sound, picture = packet_times(joined, "audio"), packet_times(joined, "video")
    assert abs(sound[-1] - picture[-1]) < 0.3
    assert max(b - a for a, b in pairwise(sound)) < 0.1
    assert len(sound) == pytest.approx(48_000 / 1024 * picture[-1], rel=0.06)


@scenario
def sound_that_is_longer_than_the_picture_does_not_end_the_epoch(scene: Scene) -> None:
    long_sound = scene.place.folder / "long.mp4"
    picture = scene.video(seconds=1, audio=None)
    sound = ("-f", "lavfi", "-i", "sine=d=9")
    run_ffmpeg("-i", str(picture), *sound, "-c:v", "copy", "-c:a", "aac", str(long_sound))
    with scene.capturing(camera_settings(long_sound.as_uri(), loop=True)):
        scene.wait(RATE * 4)
    scene.check()
    assert len(scene.ends) == 1


@scenario
def an_odd_size_is_carried_as_it_is(scene: Scene) -> None:
    video = scene.place.folder / "odd.mp4"
    source = ("-f", "lavfi", "-i", "testsrc=s=161x91:r=30:d=2")
    run_ffmpeg(*source, "-c:v", "libx264", "-pix_fmt", "yuv444p", "-g", "30", str(video))
    scene.record(camera_settings(video.as_uri()), 1, SECONDS)
    scene.check()
    stream = scene.fragments[0].stream
    assert (stream.width, stream.height) == (161, 91)


@scenario
def titles_in_another_encoding_are_no_reason_to_see_nothing(scene: Scene) -> None:
    video = scene.place.folder / "title.mkv"
    title = b"title=" + "영아반".encode("euc-kr")
    source = str(scene.video(seconds=2))
    run_ffmpeg("-i", source, "-c", "copy", "-metadata", title, str(video))
    scene.record(camera_settings(video.as_uri()), 1, SECONDS)
    assert scene.fragments


@scenario
def a_file_that_is_another_at_its_next_turn_begins_anew(scene: Scene) -> None:
    video, other = (scene.place.folder / name for name in ("room.mp4", "other.mp4"))
    video.write_bytes(scene.video(seconds=1).read_bytes())
    other.write_bytes(scene.video(seconds=1, size=(320, 180)).read_bytes())
    with scene.capturing(camera_settings(video.as_uri(), loop=True)):
        scene.wait(5)
        other.replace(video)
        eventually(lambda: any(each.stream.width == 320 for each in scene.batches), SECONDS)
    scene.check()
    assert scene.reasons[0] == "it is another video now"


# -- what is not a video ------------------------------------------------------------------------


@scenario.each(
    text=("text.txt", "not a video but tty"),
    text_called_mp4=("text.mp4", "Invalid data"),
    empty=("empty.mp4", "Invalid data"),
    png=("picture.png", "not a video but png"),
    jpeg=("picture.jpg", "not a video but jpeg"),
    cut_before_its_index=("cut.mp4", "Invalid data"),
    sound_alone=("sound.m4a", "no video in it"),
    song_with_a_cover=("song.mp3", "no video in it"),
    missing=("missing.mp4", "No such file"),
    folder=("folder", "Is a directory"),
    noise=("noise.mp4", "Invalid data"),
)
def what_is_not_a_video_is_refused_with_the_reason(scene: Scene, case: tuple[str, str]) -> None:
    name, words = case
    path = scene.place.folder / name
    make_bad_file(path, scene)
    with scene.capturing(camera_settings(path.as_uri(), loop=True)) as capture:
        reason = eventually(lambda: capture.state.partition("offline: ")[2], SECONDS)
    assert words in reason
    assert scene.records == []
    assert scene.told[0] == ("camera-1", "offline", {"reason": reason})


def make_bad_file(path: Path, scene: Scene) -> None:
    match path.name:
        case "text.txt" | "text.mp4":
            path.write_text("The children are asleep.\n" * 200)
        case "empty.mp4":
            path.touch()
        case "picture.png" | "picture.jpg":
            cv2.imwrite(str(path), np.zeros((90, 160, 3), np.uint8))
        case "cut.mp4":
            data = scene.video(seconds=2).read_bytes()
            path.write_bytes(data[: len(data) // 2])
        case "sound.m4a":
            run_ffmpeg("-f", "lavfi", "-i", "sine=d=1", "-c:a", "aac", str(path))
        case "song.mp3":
            cover = path.with_suffix(".cover.jpg")
            cv2.imwrite(str(cover), np.zeros((90, 160, 3), np.uint8))
            both = ("-f", "lavfi", "-i", "sine=d=1", "-i", str(cover), "-map", "0", "-map", "1")
            run_ffmpeg(*both, "-c:v", "copy", str(path))
        case "folder":
            path.mkdir()
        case "noise.mp4":
            path.write_bytes(np.random.default_rng(1).bytes(100_000))


@scenario
def a_file_cut_short_is_played_as_far_as_it_goes(scene: Scene) -> None:
    video = scene.place.folder / "cut.ts"
    data = scene.video(".ts", seconds=3).read_bytes()
    video.write_bytes(data[: len(data) // 2 + 77])
    with scene.capturing(camera_settings(video.as_uri())) as capture:
        eventually(lambda: capture.state == "ended" or "offline" in capture.state, SECONDS)
    scene.check()
    assert 30 < sum(each.frames for each in scene.fragments) < 60


@scenario
def a_file_that_comes_later_is_played_then(scene: Scene) -> None:
    path = scene.place.folder / "later.mp4"
    with scene.capturing(camera_settings(path.as_uri())) as capture:
        eventually(lambda: "No such file" in capture.state, SECONDS)
        path.write_bytes(scene.video().read_bytes())
        eventually(lambda: capture.state == "live", SECONDS)


# -- RTSP ---------------------------------------------------------------------------------------


def rtsp_camera(url: str, **changes: object) -> CameraSettings:
    """A camera that is given time, as the machine is busy; tests of silence set their own."""
    return camera_settings(url, **{"stall_seconds": 15, "open_timeout_seconds": 15, **changes})


def datagrams_without_room() -> int:
    """Datagrams that this machine has thrown away so far because nobody took them up in time."""
    lines = Path("/proc/net/snmp").read_text().splitlines()
    names, values = (line.split() for line in lines if line.startswith("Udp:"))
    return int(dict(zip(names, values, strict=True))["RcvbufErrors"])


@scenario.each(tcp="tcp", udp="udp")
def a_camera_is_recorded_with_its_sound(scene: Scene, transport: str) -> None:
    before = datagrams_without_room()
    with RtspServer() as server:
        url = server.mount("room", scene.video())
        scene.record(rtsp_camera(url, transport=transport), 4, SECONDS)
    scene.check()
    if transport == "tcp" or datagrams_without_room() == before:
        scene.check_succession()
        whole = scene.fragments[:-1]
        assert [each.frames for each in whole] == [RATE] * len(whole)
    sound = packet_times(scene.joined(), "audio")
    assert sound[-1] - sound[0] > 3
    assert scene.reasons == ["the test is over"]


@scenario
def hevc_and_g711_are_taken_from_a_camera(scene: Scene) -> None:
    with RtspServer() as server:
        video = scene.video(".mkv", codec="hevc", audio="pcm_mulaw")
        scene.record(rtsp_camera(server.mount("room", video)), 3, SECONDS)
    scene.check()
    stream = scene.fragments[0].stream
    assert (stream.video_codec, stream.audio_codec) == ("hevc", "aac")
    assert packet_times(scene.joined(), "audio")[-1] > 2


@scenario.each(basic=False, digest=True)
def a_password_of_any_characters_opens_the_camera_and_is_shown_nowhere(
    scene: Scene, digest: bool
) -> None:
    variable = "CAMERA_PASSWORD_DIGEST" if digest else "CAMERA_PASSWORD_BASIC"
    password = PASSWORDS[variable]
    with RtspServer(user="viewer", password=password, digest=digest) as server:
        url = server.mount("room", scene.video())
        camera = rtsp_camera(url, username="viewer", password_env=variable)
        with scene.capturing(camera) as capture:
            eventually(lambda: capture.state == "live", SECONDS)
            scene.wait(10)
            server.kill()
            eventually(lambda: "refused" in capture.state, SECONDS)
            everything = repr((scene.lines, scene.told, scene.records, capture.state))
    for secret in (password, quote(password), quote(password, safe=""), password[:7]):
        assert secret not in everything


@scenario
def a_wrong_password_is_said_and_tried_again(scene: Scene) -> None:
    with RtspServer(user="viewer", password="right") as server:
        url = server.mount("room", scene.video())
        camera = rtsp_camera(url, username="viewer", password_env="CAMERA_PASSWORD_WRONG")
        with scene.capturing(camera) as capture:
            eventually(lambda: "401" in capture.state or "authorization" in capture.state, SECONDS)
            tries = [line for line in scene.lines if line["action"] == "camera.connecting"]
            eventually(
                lambda: (
                    [line for line in scene.lines if line["action"] == "camera.connecting"] > tries
                ),
                SECONDS,
            )
            assert "hush" not in repr((scene.lines, scene.told, capture.state))


@scenario
def a_password_in_the_address_is_shown_nowhere(scene: Scene) -> None:
    with RtspServer(user="viewer", password="right") as server:
        url = server.mount("room", scene.video()).replace("://", "://viewer:hush@")
        with scene.capturing(rtsp_camera(url)) as capture:
            eventually(lambda: "offline" in capture.state, SECONDS)
            assert "hush" not in repr((scene.lines, scene.told, capture.state))


@scenario
def libav_says_nothing_of_its_own(_: Scene) -> None:
    """It would write addresses with their passwords to standard error."""
    script = (
        "import sys, threading; from ingest.demuxed import DemuxedFeed;"
        "from shared.clock import SystemClock; from shared.config import CameraSettings;"
        "from shared.log import get_logger\n"
        "camera = CameraSettings(id='a', source=sys.argv[1])\n"
        "try: DemuxedFeed(camera, SystemClock(), threading.Event(), get_logger())\n"
        "except Exception as error: print(error)\n"
    )
    with RtspServer(user="viewer", password="right") as server:
        command = [sys.executable, "-c", script, f"rtsp://viewer:hush@127.0.0.1:{server.port}/no"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "cannot be opened" in done.stdout
    assert "hush" not in done.stdout
    assert done.stderr == ""


@scenario
def a_camera_that_is_killed_ends_its_epoch_and_is_found_again(scene: Scene) -> None:
    server = RtspServer()
    with scene.capturing(rtsp_camera(server.mount("room", scene.video()))) as capture:
        scene.wait(40)
        server.kill()
        eventually(lambda: scene.ends and "offline" in capture.state, SECONDS)
        with RtspServer(server.port) as again:
            again.mount("room", scene.video())
            eventually(lambda: capture.state == "live", SECONDS)
            scene.wait(80)
    scene.check()
    assert len(scene.ends) == 2
    assert scene.reasons[0] != "source ended"
    told = [event for event, _ in groupby(event for _, event, _ in scene.told)]
    assert told == ["online", "offline", "online", "offline"]


@scenario
def a_server_that_ends_its_stream_is_asked_again(scene: Scene) -> None:
    with RtspServer() as server:
        url = server.mount("room", scene.video(seconds=2), loop=False)
        with scene.capturing(rtsp_camera(url)) as capture:
            eventually(lambda: len(scene.ends) >= 2, SECONDS)
            assert capture.state != "ended"
    scene.check()


@scenario
def closed_connections_are_opened_again(scene: Scene) -> None:
    with RtspServer() as server:
        url = server.mount("room", scene.video())
        with scene.capturing(rtsp_camera(url)) as capture:
            scene.wait(20)
            server.drop_connections()
            eventually(lambda: scene.ends, SECONDS)
            eventually(lambda: capture.state == "live", SECONDS)
    scene.check()


@scenario.each(everything="", picture_alone="video")
def a_camera_that_falls_silent_is_noticed_by_its_media(scene: Scene, kind: str) -> None:
    with RtspServer() as server:
        url = server.mount("room", scene.video())
        with scene.capturing(rtsp_camera(url, stall_seconds=2)) as capture:
            scene.wait(20)
            server.stall("room", kind)
            silence = re.compile(r"offline: (nothing came|no video) for \d+ s")
            eventually(lambda: silence.match(capture.state), SECONDS)
            server.resume("room")
            eventually(lambda: capture.state == "live", SECONDS)
    scene.check()


@scenario
def a_cable_that_is_pulled_is_noticed(scene: Scene) -> None:
    with (
        RtspServer() as server,
        Gate(server.mount("room", scene.video())) as gate,
        scene.capturing(rtsp_camera(gate.url, stall_seconds=2, open_timeout_seconds=5)) as capture,
    ):
        scene.wait(20)
        gate.hold()
        eventually(lambda: "offline" in capture.state, SECONDS)
        gate.open()
        eventually(lambda: capture.state == "live", SECONDS)
    scene.check()


@scenario
def sound_that_stops_for_long_does_not_touch_the_picture(scene: Scene) -> None:
    with RtspServer() as server:
        url = server.mount("room", scene.video())
        with scene.capturing(rtsp_camera(url)):
            scene.wait(30)
            server.stall("room", "audio")
            scene.wait(30 + 11 * RATE)
            server.resume("room")
            scene.wait(30 + 13 * RATE)
    scene.check()
    assert len(scene.ends) == 1
    scene.check_succession()
    delays = [(each.written_at - each.captured_at).total_seconds() for each in scene.batches]
    assert sorted(delays)[len(delays) // 2] < 5  # left to itself a muxer waits 10 s for sound
    sound = packet_times(scene.joined(), "audio")
    assert max(b - a for a, b in pairwise(sound)) > 9


@scenario
def a_new_resolution_in_mid_stream_is_a_new_epoch_of_that_camera_alone(scene: Scene) -> None:
    with RtspServer() as server:
        changing = rtsp_camera(server.mount("changing", scene.video()))
        other = rtsp_camera(server.mount("other", scene.video()))
        other = other.model_copy(update={"id": "camera-2"})
        with scene.capturing(other), scene.capturing(changing):
            eventually(lambda: len({each.camera for each in scene.batches}) == 2, SECONDS)
            scene.wait(60)
            server.switch("changing", scene.video(size=(320, 180)))
            eventually(lambda: any(each.stream.width == 320 for each in scene.batches), SECONDS)
    scene.check()
    reasons = [(each.camera, each.reason) for each in scene.ends]
    assert ("camera-1", "the stream's parameters changed") in reasons
    assert [each for each in reasons if each[0] == "camera-2"] == [("camera-2", "the test is over")]
    large = next(each for each in scene.fragments if each.stream.width == 320)
    assert len(scene.counters_of(large)) == large.frames


@scenario
def parameters_that_change_beside_a_pulled_stream_begin_a_new_epoch(scene: Scene) -> None:
    small, large = scene.video(), scene.video(size=(320, 180))
    bodies = [
        flv.join(films, scene.place.folder / f"{number}.flv").read_bytes()
        for number, films in enumerate([[small, large], [large]])
    ]
    with served(bodies) as url, scene.capturing(camera_settings(url)):
        eventually(lambda: any(each.stream.width == 320 for each in scene.fragments), SECONDS)
    scene.check()
    assert scene.reasons[0] == "the stream's parameters changed"
    for each in scene.fragments:
        with av.open(str(scene.root / each.path)) as container:
            sizes = {(frame.width, frame.height) for frame in container.decode(video=0)}
        assert sizes == {(each.stream.width, each.stream.height)}


@contextmanager
def served(bodies: list[bytes]) -> Iterator[str]:
    """An HTTP server that gives these, one a connection, and then always the last; its address."""
    left = list(bodies)

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = left.pop(0) if len(left) > 1 else left[0]
            self.send_response(200)
            self.send_header("Content-Type", "video/x-flv")
            self.end_headers()
            with suppress(ConnectionError):
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Tests print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/live.flv"
        server.shutdown()


@scenario
def a_camera_that_is_not_there_is_waited_for(scene: Scene) -> None:
    with RtspServer() as server:
        port = server.port
    with scene.capturing(rtsp_camera(f"rtsp://127.0.0.1:{port}/room")) as capture:
        eventually(lambda: "refused" in capture.state, SECONDS)
        with RtspServer(port) as server:
            server.mount("room", scene.video())
            eventually(lambda: capture.state == "live", SECONDS)


@scenario
def a_camera_that_accepts_and_never_answers_is_given_up(scene: Scene) -> None:
    with RtspServer() as server:
        url = server.mount("room", scene.video())
        os.kill(server._process.pid, signal.SIGSTOP)
        with scene.capturing(rtsp_camera(url, open_timeout_seconds=4)) as capture:
            eventually(lambda: "no answer in 4 s" in capture.state, SECONDS)
            os.kill(server._process.pid, signal.SIGCONT)
            eventually(lambda: capture.state == "live", SECONDS)


@pytest.mark.parametrize("name", scenario.names)
def test_sources(name: str, running: Running) -> None:
    running[name].result(150)
