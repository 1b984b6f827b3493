"""Chromium with the page that plays one camera, and what it has seen since it was opened.

The browser is Debian's, as people have it, driven by Playwright. A screen is one page: it is opened
once and never loaded again, so whatever interrupts the camera, the player must get over it alone.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from playwright.sync_api import Browser, Page, sync_playwright
from pydantic import AliasGenerator, BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from encoder.playlist import NAME
from shared.child import find_program
from tests.support import eventually

ARGUMENTS: Final = (
    "--headless=new",
    "--no-sandbox",  # tests run as root too, on pages of their own
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
)
FRAMES_OF_A_START: Final = 10


class _Seen(BaseModel):
    model_config = ConfigDict(
        alias_generator=AliasGenerator(validation_alias=to_camel), extra="forbid", frozen=True
    )


class Fault(_Seen):
    """An error of hls.js, which goes on by itself unless it is fatal."""

    at: float
    type: str
    details: str
    fatal: bool
    reason: str


class Fragment(_Seen):
    """A segment that began to play."""

    at: float
    sequence: int
    discontinuity: int
    captured_at: float | None


class Picture(_Seen):
    """One that was on the screen. Times are milliseconds since 1970."""

    at: float
    """When it was shown."""
    media: float
    """Its place on the player's timeline, seconds."""
    captured_at: float | None
    """When it was captured, as the playlist says; None if it says nothing."""
    counter: int | None
    """Its number; None if it cannot be read."""

    @property
    def delay_seconds(self) -> float | None:
        """From capture to screen."""
        return None if self.captured_at is None else (self.at - self.captured_at) / 1000


class Report(_Seen):
    """What a screen has seen."""

    opened: float
    """When the page was loaded: it changes if it is loaded again."""
    media: float
    """Place on the player's timeline, seconds."""
    paused: bool
    ended: bool
    decoded: int
    """Pictures."""
    dropped: int
    """Of these: not shown."""
    sound: int
    """Bytes of sound that were decoded."""
    errors: list[Fault]
    pauses: list[float]
    """When the player had to wait for data."""
    fragments: list[Fragment]
    pictures: list[Picture]

    @property
    def fatal(self) -> list[Fault]:
        """Errors that end playback."""
        return [each for each in self.errors if each.fatal]

    @property
    def counters(self) -> list[int]:
        """Numbers of the pictures that were shown, in order."""
        return [each.counter for each in self.pictures if each.counter is not None]


class Screen:
    """One page."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._opened = self.report().opened

    def report(self) -> Report:
        """All that was seen since the page was opened."""
        return Report.model_validate(self._page.evaluate("report()"))

    def playing(self) -> Report:
        """The report, after making sure that this is still the page that was opened, and plays."""
        report = self.report()
        assert report.opened == self._opened, "the page was loaded again"
        assert report.fatal == []
        assert not report.ended, "the player takes the stream for ended"
        return report

    def until(self, condition: Callable[[Report], bool], seconds: float, what: str) -> Report:
        """Wait until the report is so, while it plays."""
        return eventually(
            lambda: [report] if condition(report := self.playing()) else [],
            seconds,
            what,
            every_seconds=0.2,
        )[0]

    def until_shown(self, frames: int, seconds: float) -> Report:
        """Wait until so many more pictures were shown."""
        enough = len(self.report().pictures) + frames
        return self.until(
            lambda report: len(report.pictures) >= enough, seconds, f"{frames} pictures shown"
        )


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser with nothing in it."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_program("chromium"), args=ARGUMENTS, timeout=60_000
        )
        yield browser
        browser.close()


@contextmanager
def screen(browser: Browser, server: str, camera: str) -> Iterator[Screen]:
    """A page that plays a camera, which must be live, from a server."""
    page = browser.new_page()
    try:
        page.goto(f"{server}/?/live/{camera}/{NAME}")
        made = Screen(page)
        try:
            made.until_shown(FRAMES_OF_A_START, 30)
            yield made
        except BaseException:
            report = made.report()
            print(f"the player said: {report.errors}, waited at {report.pauses}")
            print(report.model_dump(exclude={"errors", "pauses", "pictures"}))
            print(report.pictures[-5:])
            raise
    finally:
        page.close()
