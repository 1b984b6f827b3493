"""Server-sent events: what happens, as it happens, to a page that is open.

Kinds: `camera` (how live a camera is), `clip` (a clip was stored), `note` (a room was judged),
`expired` (footage was deleted before it was known to be stored), and `clock` (the server's time,
when nothing else was said for a while: the visitor's may be wrong). A page that was away asks the
API for what it missed.
"""

import json
from collections.abc import AsyncIterator

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from viewer import context
from viewer.context import Context
from viewer.guard import COOKIE, Watcher

router = APIRouter(prefix="/api/stream", tags=["live"])


@router.get("", response_class=StreamingResponse)
async def stream(session: Watcher, request: Request) -> StreamingResponse:
    """Events until the session ends."""
    here = context.of(request)
    lines = _lines(here, session.id)

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


async def _lines(here: Context, whose: str) -> AsyncIterator[str]:
    async for told in here.hub.listen(whose):
        kind, facts = told or ("clock", {"now": here.clock.now().isoformat()})
        yield f"event: {kind}\ndata: {json.dumps(facts, ensure_ascii=False)}\n\n"
