"""The RTSP camera of the tests behaves as cameras do, well and badly."""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest

from tests.rtsp import RtspServer
from tests.starving import starving
from tests.support import eventually
from tests.videos import Videos, decode_counters, read_counter


@dataclass(frozen=True)
class Seen:
    """One packet as a client saw it."""

    kind: str
    shown_at: float | None
    """Seconds, from the source."""
    arrived_at: float
    """Seconds since the connection."""


class Script:
    """What happens to a camera, at seconds from when it is first seen."""

    def __init__(self, *acts: tuple[float, Callable[[], object]]) -> None:
        self._acts = acts
        self.spans: list[tuple[float, float]] = []
        """Of each act that was done: between which times (monotonic)."""

    def start(self) -> None:
        threading.Thread(target=self._play, daemon=True).start()

    def _play(self) -> None:
        began = time.monotonic()
        for seconds, act in self._acts:
            threading.Event().wait(max(0.0, began + seconds - time.monotonic()))
            asked = time.monotonic()
            act()
            self.spans.append((asked, time.monotonic()))

    @property
    def is_over(self) -> bool:
        """A second and more ago."""
        return len(self.spans) == len(self._acts) and all(
            time.monotonic() > done + 1 for _, done in self.spans
        )

    def between(self) -> tuple[float, float]:
        """How long it was from the first act to the second, at least and at most (seconds)."""
        (first_asked, first_done), (second_asked, second_done) = self.spans
        return second_asked - first_done, second_done - first_asked


def _watch(url: str, seconds: float, script: Script | None = None) -> Iterator[tuple[Seen, Any]]:
    """Watch as a client does, for some seconds from the first packet, or to the end.

    With a script, until it is over as well.
    """
    begun = None
    with av.open(url, options={"rtsp_transport": "tcp"}, timeout=(30, 20)) as container:
        for packet in container.demux():
            if begun is None:
                begun = time.monotonic()
                if script is not None:
                    script.start()
            passed = time.monotonic() - begun
            if passed > seconds and (script is None or script.is_over):
                return
            if packet.size:
                yield Seen(packet.stream.type, _shown_at(packet), passed), packet


def _shown_at(packet: Any) -> float | None:
    return None if packet.pts is None else float(packet.pts * packet.time_base)


def _times(seen: list[Seen], kind: str) -> list[float]:
    return [each.shown_at for each in seen if each.kind == kind and each.shown_at is not None]


def _steps(times: list[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(times)]


def test_a_looped_camera_has_rising_timestamps_and_every_frame(
    rtsp_server: RtspServer, videos: Videos, tmp_path: Path
) -> None:
    seconds = 7
    url = rtsp_server.mount("room", videos(size=(1920, 1080), seconds=3, bitrate="4M"))
    recorded = tmp_path / "recorded.ts"
    subprocess.run(
        [
            *("ffmpeg", "-v", "error", "-rtsp_transport", "tcp", "-i", url),
            *("-t", str(seconds), "-c", "copy", str(recorded)),
        ],
        check=True,
        timeout=60,
    )
    frames = decode_counters(recorded)
    assert len(frames) > (seconds - 1) * 30
    assert all(later == (earlier + 1) % 90 for earlier, later in pairwise(frames))
    with av.open(str(recorded)) as container:
        # Taken apart while the container is open: afterwards a packet's stream is gone.
        packets = [
            Seen(packet.stream.type, _shown_at(packet), 0)
            for packet in container.demux()
            if packet.size
        ]
    for kind, step in (("video", 1 / 30), ("audio", 1024 / 48000)):
        times = _times(packets, kind)
        assert all(0 < each < step + 0.05 for each in _steps(times))
        assert times[-1] - times[0] > seconds - 1


@pytest.mark.parametrize(
    ("codec", "suffix", "audio"),
    [
        ("hevc", ".mp4", "aac"),
        ("mpeg4", ".avi", "pcm_mulaw"),
        ("mjpeg", ".avi", None),
    ],
)
def test_other_codecs_are_served(
    rtsp_server: RtspServer, videos: Videos, codec: str, suffix: str, audio: str | None
) -> None:
    url = rtsp_server.mount("room", videos(suffix, codec=codec, audio=audio, seconds=2))
    pictures = [
        read_counter(frame.to_ndarray(format="gray"))
        for seen, packet in _watch(url, 1.5)
        if seen.kind == "video"
        for frame in packet.decode()
    ]
    assert len(pictures) > 30
    assert all(later == (earlier + 1) % 60 for earlier, later in pairwise(pictures))


def test_a_camera_that_plays_once_ends(rtsp_server: RtspServer, videos: Videos) -> None:
    url = rtsp_server.mount("room", videos(seconds=2), loop=False)
    seen = [each for each, _ in _watch(url, 30)]
    assert len([each for each in seen if each.kind == "video"]) == 60


def test_a_stalled_camera_keeps_its_connection_and_goes_on(
    rtsp_server: RtspServer, videos: Videos
) -> None:
    url = rtsp_server.mount("room", videos(seconds=2))
    script = Script((2, lambda: rtsp_server.stall("room")), (4, lambda: rtsp_server.resume("room")))
    seen = [each for each, _ in _watch(url, 5, script)]
    assert max(_steps([each.arrived_at for each in seen])) > 1.5
    steps = _steps(_times(seen, "video"))
    least, most = script.between()
    assert least - 0.5 < max(steps) < most + 0.5
    assert min(steps) > 0


def test_sound_can_fall_silent_alone(rtsp_server: RtspServer, videos: Videos) -> None:
    url = rtsp_server.mount("room", videos(seconds=2))
    script = Script(
        (2, lambda: rtsp_server.stall("room", "audio")), (4, lambda: rtsp_server.resume("room"))
    )
    seen = [each for each, _ in _watch(url, 5, script)]
    least, most = script.between()
    assert least - 0.5 < max(_steps(_times(seen, "audio"))) < most + 0.5
    assert max(_steps(_times(seen, "video"))) < 0.1


def test_the_resolution_can_change_in_mid_stream(rtsp_server: RtspServer, videos: Videos) -> None:
    url = rtsp_server.mount("room", videos(seconds=2))
    other = videos(seconds=2, size=(640, 360))
    script = Script((2, lambda: rtsp_server.switch("room", other)))
    widths = [
        frame.width
        for seen, packet in _watch(url, 4, script)
        if seen.kind == "video"
        for frame in packet.decode()
    ]
    assert sorted(set(widths)) == [320, 640]
    assert widths == sorted(widths)


def test_a_dropped_client_can_come_back(rtsp_server: RtspServer, videos: Videos) -> None:
    url = rtsp_server.mount("room", videos(seconds=2))
    script = Script((2, rtsp_server.drop_connections))
    with starving() as machine:
        last, _ = list(_watch(url, 60, script))[-1]
        assert last.arrived_at - machine.seconds() < 5
    assert eventually(lambda: list(_watch(url, 0.2)), 10)


def test_all_clients_watch_the_same_player(rtsp_server: RtspServer, videos: Videos) -> None:
    url = rtsp_server.mount("room", videos(seconds=2))
    first = threading.Thread(target=lambda: list(_watch(url, 4)))
    first.start()
    eventually(lambda: rtsp_server.sent("room")[0] > 45, 10)
    before = rtsp_server.sent("room")[0]
    assert list(_watch(url, 0.5))
    assert rtsp_server.sent("room")[0] > before
    first.join()


@pytest.mark.parametrize("digest", [False, True])
def test_a_login_is_wanted(videos: Videos, digest: bool) -> None:
    with RtspServer(user="viewer", password="p@ss word", digest=digest) as server:
        url = server.mount("room", videos(seconds=2))
        for wrong in (url, url.replace("//", "//viewer:wrong@")):
            with pytest.raises(av.error.HTTPUnauthorizedError):
                list(_watch(wrong, 1))
        assert list(_watch(url.replace("//", "//viewer:p%40ss%20word@"), 0.5))


def test_a_file_that_is_no_video_is_refused(rtsp_server: RtspServer, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(AssertionError, match="cannot be read"):
        rtsp_server.mount("room", tmp_path / "text.mp4")
