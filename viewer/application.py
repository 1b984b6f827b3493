"""The application: the API, the page, and what errors look like from outside.

The page is static: one HTML file for all views, scripts and styles below /assets/, and hls.js from
the npm registry. It uses nothing but the API.
"""

import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles

from shared.analysis import SOFTWARE
from shared.errors import Misconfigured, Refused, Unavailable
from viewer import (
    clips,
    days,
    entrance,
    live,
    notes,
    pictures,
    spans,
    stream,
    system,
)
from viewer.context import Context
from viewer.guard import Guard

PAGE: Final = Path(__file__).with_name("page")
HLS_JS: Final = PAGE / "node_modules/hls.js/dist/hls.light.min.mjs"
VIEWS: Final = ("/", "/login", "/setup", "/rooms/{camera}", "/notes", "/system", "/reference")


def build(context: Context) -> FastAPI:
    """The application of one replica."""
    app = FastAPI(
        title="Cradle",
        version=SOFTWARE.removeprefix("cradle "),
        description="What the page uses. Log in with POST /api/session; changes need X-CSRF-Token.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        generate_unique_id_function=lambda route: f"{route.tags[0]}-{route.name}",
    )
    app.state.context = context
    for part in (entrance, days, live, clips, spans, pictures, notes, stream, system):
        app.include_router(part.router)
    for view in VIEWS:
        app.add_api_route(view, _page, include_in_schema=False, tags=["page"], methods=["GET"])
    app.add_api_route("/assets/hls.mjs", _hls, include_in_schema=False, tags=["page"])
    app.mount("/assets", StaticFiles(directory=PAGE / "assets"))
    _add_errors(app)
    app.add_middleware(Guard, sessions=context.sessions, clock=context.clock, log=context.log)
    return app


def _page() -> FileResponse:
    return FileResponse(PAGE / "index.html", headers={"cache-control": "no-cache"})


def _hls() -> Response:
    if not HLS_JS.is_file():
        return JSONResponse({"detail": "hls.js is not installed; run make setup"}, 404)
    return FileResponse(HLS_JS, media_type="text/javascript")


def _add_errors(app: FastAPI) -> None:
    def answer(status: int) -> Callable[[Request, Exception], Awaitable[JSONResponse]]:
        async def handle(request: Request, error: Exception) -> JSONResponse:
            context: Context = request.app.state.context
            context.log.warning(
                "request failed",
                action="request.failed",
                path=request.url.path,
                status=status,
                reason=str(error),
            )
            words = "try again in a moment" if status == 503 else "it is not there, or not readable"
            return JSONResponse({"detail": words}, status)

        return handle

    app.add_exception_handler(Unavailable, answer(503))
    app.add_exception_handler(Misconfigured, answer(503))
    app.add_exception_handler(sqlite3.OperationalError, answer(503))
    app.add_exception_handler(Refused, answer(404))
