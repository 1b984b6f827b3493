"""What every route of the page works with."""

from dataclasses import dataclass

from fastapi import Request

from shared.clock import Clock
from shared.config import Settings
from shared.log import Log
from shared.objectstore import ObjectStore
from shared.users import Users
from viewer.accesslog import AccessLog
from viewer.attempts import Attempts
from viewer.broker import Broker
from viewer.endings import Endings
from viewer.frames import FramesUsed
from viewer.hub import Hub
from viewer.index import Index
from viewer.livefiles import LiveFiles
from viewer.sessions import Sessions
from viewer.states import States


@dataclass(frozen=True)
class Context:
    """One replica's parts. All are safe to use from many threads."""

    settings: Settings
    name: str
    store: ObjectStore
    index: Index
    users: Users
    sessions: Sessions
    endings: Endings
    access: AccessLog
    attempts: Attempts
    hub: Hub
    states: States
    broker: Broker
    frames_used: FramesUsed
    live: LiveFiles
    clock: Clock
    log: Log

    def cameras(self) -> dict[str, str]:
        """Ids and what people call them: those of the configuration, then those with footage."""
        titles = {camera.id: camera.title for camera in self.settings.cameras}
        for row in self.index.select("SELECT camera FROM cameras ORDER BY camera"):
            titles.setdefault(row["camera"], row["camera"])
        return titles


def of(request: Request) -> Context:
    """The context of the application that a request came to."""
    context: Context = request.app.state.context
    return context
