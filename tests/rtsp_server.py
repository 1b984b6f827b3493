"""An RTSP camera for tests: GStreamer's RTSP server, run by the system's Python.

    /usr/bin/python3 rtsp_server.py PORT [USER PASSWORD [digest]]

It needs python3-gi, gir1.2-gst-rtsp-server-1.0 and gstreamer1.0-plugins-{base,good,bad,ugly}, and
nothing of Cradle: `tests/rtsp.py` is the handle to it. Each line on standard input is a command as
a JSON object, answered by one JSON line on standard output; it ends with its input.

    {"do": "mount", "name": N, "file": F, "loop": true}   serve a file at rtsp://127.0.0.1:PORT/N
    {"do": "stall", "name": N, "kind": "audio"}           stop sending without closing (everything
    {"do": "resume", "name": N}                           unless a kind is given), and go on
    {"do": "switch", "name": N, "file": F}                another file, in mid-stream
    {"do": "drop"}                                        close all connections
    {"do": "status"}                                      packets sent to the player of each mount

A file is parsed once, into memory. All clients of a mount watch one player, as with a camera; it
starts with the first of them and ends with the last. It sends each packet when it is due, for ever
or once, with timestamps that only rise: a loop has no seam in them, a stall is a gap.
"""

import json
import sys
import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

LOAD_SECONDS = 60
FORMS = {
    "video/x-h264": (
        "h264parse config-interval=-1 ! video/x-h264,stream-format=byte-stream,alignment=au",
        "rtph264pay config-interval=-1",
    ),
    "video/x-h265": (
        "h265parse config-interval=-1 ! video/x-h265,stream-format=byte-stream,alignment=au",
        "rtph265pay config-interval=-1",
    ),
    "video/mpeg": ("mpeg4videoparse config-interval=-1", "rtpmp4vpay config-interval=-1"),
    "image/jpeg": ("jpegparse", "rtpjpegpay"),
    "audio/mpeg": ("aacparse ! audio/mpeg,mpegversion=4,stream-format=raw", "rtpmp4gpay"),
    "audio/x-mulaw": ("identity", "rtppcmupay"),
}
"""By media type: the form in which packets are kept, and what puts them into RTP."""

Gst.init(None)


@dataclass(frozen=True)
class Packet:
    """Times in nanoseconds from the start of the file."""

    sent_at: int
    shown_at: int
    stream: int
    buffer: Any
    caps: Any


class Recording:
    """A file in memory."""

    def __init__(self, file: str) -> None:
        self._branches: list[tuple[str, Any]] = []
        self._pipeline = Gst.parse_launch("filesrc name=file ! parsebin name=parse")
        self._pipeline.get_by_name("file").set_property("location", file)
        self._pipeline.get_by_name("parse").connect("pad-added", self._connect)
        self._pipeline.set_state(Gst.State.PLAYING)
        message = self._pipeline.get_bus().timed_pop_filtered(
            LOAD_SECONDS * Gst.SECOND, Gst.MessageType.EOS | Gst.MessageType.ERROR
        )
        try:
            if message is None or message.type == Gst.MessageType.ERROR or not self._branches:
                raise ValueError(f"{file} cannot be read")
            # Video first, as cameras do.
            self._branches.sort(key=lambda branch: branch[0].startswith("audio"))
            self._take()
        finally:
            self._pipeline.set_state(Gst.State.NULL)

    def _connect(self, _parse: Any, pad: Any) -> None:
        caps = pad.get_current_caps() or pad.query_caps(None)
        kind = caps.get_structure(0).get_name()
        if kind not in FORMS:
            return
        branch = Gst.parse_bin_from_description(
            f"queue max-size-buffers=0 max-size-bytes=0 max-size-time=0 ! {FORMS[kind][0]}"
            " ! appsink name=sink sync=false wait-on-eos=false",
            True,
        )
        self._pipeline.add(branch)
        branch.sync_state_with_parent()
        pad.link(branch.get_static_pad("sink"))
        self._branches.append((kind, branch.get_by_name("sink")))

    def _take(self) -> None:
        self.kinds = [kind for kind, _ in self._branches]
        packets = []
        for stream, (_, sink) in enumerate(self._branches):
            while sample := sink.emit("try-pull-sample", 0):
                buffer = sample.get_buffer()
                # Audio has no decoding time, and AVI no other.
                sent_at = buffer.pts if buffer.dts == Gst.CLOCK_TIME_NONE else buffer.dts
                shown_at = sent_at if buffer.pts == Gst.CLOCK_TIME_NONE else buffer.pts
                packets.append(Packet(sent_at, shown_at, stream, buffer, sample.get_caps()))
        start = min(packet.sent_at for packet in packets)
        self.packets = sorted(
            (
                Packet(p.sent_at - start, p.shown_at - start, p.stream, p.buffer, p.caps)
                for p in packets
            ),
            key=lambda packet: packet.sent_at,
        )
        self.length = max(self._end(stream) for stream in range(len(self.kinds)))

    def _end(self, stream: int) -> int:
        """When the last packet of a stream is over; each lasts as long as the average."""
        times = [packet.sent_at for packet in self.packets if packet.stream == stream]
        return int(times[-1] + (times[-1] - times[0]) / max(1, len(times) - 1))

    def described_by(self) -> int:
        """How many packets make up the description: two of each stream.

        One is not enough for MPEG-4 part 2: its payloader holds a frame until the next.
        """
        wanted = [2] * len(self.kinds)
        for number, packet in enumerate(self.packets):
            wanted[packet.stream] -= 1
            if max(wanted) <= 0:
                return number + 1
        return len(self.packets)


@lru_cache(maxsize=64)
def recording(file: str) -> Recording:
    """The file, parsed once however many mounts show it."""
    return Recording(file)


class Mount:
    """One camera, whether somebody watches it or not."""

    def __init__(self, file: str, loop: bool) -> None:
        self.recording = recording(file)
        self.loop = loop
        self.turn = 0
        """Counts switches of the file."""
        self.stalled: set[str] = set()
        self.sent = [0] * len(self.recording.kinds)
        """Packets of each stream that were sent to the present player."""

    def switch(self, file: str) -> None:
        self.recording = recording(file)
        self.turn += 1

    def factory(self, secured: bool) -> Any:
        """What RTSPServer asks for the stream."""
        factory = GstRtspServer.RTSPMediaFactory()
        chains = [
            f"appsrc name=source{number} is-live=true format=time ! {FORMS[kind][1]}"
            f" name=pay{number} pt={96 + number}"
            for number, kind in enumerate(self.recording.kinds)
        ]
        factory.set_launch(f"( {' '.join(chains)} )")
        factory.set_shared(True)
        factory.connect("media-configure", lambda _, media: Player(self, media))
        if secured:
            permissions = GstRtspServer.RTSPPermissions()
            permissions.add_permission_for_role("viewer", "media.factory.access", True)
            permissions.add_permission_for_role("viewer", "media.factory.construct", True)
            factory.set_permissions(permissions)
        return factory


class Player:
    """Sends the packets of a mount into one media, on a thread of its own."""

    def __init__(self, mount: Mount, media: Any) -> None:
        self._mount = mount
        self._element = media.get_element()
        self._sources = [
            self._element.get_by_name(f"source{number}")
            for number in range(len(mount.recording.kinds))
        ]
        self._playing = threading.Event()
        self._ended = threading.Event()
        mount.sent = [0] * len(self._sources)
        media.connect("new-state", self._new_state)
        media.connect("unprepared", lambda _: self._end())
        threading.Thread(target=self._run, daemon=True).start()

    def _new_state(self, _media: Any, state: int) -> None:
        if state == int(Gst.State.PLAYING):
            self._playing.set()

    def _end(self) -> None:
        self._ended.set()
        self._playing.set()

    def _run(self) -> None:
        mount = self._mount
        # The first packets are wanted for the description, before anybody plays.
        skip = mount.recording.described_by()
        for packet in mount.recording.packets[:skip]:
            self._push(packet, 0)
        self._playing.wait()
        start = self._running_time()
        while not self._ended.is_set():
            start = self._play(start, skip)
            skip = 0
            if not mount.loop:
                for source in self._sources:
                    source.emit("end-of-stream")
                return

    def _play(self, start: int, skip: int) -> int:
        """Send a file once, from running time `start`; returns when the next one begins."""
        mount = self._mount
        recorded, turn = mount.recording, mount.turn
        for packet in recorded.packets[skip:]:
            kind = recorded.kinds[packet.stream].partition("/")[0]
            if "" in mount.stalled:  # and not where this machine did not let us run
                held_at = self._running_time()
                while "" in mount.stalled and not self._ended.wait(0.01):
                    pass
                start += self._running_time() - held_at
            wait = (start + packet.sent_at - self._running_time()) / Gst.SECOND
            if wait > 0:
                self._ended.wait(wait)
            if self._ended.is_set():
                return start
            if mount.turn != turn:
                return self._running_time()
            if kind not in mount.stalled:
                self._push(packet, start)
        return start + recorded.length

    def _push(self, packet: Packet, start: int) -> None:
        source = self._sources[packet.stream]
        buffer = packet.buffer.copy()
        buffer.pts = start + packet.shown_at
        buffer.dts = start + packet.sent_at
        source.emit("push-sample", Gst.Sample.new(buffer, packet.caps, None, None))
        self._mount.sent[packet.stream] += 1

    def _running_time(self) -> int:
        clock = self._element.get_clock()
        return clock.get_time() - self._element.get_base_time() if clock else 0


class Camera:
    """The server and its mounts."""

    def __init__(self, port: int, user: str, password: str, digest: bool) -> None:
        self._mounts: dict[str, Mount] = {}
        self._secured = user != ""
        self._server = GstRtspServer.RTSPServer()
        self._server.set_address("127.0.0.1")
        self._server.set_service(str(port))
        if self._secured:
            self._server.set_auth(self._login(user, password, digest))
        self._server.attach(None)
        GLib.timeout_add_seconds(1, self._forget_dead_sessions)

    @staticmethod
    def _login(user: str, password: str, digest: bool) -> Any:
        auth = GstRtspServer.RTSPAuth()
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "viewer")
        if digest:
            auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
            auth.add_digest(user, password, token)
        else:
            auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
        return auth

    def _forget_dead_sessions(self) -> bool:
        self._server.get_session_pool().cleanup()
        return True

    def obey(self, command: dict[str, Any]) -> dict[str, Any]:
        """Carry out one command of those in the module's description."""
        do = command["do"]
        if do == "mount":
            mount = Mount(command["file"], command.get("loop", True))
            self._mounts[command["name"]] = mount
            points = self._server.get_mount_points()
            points.add_factory(f"/{command['name']}", mount.factory(self._secured))
        elif do == "stall":
            self._mounts[command["name"]].stalled.add(command.get("kind", ""))
        elif do == "resume":
            self._mounts[command["name"]].stalled.clear()
        elif do == "switch":
            self._mounts[command["name"]].switch(command["file"])
        elif do == "drop":
            self._server.client_filter(lambda *_: GstRtspServer.RTSPFilterResult.REMOVE)
        elif do == "status":
            return {"sent": {name: mount.sent for name, mount in self._mounts.items()}}
        else:
            raise ValueError(f"no such command: {do}")
        return {}


def main() -> None:
    """Serve until standard input ends."""
    port, user, password, method = [*sys.argv[1:], "", "", ""][:4]
    camera = Camera(int(port), user, password, method == "digest")
    loop = GLib.MainLoop()

    def obey(line: str) -> bool:
        try:
            answer = {"ok": True, **camera.obey(json.loads(line))}
        except Exception as error:  # the test hears of it
            answer = {"ok": False, "error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
        return False

    def listen() -> None:
        for line in sys.stdin:
            GLib.idle_add(obey, line)
        loop.quit()

    threading.Thread(target=listen, daemon=True).start()
    print(json.dumps({"ok": True}), flush=True)
    loop.run()


if __name__ == "__main__":
    main()
