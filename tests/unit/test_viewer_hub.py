"""Pages that listen: all are told, one that does not take its events is let go."""

import asyncio
from collections.abc import AsyncIterator

from viewer.hub import QUEUE_LENGTH, Hub, Told
from viewer.limits import MOST_PAGES_OF_ONE


async def _next(pages: AsyncIterator[Told | None]) -> Told | None:
    return await asyncio.wait_for(anext(pages), 5)


def test_every_page_is_told_what_happens_from_any_thread() -> None:
    async def run() -> None:
        hub = Hub()
        pages = [hub.listen("somebody") for _ in range(3)]
        assert [await _next(page) for page in pages] == [None, None, None]
        await asyncio.to_thread(hub.tell, "camera", {"id": "camera-1"})
        assert [await _next(page) for page in pages] == [("camera", {"id": "camera-1"})] * 3
        for page in pages:
            await page.aclose()
        assert hub._pages == {}

    asyncio.run(run())


def test_a_page_that_takes_nothing_is_let_go_and_keeps_nobody_waiting() -> None:
    async def run() -> None:
        hub = Hub()
        slow, quick = hub.listen("somebody"), hub.listen("somebody")
        assert (await _next(slow), await _next(quick)) == (None, None)
        for number in range(QUEUE_LENGTH + 1):
            hub.tell("note", {"number": number})
            assert await _next(quick) == ("note", {"number": number})
        assert [each async for each in slow] == []
        assert len(hub._pages) == 1
        await quick.aclose()

    asyncio.run(run())


def test_a_viewer_that_stops_ends_its_pages_and_takes_no_new_ones() -> None:
    async def run() -> None:
        hub = Hub()
        page = hub.listen("somebody")
        assert await _next(page) is None
        hub.close()
        assert [each async for each in page] == []
        assert [each async for each in hub.listen("somebody")] == []

    asyncio.run(run())


def test_one_session_cannot_take_the_places_of_all_others() -> None:
    async def run() -> None:
        hub = Hub()
        many = [hub.listen("greedy") for _ in range(MOST_PAGES_OF_ONE)]
        assert [await _next(page) for page in many] == [None] * MOST_PAGES_OF_ONE
        assert [each async for each in hub.listen("greedy")] == []
        other = hub.listen("other")
        assert await _next(other) is None
        await many[0].aclose()
        again = hub.listen("greedy")
        assert await _next(again) is None
        for page in (*many, other, again):
            await page.aclose()

    asyncio.run(run())
