"""The whole line with the page, and a browser in front of it: for tests of what people see."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, Page
from pydantic import SecretStr

from deploy.local.ports import free_ports
from shared.config import ArchiveSettings
from shared.users import Users
from shared.viewersettings import ViewerSettings
from tests.line import Line, line
from tests.player.server import COUNTER_JS
from tests.support import eventually

CAMERA: Final = "camera-1"
USER: Final = "원장"
PASSWORD: Final = "a long enough password"
STAGES: Final = ("ingest", "encoder", "archiver", "analyzer", "viewer")
GENERATED: Final = {"id": CAMERA, "name": "영아반 1", "source": "test:640x360@30"}


@dataclass
class Watched:
    """A house that runs, and its page."""

    line: Line
    address: str

    @contextmanager
    def page(self, browser: Browser, path: str = "/", **how: Any) -> Iterator[Page]:
        """A page of somebody who is logged in, in a browser context of its own."""
        with browser.new_context(**{"locale": "en-GB", "base_url": self.address, **how}) as context:
            page = context.new_page()
            faults: list[str] = []
            page.on("pageerror", lambda error: faults.append(str(error)))
            page.on("console", lambda said: _note(faults, said))
            self.log_in(page)
            if path != "/":
                page.goto(path)
            yield page
            assert faults == [], "the page's scripts say so"

    def log_in(self, page: Page, password: str = PASSWORD) -> None:
        page.goto("/")
        page.fill("#name", USER)
        page.fill("#password", password)
        page.click("button[type=submit]")
        page.wait_for_selector(".brand")

    def until_live(self, page: Page, seconds: float = 40) -> None:
        """Until the tile says that it is, and shows a picture."""
        page.wait_for_selector(
            f'[data-camera="{CAMERA}"][data-state="live"]', timeout=seconds * 1000
        )
        eventually(lambda: counter(page), seconds, "a picture with a number")

    def until_clips(self, count: int, seconds: float = 60) -> None:
        """Until so many clips are stored."""
        eventually(lambda: len(self.line.manifests(CAMERA)) >= count, seconds, f"{count} clips")


def _note(faults: list[str], said: Any) -> None:
    """What the browser's console says of errors, but for answers that a page expects."""
    if said.type == "error" and "Failed to load resource" not in said.text:
        faults.append(said.text)


def counter(page: Page, selector: str = "video:not([hidden])") -> int | None:
    """The number in the picture that is shown; None while there is none."""
    found: int | None = page.evaluate(
        f"""(selector) => {{
          {COUNTER_JS.read_text(encoding="utf-8")}
          const video = document.querySelector(selector);
          return video && video.videoWidth ? counterOf(video) : null;
        }}""",
        selector,
    )
    return found


@contextmanager
def watched(
    folder: Path, broker_url: str, archive: ArchiveSettings, cameras: list[dict[str, Any]]
) -> Iterator[Watched]:
    """Everything, running; clips of ten seconds."""
    port = free_ports(1)[0]
    settings = ViewerSettings(
        url=(folder / "viewer").as_uri(), port=port, secret=SecretStr("s" * 40)
    )
    Users(settings).add(USER, "operator", PASSWORD)
    section = {**settings.model_dump(include={"url", "port"}), "secret": "s" * 40}
    with ExitStack() as stack:
        made = stack.enter_context(line(folder, broker_url, archive, cameras, viewer=section))
        made.start(*STAGES)
        made.until_live(CAMERA, 30)
        yield Watched(made, f"http://127.0.0.1:{port}")
