"""The cameras of the bench: one process, an RTSP server that plays the footage at its own pace.

    python -m tests.bench.cameras --footage FILE --cameras 24 --port 8554

Camera k is rtsp://127.0.0.1:PORT/k. It counts its frames from the start of the process, whoever
looks on; each viewer begins at the next key frame, and all get the same bytes, over TCP. The key
frames of different cameras are spread over the second, as those of real ones are. First it prints
its schedule, and when told to stop how well it kept it, one JSON object each. Its CPU time belongs
to nobody's figures.
"""

import argparse
import asyncio
import json
import re
import signal
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from tests.bench import footage, rtp
from tests.bench.mark import Mark

LARGEST_BACKLOG_BYTES: Final = 4 * 1024 * 1024
"""A viewer that is this far behind is cut off, as a camera would."""

_CHANNELS: Final = {"video": rtp.VIDEO_CHANNEL, "audio": rtp.AUDIO_CHANNEL}
_REQUEST = re.compile(rb"(?P<method>[A-Z_]+) rtsp://[^/ ]+/(?P<path>[^ ]*) RTSP/1\.0\r\n")
_SEQUENCE = re.compile(rb"(?im)^CSeq: *(\d+)")
_INTERLEAVED = re.compile(rb"(?im)^Transport:.*interleaved=(\d+)-")


@dataclass(frozen=True)
class Schedule:
    """When which frame is due, by the wall clock."""

    began_ns: int
    """Frame 0 of camera 0."""
    cameras: int

    def due_ns(self, camera: int, number: int) -> int:
        """When a frame is due."""
        spread = camera * 1_000_000_000 // self.cameras
        return self.began_ns + spread + number * 1_000_000_000 // footage.FRAMES_PER_SECOND

    def due_between(self, camera: int, begin_ns: int, end_ns: int) -> range:
        """Numbers of the frames due from `begin_ns` on and before `end_ns`."""

        def first_from(moment_ns: int) -> int:
            ahead = moment_ns - self.due_ns(camera, 0)
            number = max(0, ahead * footage.FRAMES_PER_SECOND // 1_000_000_000 - 1)
            while self.due_ns(camera, number) < moment_ns:
                number += 1
            return number

        return range(first_from(begin_ns), first_from(end_ns))


@dataclass
class Punctuality:
    """How well the schedule was kept."""

    cut_off: int = 0
    """Viewers that were too slow."""
    late_seconds: list[float] = field(default_factory=list)

    def summary(self) -> dict[str, float]:
        late = sorted(self.late_seconds) or [0.0]
        return {"cut_off": self.cut_off, "late_p99_seconds": late[len(late) * 99 // 100]}


class Camera:
    """One camera and who looks at it."""

    def __init__(
        self, number: int, video: list[rtp.Packets], audio: list[rtp.Packets], keys: frozenset[int]
    ) -> None:
        self._number = number
        self._video, self._audio, self._keys = video, audio, keys
        self._waiting: set[asyncio.StreamWriter] = set()
        self._viewers: set[asyncio.StreamWriter] = set()
        self._video_sequence = self._audio_sequence = self._audio_frame = 0

    def add(self, viewer: asyncio.StreamWriter) -> None:
        """Play to somebody from the next key frame on."""
        self._waiting.add(viewer)

    def remove(self, viewer: asyncio.StreamWriter) -> None:
        self._waiting.discard(viewer)
        self._viewers.discard(viewer)

    async def play(self, schedule: Schedule, punctuality: Punctuality) -> None:
        """Send frame after frame, each when it is due, for ever."""
        frame = 0
        while True:
            ahead = (schedule.due_ns(self._number, frame) - time.time_ns()) / 1e9
            if ahead > 0:
                await asyncio.sleep(ahead)
            late = (time.time_ns() - schedule.due_ns(self._number, frame)) / 1e9
            punctuality.late_seconds.append(max(0.0, late))
            self._send(frame, punctuality)
            frame += 1

    def _send(self, frame: int, punctuality: Punctuality) -> None:
        place = frame % len(self._video)
        if place in self._keys:
            self._viewers |= self._waiting
            self._waiting.clear()
        packets = self._video[place]
        mark = Mark(self._number, frame, time.time_ns())
        data = packets.at(self._video_sequence, frame * rtp.VIDEO_TICKS, mark)
        self._video_sequence += len(packets)
        while self._audio_frame < rtp.audio_due(frame + 1):
            sound = self._audio[self._audio_frame % len(self._audio)]
            ticks = self._audio_frame * footage.SAMPLES_PER_AUDIO_FRAME
            data += sound.at(self._audio_sequence, ticks)
            self._audio_sequence += len(sound)
            self._audio_frame += 1
        for viewer in list(self._viewers):
            if viewer.transport.get_write_buffer_size() > LARGEST_BACKLOG_BYTES:
                punctuality.cut_off += 1
                self.remove(viewer)
                viewer.transport.abort()
            else:
                viewer.write(data)


class Server:
    """Answers to RTSP for all cameras."""

    def __init__(self, cameras: list[Camera], description: bytes) -> None:
        self._cameras = cameras
        self._description = description

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until its end."""
        camera: Camera | None = None
        try:
            while True:
                first = await reader.readexactly(1)
                if first == b"$":  # the viewer's own RTCP
                    head = await reader.readexactly(3)
                    await reader.readexactly(int.from_bytes(head[1:]))
                    continue
                request = first + await reader.readuntil(b"\r\n\r\n")
                answer, played = self._answer(request)
                writer.write(answer)
                if played is not None:
                    camera = played
                    camera.add(writer)
        except (asyncio.IncompleteReadError, OSError):
            pass  # the viewer has gone
        finally:
            if camera is not None:
                camera.remove(writer)
            writer.close()

    def _answer(self, request: bytes) -> tuple[bytes, Camera | None]:
        """The answer, and the camera that is played from now on, if so."""
        match, sequence = _REQUEST.match(request), _SEQUENCE.search(request)
        number, _, track = match["path"].decode().partition("/") if match else ("", "", "")
        if match is None or sequence is None or not _is_below(number, len(self._cameras)):
            return b"RTSP/1.0 404 Not Found\r\n\r\n", None
        head = b"RTSP/1.0 200 OK\r\nCSeq: %s\r\nSession: 1\r\n" % sequence[1]
        method = match["method"].decode()
        if method == "DESCRIBE":
            body = self._description
            kind = b"Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n" % len(body)
            return head + kind + body, None
        if method == "SETUP":
            asked, channel = _INTERLEAVED.search(request), _CHANNELS.get(track)
            if asked is None or channel is None or int(asked[1]) != channel:
                return head.replace(b"200 OK", b"461 Unsupported Transport") + b"\r\n", None
            where = b"RTP/AVP/TCP;unicast;interleaved=%d-%d" % (channel, channel + 1)
            return head + b"Transport: %s\r\n\r\n" % where, None
        if method == "OPTIONS":
            head += b"Public: OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN\r\n"
        return head + b"\r\n", self._cameras[int(number)] if method == "PLAY" else None


def _is_below(text: str, limit: int) -> bool:
    return text.isdecimal() and int(text) < limit


async def _run(film: footage.Footage, count: int, port: int) -> Punctuality:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    video, audio = rtp.video_packets(film), rtp.audio_packets(film)
    cameras = [Camera(number, video, audio, film.key_frames) for number in range(count)]
    server = Server(cameras, rtp.description(film))
    punctuality = Punctuality()
    async with await asyncio.start_server(server.serve, "127.0.0.1", port):
        schedule = Schedule(time.time_ns(), count)
        print(json.dumps(asdict(schedule)), flush=True)
        playing = [asyncio.create_task(each.play(schedule, punctuality)) for each in cameras]
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait([*playing, stopped], return_when=asyncio.FIRST_COMPLETED)
        for task in playing:
            if task.done():
                task.result()
            task.cancel()
    return punctuality


def main() -> None:
    """Play until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--footage", type=Path, required=True)
    parser.add_argument("--cameras", type=int, required=True)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    film = footage.load(arguments.footage)
    punctuality = asyncio.run(_run(film, arguments.cameras, arguments.port))
    print(json.dumps(punctuality.summary()), flush=True)


if __name__ == "__main__":
    main()
