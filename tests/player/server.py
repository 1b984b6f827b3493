"""Serves a live folder, hls.js and the page that plays, on loopback: what a web server would do."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parent
COUNTER_JS: Final = HERE / "counter.js"
"""Reads the number that `tests/videos.py` draws into a picture."""
HLS_JS: Final = HERE.parents[1] / "viewer/page/node_modules/hls.js/dist/hls.js"


class _Handler(SimpleHTTPRequestHandler):
    """`/` is the page, `/hls.js` the player, `/live/...` the live folder."""

    protocol_version = "HTTP/1.1"
    timeout = 30
    extensions_map = {
        ".html": "text/html",
        ".js": "text/javascript",
        ".m3u8": "application/vnd.apple.mpegurl",
        ".ts": "video/mp2t",
        ".mp4": "video/mp4",
        ".m4s": "video/mp4",
    }

    def __init__(self, live: Path, *args: Any) -> None:
        self._live = live
        super().__init__(*args, directory=str(live))

    def translate_path(self, path: str) -> str:
        place = path.partition("?")[0]
        if place == "/":
            return str(HERE / "page.html")
        if place == "/hls.js":
            return str(HLS_JS)
        if place == "/counter.js":
            return str(COUNTER_JS)
        return super().translate_path(place.removeprefix("/live"))

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """The page tells what went wrong."""


@contextmanager
def served(live: Path) -> Iterator[str]:
    """Address of a server for a live folder, for a while."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, live)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(5)
