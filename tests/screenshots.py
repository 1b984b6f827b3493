"""`make screenshots`: the page as people see it, into docs/screens, from a house that really runs.

Three generated rooms and a camera that is not there, for two minutes; then each view, on a desk and
on a phone.
"""

import tempfile
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, Page

from tests.line import wait_seconds
from tests.player.screen import chromium
from tests.services import running_broker, running_store
from tests.viewer_line import CAMERA, Watched, watched

FOLDER: Final = Path(__file__).parents[1] / "docs/screens"
CAMERAS: Final = [
    {"id": CAMERA, "name": "영아반 1", "source": "test:960x540@30"},
    {"id": "camera-2", "name": "영아반 2", "source": "test:960x540@15"},
    {"id": "camera-3", "name": "놀이방", "source": "test:640x360@15"},
    {"id": "camera-4", "name": "현관", "source": "rtsp://127.0.0.1:9/none"},
]
RUN_SECONDS: Final = 100
VIEWS: Final = (
    ("wall", "/"),
    ("room", f"/?room={CAMERA}"),
    ("day", f"/rooms/{CAMERA}"),
    ("notes", "/notes"),
    ("system", "/system"),
    ("reference", "/reference"),
)
DESK: Final[dict[str, Any]] = {"viewport": {"width": 1360, "height": 900}}
PHONE: Final[dict[str, Any]] = {
    "viewport": {"width": 390, "height": 800},
    "is_mobile": True,
    "has_touch": True,
}


def main() -> None:
    """Make them all."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="cradle-screens-") as name:
        folder = Path(name)
        with (
            running_broker(folder / "broker") as broker,
            running_store(folder / "store") as store,
            store.bucket() as archive,
            watched(folder, broker.url, archive, CAMERAS) as house,
            chromium() as browser,
        ):
            wait_seconds(RUN_SECONDS)
            for language in ("ko", "en"):
                shoot(house, browser, language)


def shoot(house: Watched, browser: Browser, language: str) -> None:
    """Every view in one language."""
    locale = {"ko": "ko-KR", "en": "en-GB"}[language]
    for where, how in (("desk", DESK), ("phone", PHONE)):
        if (language, where) == ("en", "phone"):
            continue
        for view, path in VIEWS:
            with house.page(browser, path, locale=locale, **how) as page:
                settle(page, view)
                page.screenshot(path=FOLDER / f"{view}-{where}-{language}.png")
    with browser.new_context(locale=locale, base_url=house.address, **DESK) as context:
        page = context.new_page()
        page.goto("/login")
        page.wait_for_selector("#password")
        page.screenshot(path=FOLDER / f"login-desk-{language}.png")


def settle(page: Page, view: str) -> None:
    """Until there is something to see."""
    page.wait_for_selector("h1")
    if view in {"wall", "room"}:
        page.wait_for_selector('[data-state="live"]', timeout=20_000)
        page.wait_for_timeout(3000)
    elif view == "day":
        page.wait_for_selector("rect.stored", state="attached")
        for _ in range(7):
            page.locator(".legend button").first.click()
        page.locator('details[data-name="clips"] summary').click()
        page.locator("tr[data-clip] button").first.click()
        page.wait_for_timeout(4000)
        page.evaluate("scrollTo(0, 0)")
    else:
        page.wait_for_timeout(2500)


if __name__ == "__main__":
    main()
