"""Server-sent events: what happens, as it happens, to a page that is open.

Kinds: `camera` (how live a camera is), `clip` (a clip was stored), `note` (a room was judged). A
page that was away asks the API for what it missed.
"""

import json
from collections.abc import AsyncIterator

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from viewer import context
from viewer.guard import COOKIE, Watcher
from viewer.hub import Hub

router = APIRouter(prefix="/api/stream", tags=["live"])


@router.get("", response_class=StreamingResponse)
async def stream(_session: Watcher, request: Request) -> StreamingResponse:
    """Events until the session ends."""
    here = context.of(request)
    lines = _lines(here.hub)

    async def while_logged_in() -> AsyncIterator[str]:
        async for line in lines:
            if here.sessions.find(request.cookies.get(COOKIE)) is None:
                return
            yield line

    return StreamingResponse(
        while_logged_in(),
        media_type="text/event-stream",
        headers={"x-accel-buffering": "no"},  # nginx would hold events back
    )


async def _lines(hub: Hub) -> AsyncIterator[str]:
    async for told in hub.listen():
        if told is None:
            yield ": still there\n\n"
        else:
            kind, facts = told
            yield f"event: {kind}\ndata: {json.dumps(facts, ensure_ascii=False)}\n\n"
