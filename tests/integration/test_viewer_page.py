"""The page in Chromium before a whole line: what a carer and an operator see and do.

The pictures carry their number, so that "it moves" and "no frame is missing" are counted, not
believed. One house for all; tests that kill something bring it back.
"""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, expect
from pydantic import SecretStr

from shared.config import ArchiveSettings
from shared.link import Link
from shared.messages import Event, Stage
from shared.topology import EVENTS
from tests.line import decode_counters, wait_seconds
from tests.player.screen import chromium
from tests.player.server import COUNTER_JS
from tests.services import BrokerService, StoreService
from tests.starving import starving
from tests.support import eventually
from tests.videos import Videos
from tests.viewer_bucket import house as viewed_house
from tests.viewer_house import PASSWORD
from tests.viewer_line import CAMERA, GENERATED, USER, Watched, counter, watched
from tests.viewer_line import PASSWORD as VIEWER_PASSWORD

RATE = 30
MOST_BACK_SECONDS = 5.0
LONG = timedelta(seconds=5)
"""For a clip, of ten."""
AXE = Path(__file__).parents[1] / "player/node_modules/axe-core/axe.min.js"
VIEWS = ("/", f"/?room={CAMERA}", f"/rooms/{CAMERA}", "/notes", "/system", "/reference")

pytestmark = pytest.mark.timeout(300)
expect.set_options(timeout=30_000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def house(
    tmp_path_factory: pytest.TempPathFactory, broker: BrokerService, store_service: StoreService
) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")
    with (
        broker.virtual_host() as url,
        store_service.bucket() as archive,
        watched(folder, url, archive, [GENERATED]) as made,
    ):
        yield made


def rises(page: Page, by: int, seconds: float, selector: str = "video:not([hidden])") -> int:
    """Wait until the number in the picture is so much higher; returns it."""
    before = eventually(lambda: counter(page, selector), seconds, "a number in the picture")
    assert before is not None

    def now() -> int:
        found = counter(page, selector)
        return found if found is not None and found >= before + by else 0

    return eventually(now, seconds, f"{by} pictures later")


# -- live -----------------------------------------------------------------------------------------


def test_nobody_sees_a_room_without_logging_in(house: Watched, browser: Browser) -> None:
    with browser.new_context(locale="ko-KR", base_url=house.address) as context:
        page = context.new_page()
        page.goto("/rooms/camera-1")
        expect(page).to_have_url(f"{house.address}/login?next=/rooms/{CAMERA}")
        page.fill("#name", USER)
        page.fill("#password", "not the password")
        page.click("button[type=submit]")
        expect(page.locator(".error")).to_have_text("이름 또는 비밀번호가 맞지 않습니다.")
        assert page.locator("video").count() == 0
        page.fill("#password", VIEWER_PASSWORD)
        page.click("button[type=submit]")
        expect(page).to_have_url(f"{house.address}/rooms/{CAMERA}")
        page.goto("/login?next=//evil.example/")
        expect(page).to_have_url(f"{house.address}/")


def test_the_room_moves_and_says_how_late_it_is(house: Watched, browser: Browser) -> None:
    with starving() as machine, house.page(browser) as page:
        house.until_live(page)
        rises(page, 2 * RATE, 10)
        badge = page.locator(".badge")
        expect(badge).to_contain_text("Live · ")  # what is held up is not live for a moment
        seconds = float(badge.inner_text().removeprefix("Live · ").split()[0])
        assert 0 < seconds < 6 + machine.seconds()


def test_the_picture_comes_back_by_itself_when_the_encoder_is_killed(
    house: Watched, browser: Browser, record_property: Callable[[str, object], None]
) -> None:
    with house.page(browser) as page:
        house.until_live(page)
        shown = rises(page, RATE, 10)
        with starving() as machine:
            house.line.kill("encoder")
            killed = time.monotonic()
            house.line.start("encoder")
            sequence = house.line.media_sequence(CAMERA)
            eventually(lambda: house.line.media_sequence(CAMERA) > sequence, 20, "a new segment")
            published = time.monotonic()
            rises(page, 3 * RATE, 30)
            newest = counter(page)
            assert newest is not None
            assert newest > shown
            back = time.monotonic() - killed
            back -= machine.seconds(house.line.workers["encoder"].pid)
        record_property("back_seconds", round(back, 2))
        print(f"new segment after {published - killed:.1f} s, 3 s of picture after {back:.1f} s")
        assert back - 3 < MOST_BACK_SECONDS
        assert page.evaluate("performance.getEntriesByType('navigation').length") == 1


def test_a_dead_camera_never_looks_live_and_comes_back(house: Watched, browser: Browser) -> None:
    with house.page(browser) as page:
        house.until_live(page)
        house.line.kill("ingest")
        tile = page.locator(f'[data-camera="{CAMERA}"]')
        expect(tile).not_to_have_attribute("data-state", "live", timeout=15_000)
        expect(tile.locator(".veil")).to_be_visible()
        expect(tile.locator(".veil")).to_contain_text("not live")
        expect(page.locator("#said")).to_contain_text("영아반 1: ")
        shown = counter(page)
        wait_seconds(1.5)
        assert counter(page) == shown
        house.line.start("ingest")
        house.until_live(page, 30)
        expect(tile.locator(".veil")).to_be_hidden()
        expect(page.locator("#said")).to_have_text("영아반 1: Live")


def test_the_page_comes_back_when_the_viewer_is_killed(house: Watched, browser: Browser) -> None:
    with house.page(browser) as page:
        house.until_live(page)
        house.line.kill("viewer")
        house.line.start("viewer")
        tile = page.locator(f'[data-camera="{CAMERA}"]')
        expect(tile).to_have_attribute("data-state", "live", timeout=30_000)
        rises(page, 5 * RATE, 30)


def test_a_tile_that_nobody_can_see_rests_and_plays_again_when_it_is_seen(
    house: Watched, browser: Browser
) -> None:
    def loads(page: Page) -> bool:
        return bool(page.evaluate("document.querySelector('.tile video').readyState"))

    with house.page(browser) as page:
        house.until_live(page)
        main = page.locator("#main")
        main.evaluate("main => (main.style.marginTop = '5000px')")
        eventually(lambda: not loads(page), 10, "it rests beyond the edge of the screen")
        expect(page.locator(".tile")).not_to_have_attribute("data-state", "live")
        main.evaluate("main => (main.style.marginTop = '')")
        house.until_live(page)
        rises(page, RATE, 20)
        hide = """(isHidden) => {
          Object.defineProperty(document, "hidden", { value: isHidden, configurable: true });
          document.dispatchEvent(new Event("visibilitychange"));
        }"""
        page.evaluate(hide, True)
        eventually(lambda: not loads(page), 15, "it rests in the background")
        page.evaluate(hide, False)
        house.until_live(page)
        page.locator(f'[data-camera="{CAMERA}"]').focus()
        page.keyboard.press("m")
        page.evaluate(hide, True)
        rises(page, 7 * RATE, 20)
        assert loads(page), "a room that is listened to plays on"


def test_a_browser_that_does_not_keep_up_says_so_and_not_that_the_room_is_to_blame(
    house: Watched, browser: Browser
) -> None:
    with house.page(browser) as page:
        house.until_live(page)
        page.evaluate(
            """() => {
              const real = HTMLVideoElement.prototype.getVideoPlaybackQuality;
              HTMLVideoElement.prototype.getVideoPlaybackQuality = function () {
                const { totalVideoFrames } = real.call(this);
                const droppedVideoFrames = window.keepsUp ? 0 : totalVideoFrames * 0.9;
                return { totalVideoFrames, droppedVideoFrames };
              };
            }"""
        )
        words = page.get_by_text("does not keep up with all rooms")
        expect(words).to_be_visible(timeout=30_000)
        page.evaluate("window.keepsUp = true")
        expect(words).to_be_hidden(timeout=30_000)


def test_footage_deleted_before_it_was_stored_is_told_on_the_wall_and_to_the_operator(
    house: Watched, browser: Browser
) -> None:
    def publish(**moments: datetime) -> None:
        event = Event(
            stage=Stage.INGEST,
            worker="ingest",
            camera=CAMERA,
            event="expired",
            at=datetime.now(UTC),
            detail={
                "reason": "quota",
                "fragments": 12,
                **{name: moment.isoformat() for name, moment in moments.items()},
            },
        )
        with Link(SecretStr(house.line.config["broker"]["url"]), "test") as link:
            link.publish_and_wait(EVENTS, event.routing_key, event.to_body())

    with house.page(browser, locale="ko-KR") as page:
        house.until_live(page)
        warning = page.locator(".tile .bad")
        expect(warning).to_be_hidden()
        now = datetime.now(UTC)
        publish(starts_at=now - timedelta(hours=2), ends_at=now, deleted_at=now)
        expect(warning).to_contain_text("저장이 확인되기 전에 지워진 영상", timeout=10_000)
        expect(warning).to_contain_text("저장 공간 부족")
        page.get_by_role("button", name="English").click()
        expect(warning).to_contain_text("Deleted before it was known to be stored")
        page.goto("/system")
        expect(page.locator(f'[data-expired="{CAMERA}"]')).to_contain_text("no room left for it")
    long_ago = now - timedelta(days=2)
    publish(starts_at=long_ago, ends_at=long_ago, deleted_at=long_ago)
    with house.page(browser) as page:
        eventually(partial(warns_of_nothing, page), 10, "it is no news any more")


def warns_of_nothing(page: Page) -> bool:
    """Whether the wall, loaded anew, shows no warning."""
    page.reload()
    page.wait_for_selector(".tile")
    return page.locator(".tile .bad").is_hidden()


def test_a_room_is_enlarged_left_and_heard_by_keyboard(house: Watched, browser: Browser) -> None:
    with house.page(browser) as page:
        house.until_live(page)
        page.locator(f'[data-camera="{CAMERA}"]').focus()
        page.keyboard.press("Enter")
        expect(page).to_have_url(f"{house.address}/?room={CAMERA}")
        expect(page.locator("h1")).to_have_text("영아반 1")
        house.until_live(page)
        page.keyboard.press("m")
        assert page.evaluate("document.querySelector('video').muted") is False
        page.keyboard.press("m")
        page.keyboard.press("f")
        page.wait_for_function("document.fullscreenElement !== null")
        page.keyboard.press("f")
        page.wait_for_function("document.fullscreenElement === null")
        with page.expect_download() as saved:
            page.keyboard.press("s")
        assert saved.value.suggested_filename.startswith(f"{CAMERA}_")
        assert Path(saved.value.path()).read_bytes().startswith(b"\x89PNG")
        page.keyboard.press("Escape")
        expect(page).to_have_url(f"{house.address}/")


def played(page: Page) -> tuple[str, float]:
    """The clip that is on the screen, and the place in it, seconds."""
    name, seconds = page.evaluate(
        """() => {
          const { clip, currentTime } = document.querySelector(".screen video:not([hidden])");
          return [clip ? `${clip.epoch}-${clip.first}` : "", currentTime];
        }"""
    )
    return name, seconds


def over_the_border(page: Page) -> tuple[int, str, int]:
    """Go to the last second and a half of the clip: the number of the first picture shown there,
    then the clip that plays behind it, and the number of the first picture that is seen of that.

    Read in the page, at these very pictures: before and after them others are on the screen.
    """
    before, clip, after = page.evaluate(
        f"""() => new Promise((found, lost) => {{
          {COUNTER_JS.read_text(encoding="utf-8")}
          const shown = () => document.querySelector(".screen video:not([hidden])");
          const name = (video) => `${{video.clip.epoch}}-${{video.clip.first}}`;
          const video = shown(), clip = name(video), place = video.duration - 1.5;
          const follow = (before) => {{
            const next = shown();
            if (name(next) === clip) requestAnimationFrame(() => follow(before));
            else next.requestVideoFrameCallback(() => found([before, name(next), counterOf(next)]));
          }};
          const look = (_, picture) =>
            picture.mediaTime > place - 0.1
              ? follow(counterOf(video))
              : video.requestVideoFrameCallback(look);
          setTimeout(() => lost(new Error("no other clip plays")), 60_000);
          video.requestVideoFrameCallback(look);
          video.currentTime = place;
        }})"""
    )
    return before, clip, after


def two_clips(house: Watched) -> list[str]:
    """Two in a row, of five seconds and more each: the first of all may be much shorter."""

    def found() -> list[str]:
        whole = [
            each for each in house.line.manifests(CAMERA) if each.ends_at - each.starts_at > LONG
        ]
        return next(
            (
                [f"{each.epoch}-{each.first}" for each in (one, other)]
                for one, other in reversed([*pairwise(whole)])
                if (one.epoch, one.last + 1) == (other.epoch, other.first)
            ),
            [],
        )

    return eventually(found, 60, "two clips in a row")


def plays(page: Page, name: str | None) -> bool:
    """Whether that clip is on the screen, and moves."""
    shown, seconds = played(page)
    return shown == name and seconds > 0.5


# -- the day --------------------------------------------------------------------------------------


def test_the_day_is_played_across_the_border_of_two_clips(house: Watched, browser: Browser) -> None:
    names = two_clips(house)
    with house.page(browser, f"/rooms/{CAMERA}") as page:
        page.locator('details[data-name="clips"] summary').click()
        rows = [page.locator(f'tr[data-clip="{name}"]') for name in names]
        expect(rows[1]).to_be_visible()
        rows[0].get_by_role("button").click()
        eventually(partial(plays, page, names[0]), 20, "it plays")
        before, clip, after = over_the_border(page)
        assert clip == names[1]
        assert before < after < before + 6 * RATE, "it goes on where the other ended"
        rises(page, 10, 20, ".screen video:not([hidden])")


def test_in_korean_the_reason_of_a_gap_is_korean(house: Watched, browser: Browser) -> None:
    with house.page(browser, f"/rooms/{CAMERA}", locale="ko-KR") as page:
        page.locator('details[data-name="gaps"] summary').click()
        row = page.locator("tr", has_text="녹화 전").first
        expect(row).to_contain_text("이 카메라의 첫 녹화 이전", timeout=20_000)
        page.get_by_role("button", name="English").click()
        page.locator('details[data-name="gaps"] summary').click()
        expect(page.locator("tr", has_text="not yet recording").first).to_contain_text(
            "before the first recording of this camera", timeout=20_000
        )


def test_a_click_on_the_timeline_plays_that_moment(house: Watched, browser: Browser) -> None:
    house.until_clips(2)
    with house.page(browser, f"/rooms/{CAMERA}") as page:
        band = page.get_by_role("slider")
        stored = page.locator("rect.stored").first
        expect(stored).to_be_attached(timeout=20_000)
        for _ in range(7):
            page.get_by_role("button", name="Zoom in").click()
        band.focus()
        page.keyboard.press("Home")
        page.keyboard.press("ArrowRight")
        wanted = int(band.get_attribute("aria-valuenow") or 0)
        began = time.monotonic()
        page.keyboard.press("Enter")
        rises(page, 5, 15, ".screen video:not([hidden])")
        place = int(band.get_attribute("aria-valuenow") or 0)
        assert abs(place - wanted) < max(6, time.monotonic() - began + 1), "it has played on since"
        box = stored.bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        expect(page.locator(".tip img")).to_be_visible(timeout=10_000)


def test_of_an_hevc_clip_the_page_says_that_the_browser_cannot_and_converts_it(
    tmp_path: Path,
    broker_url: str,
    archive_settings: ArchiveSettings,
    videos: Videos,
    browser: Browser,
) -> None:
    video = videos(".mp4", seconds=9, codec="hevc")
    with (
        viewed_house(tmp_path, broker_url, archive_settings, video, codec="hevc") as made,
        browser.new_context(locale="en-GB", base_url=made.viewer.address) as context,
    ):
        made.until_read()
        page = context.new_page()
        page.goto("/login")
        page.fill("#name", "boss")
        page.fill("#password", PASSWORD)
        page.click("button[type=submit]")
        page.wait_for_selector(".brand")
        page.goto(f"/rooms/{CAMERA}?day={made.day_path().rpartition('/')[2]}")
        page.locator('details[data-name="clips"] summary').click()
        page.locator("tr[data-clip]").first.get_by_role("button").click()
        expect(page.locator(".screen .veil")).to_contain_text("cannot play HEVC")
        page.get_by_role("button", name="Convert and play").click()
        shown = eventually(lambda: counter(page, ".screen video:not([hidden])"), 20, "a picture")
        assert shown is not None
        assert shown < 3 * RATE


def test_a_clip_that_reaches_over_midnight_hangs_no_page(house: Watched, browser: Browser) -> None:
    with house.page(browser) as page:
        held = page.evaluate(
            """async () => {
              const { Timeline } = await import("/assets/timeline.js");
              const band = new Timeline("camera-1", () => {});
              const none = { stored: [], missing: [], not_yet_stored: [], notes: [] };
              const [starts_at, whole_ends_at] = ["2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"];
              band.set({ day: "2026-03-01", starts_at, whole_ends_at, ...none });
              const outside = ["2026-02-28T23:55:00Z", "2026-03-02T00:05:00Z"].map(Date.parse);
              return outside.map((moment) => (band.mark(moment), new Date(band.moment).toJSON()));
            }"""
        )
        assert held == ["2026-03-01T00:00:00.000Z", "2026-03-02T00:00:00.000Z"]


def test_a_span_is_marked_downloaded_and_whole(house: Watched, browser: Browser) -> None:
    names = two_clips(house)
    with house.page(browser, f"/rooms/{CAMERA}") as page:
        page.locator('details[data-name="clips"] summary').click()
        for name, words in zip(names, ("From here", "To here"), strict=True):
            page.locator(f'tr[data-clip="{name}"]').get_by_role("button").click()
            eventually(partial(plays, page, name), 20, "it plays")
            page.get_by_role("button", name=words).click()
        with page.expect_download(timeout=30_000) as saved:
            page.locator(".span-download").click()
        counters = decode_counters(Path(saved.value.path()))
    assert counters == list(range(counters[0], counters[0] + len(counters)))
    assert RATE < len(counters) <= 16 * RATE


def test_a_clip_is_held_and_released(house: Watched, browser: Browser) -> None:
    house.until_clips(1)
    with house.page(browser, f"/rooms/{CAMERA}") as page:
        page.locator('details[data-name="clips"] summary').click()
        page.locator("tr[data-clip]").first.get_by_role("button").click()
        page.get_by_role("button", name="Keep for good").click()
        expect(page.get_by_role("button", name="Kept for good")).to_be_visible()
        held = list(house.line.store.list(f"holds/clips/{CAMERA}/"))
        assert len(held) == 1
        page.get_by_role("button", name="Kept for good").click()
        expect(page.get_by_role("button", name="Keep for good")).to_be_visible()
        assert not list(house.line.store.list("holds/"))


# -- what was seen, and the system ----------------------------------------------------------------


def test_what_was_seen_arrives_by_itself_with_its_picture(house: Watched, browser: Browser) -> None:
    with house.page(browser, "/notes") as page:
        cards = page.locator(".note[data-key]")
        expect(cards.first).to_be_visible(timeout=30_000)
        newest = cards.first.get_attribute("data-key")
        eventually(lambda: cards.first.get_attribute("data-key") != newest, 30, "a new note")
        picture = cards.first.locator("img")
        eventually(lambda: picture.evaluate("image => image.naturalWidth") > 0, 10, "its picture")
        page.select_option("#f-activity", "sleeping")
        expect(page.locator(".empty")).to_be_visible()
        page.select_option("#f-activity", "")
        expect(cards.first).to_be_visible()
        page.fill("#f-words", "no room was ever described so")
        page.keyboard.press("Enter")
        expect(page.locator(".empty")).to_be_visible()
        page.fill("#f-words", "")
        page.fill("#f-to", "2020-01-01T00:00")
        page.keyboard.press("Enter")
        expect(page.locator(".empty")).to_be_visible()
        page.fill("#f-to", "")
        page.select_option("#f-camera", CAMERA)
        expect(cards.first).to_be_visible()


def test_the_operator_sees_who_works_on_what(house: Watched, browser: Browser) -> None:
    with house.page(browser, "/system") as page:
        row = page.locator(f'tr[data-camera="{CAMERA}"]')
        for stage in ("ingest", "encoder", "archiver"):
            expect(row).to_contain_text(stage, timeout=30_000)
        expect(row).to_contain_text("Live")


def test_the_reference_says_what_each_call_takes_and_answers(
    house: Watched, browser: Browser
) -> None:
    with house.page(browser, "/reference") as page:
        call = page.locator("details", has_text="POST /api/session")
        call.locator("summary").click()
        expect(call).to_contain_text("password")
        expect(call).to_contain_text("csrf_token")


# -- for everybody --------------------------------------------------------------------------------


def test_korean_and_english_are_a_click_apart(house: Watched, browser: Browser) -> None:
    with house.page(browser, locale="ko-KR") as page:
        house.until_live(page)
        expect(page.locator("html")).to_have_attribute("lang", "ko")
        expect(page.locator(".badge")).to_contain_text("실시간")
        page.get_by_role("button", name="English").click()
        expect(page.locator("html")).to_have_attribute("lang", "en")
        expect(page.locator(".badge")).to_contain_text("Live")
        page.reload()
        expect(page.locator("html")).to_have_attribute("lang", "en")


def test_every_view_fits_a_phone(house: Watched, browser: Browser) -> None:
    phone: dict[str, Any] = {
        "viewport": {"width": 360, "height": 740},
        "is_mobile": True,
        "has_touch": True,
    }
    with house.page(browser, **phone) as page:
        for view in VIEWS:
            come_to(page, view)
            width = page.evaluate("document.documentElement.scrollWidth")
            assert width <= 360, f"{view} is {width} wide"


def test_every_view_keeps_the_rules_of_accessibility_by_day_and_by_night(
    house: Watched, browser: Browser
) -> None:
    with house.page(browser) as page:
        found = [fault for view in VIEWS for fault in broken_rules(page, view)]
        page.get_by_role("button", name="Log out").click()
        page.wait_for_selector("#password")
        found += broken_rules(page)
    assert found == []


def come_to(page: Page, view: str) -> None:
    """Go there, and wait until what the API says is drawn."""
    page.goto(view)
    page.wait_for_load_state("load")
    page.wait_for_selector("h1")
    if view == f"/rooms/{CAMERA}":
        page.wait_for_selector("details")
    elif view == "/system":
        page.wait_for_selector("tr[data-camera]")
    elif view == "/notes":
        page.wait_for_selector(".card")


def broken_rules(page: Page, view: str | None = None) -> list[str]:
    """What axe says of a view, with everything unfolded, in light and dark."""
    if view is not None:
        come_to(page, view)
        page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = []
    schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for scheme in schemes:
        page.emulate_media(color_scheme=scheme)
        answer = page.evaluate(
            "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'best-practice']})"
        )
        found += [
            f"{view} {scheme} {each['id']}: {each['help']}: {each['nodes'][0]['html'][:200]}"
            for each in answer["violations"]
        ]
    return found
