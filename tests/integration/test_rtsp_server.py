"""The RTSP camera of the tests behaves as cameras do, well and badly."""

import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest

from tests.rtsp import RtspServer
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


def _watch(url: str, seconds: float) -> Iterator[tuple[Seen, Any]]:
    """Watch as a client does, for some seconds from the first packet, or to the end."""
    begun = None
    with av.open(url, options={"rtsp_transport": "tcp"}, timeout=(10, 5)) as container:
        for packet in container.demux():
            begun = begun or time.monotonic()
            passed = time.monotonic() - begun
            if passed > seconds:
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
    threading.Timer(2, rtsp_server.stall, ("room",)).start()
    threading.Timer(4, rtsp_server.resume, ("room",)).start()
    seen = [each for each, _ in _watch(url, 5)]
    assert max(_steps([each.arrived_at for each in seen])) > 1.5
    steps = _steps(_times(seen, "video"))
    assert 1.5 < max(steps) < 2.5
    assert min(steps) > 0


def test_sound_can_fall_silent_alone(rtsp_server: RtspServer, videos: Videos) -> None:
    url = rtsp_server.mount("room", videos(seconds=2))
    threading.Timer(2, rtsp_server.stall, ("room", "audio")).start()
    threading.Timer(4, rtsp_server.resume, ("room",)).start()
    seen = [each for each, _ in _watch(url, 5)]
    assert 1.5 < max(_steps(_times(seen, "audio"))) < 2.5
    assert max(_steps(_times(seen, "video"))) < 0.1


def test_the_resolution_can_change_in_mid_stream(rtsp_server: RtspServer, videos: Videos) -> None:
    url = rtsp_server.mount("room", videos(seconds=2))
    threading.Timer(2, rtsp_server.switch, ("room", videos(seconds=2, size=(640, 360)))).start()
    widths = [
        frame.width
        for seen, packet in _watch(url, 4)
        if seen.kind == "video"
        for frame in packet.decode()
    ]
    assert sorted(set(widths)) == [320, 640]
    assert widths == sorted(widths)


def test_a_dropped_client_can_come_back(rtsp_server: RtspServer, videos: Videos) -> None:
    url = rtsp_server.mount("room", videos(seconds=2))
    threading.Timer(2, rtsp_server.drop_connections).start()
    assert list(_watch(url, 30))[-1][0].arrived_at < 5
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
