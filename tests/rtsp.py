"""The handle to an RTSP camera: starts rtsp_server.py with the system's Python, and commands it."""

import json
import queue
import subprocess
import threading
from pathlib import Path
from typing import Any, Self

from deploy.local.ports import free_ports
from shared.child import find_program

SYSTEM_PYTHON = "/usr/bin/python3"
PACKAGES = "python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-{base,good,bad,ugly}"
_ANSWER_SECONDS = 60.0


class RtspServer:
    """A running camera server on loopback. Start it from the main thread: it dies with it."""

    def __init__(
        self, port: int | None = None, *, user: str = "", password: str = "", digest: bool = False
    ) -> None:
        self.port = port or free_ports(1)[0]
        login = [user, password, *(["digest"] if digest else [])] if user else []
        self._process = subprocess.Popen(
            [
                *(find_program("setpriv"), "--pdeathsig", "KILL", "--"),
                *(SYSTEM_PYTHON, str(Path(__file__).with_name("rtsp_server.py"))),
                *(str(self.port), *login),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answers: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        self._answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def mount(self, name: str, file: Path, *, loop: bool = True) -> str:
        """Serve a file, and return its address (without a login)."""
        self._say("mount", name=name, file=str(file), loop=loop)
        return f"rtsp://127.0.0.1:{self.port}/{name}"

    def stall(self, name: str, kind: str = "") -> None:
        """Stop sending without closing: everything, or `video`, or `audio`."""
        self._say("stall", name=name, kind=kind)

    def resume(self, name: str) -> None:
        """Go on; what `stall` of everything held back comes later, of one kind never."""
        self._say("resume", name=name)

    def switch(self, name: str, file: Path) -> None:
        """Go on with another file of the same codecs, in mid-stream."""
        self._say("switch", name=name, file=str(file))

    def drop_connections(self) -> None:
        """Close the connections of all clients."""
        self._say("drop")

    def sent(self, name: str) -> list[int]:
        """Packets that the present player has sent: video, audio."""
        sent: list[int] = self._say("status")["sent"][name]
        return sent

    def kill(self) -> None:
        """End it at once, as when a camera loses power."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()

    def _say(self, do: str, **details: object) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **details}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self._answers.get(timeout=_ANSWER_SECONDS)
        assert line, f"the RTSP server ended; it needs {PACKAGES}"
        answer: dict[str, Any] = json.loads(line)
        assert answer["ok"], answer["error"]
        return answer

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            for line in stream:
                self._answers.put(line)
        self._answers.put("")
