"""The viewer's worker: an HTTP server, a thread that takes events, two that read the bucket.

`run_once` opens the index, starts them all and turns until told to stop. Neither a broker nor a
store that is away ends it: live is files, and the index answers from what it knows.
"""

import threading
from collections.abc import Callable
from typing import Final

from shared.bucketframes import open_frames
from shared.objectstore import ObjectStore
from shared.users import Users
from shared.viewersettings import ViewerSettings
from shared.worker import WorkerContext
from viewer import spans
from viewer.accesslog import AccessLog
from viewer.application import build
from viewer.attempts import Attempts
from viewer.broker import Broker
from viewer.context import Context
from viewer.endings import Endings
from viewer.feed import Feed
from viewer.frames import FramesUsed
from viewer.hub import Hub
from viewer.index import FILE, Index
from viewer.livefiles import open_live
from viewer.reader import Reader
from viewer.reading import Reading
from viewer.server import Server
from viewer.sessions import Sessions
from viewer.states import States

TURN_SECONDS: Final = 0.5
END_SECONDS: Final = 5.0


class ViewerWorker:
    """One replica of the page."""

    def __init__(self, context: WorkerContext) -> None:
        """Raises Misconfigured."""
        self._worker = context
        self._store = ObjectStore(context.settings.archive)

    def run_once(self, stop: threading.Event) -> None:
        """Serve until `stop`. Raises Misconfigured, Unavailable."""
        worker, settings = self._worker, self._worker.settings
        context = self._context()
        cameras = [camera.id for camera in settings.cameras]
        reading = Reading(context.store, context.index, worker.log)
        reader = Reader(reading, cameras, worker.clock, worker.log)
        feed = Feed(context, reading, reader)
        server = Server(build(context), settings.viewer, worker.clock)
        ended = threading.Event()
        threads = [
            _thread("feed", feed.run, ended),
            _thread("reader", reader.read_all, ended),
            _thread("news", reader.read_news, ended),
        ]
        server.start()
        for thread in threads:
            thread.start()
        worker.health.set("page", server.address)
        worker.health.follow(server)
        worker.log.info("the page is there", action="page.open", address=server.address)
        if not _is_private(settings.viewer):
            worker.log.warning(
                "the page is open to others on the network without TLS: give it a certificate, or"
                " put a proxy in front and name it in viewer.trusted_proxies",
                action="page.plain",
                address=server.address,
            )
        if not context.users and settings.viewer.setup_token is None:
            worker.log.warning(
                "nobody can log in: make a user with `cradle user add`", action="page.no_user"
            )
        try:
            while not stop.wait(TURN_SECONDS):
                worker.health.beat()
                server.check()
        finally:
            worker.health.unfollow(server)
            ended.set()
            reader.wake()
            context.hub.close()
            server.stop()
            for thread in threads:
                thread.join(END_SECONDS)
            context.sessions.close()

    def _context(self) -> Context:
        worker, settings = self._worker, self._worker.settings
        viewer, clock = settings.viewer, worker.clock
        spans.clear(viewer.root, worker.name)
        users = Users(viewer)
        secret = None if viewer.secret is None else viewer.secret.get_secret_value()
        states = States(clock)
        sessions = Sessions(viewer.root, secret, viewer.session_hours, users, clock)
        cameras = [camera.id for camera in settings.cameras]
        broker = Broker(cameras, settings.broker.archive_queue, states, clock)
        return Context(
            settings=settings,
            name=worker.name,
            store=self._store,
            index=Index(viewer.root / FILE),
            users=users,
            sessions=sessions,
            endings=Endings(worker.name, sessions, broker, clock),
            access=AccessLog(clock, worker.log),
            attempts=Attempts(clock),
            hub=Hub(),
            states=states,
            broker=broker,
            frames_used=FramesUsed(open_frames(settings), clock),
            live=open_live(settings, clock, worker.log),
            clock=clock,
            log=worker.log,
        )


def _thread(
    name: str, run: Callable[[threading.Event], None], ended: threading.Event
) -> threading.Thread:
    return threading.Thread(target=run, args=(ended,), name=name, daemon=True)


def _is_private(viewer: ViewerSettings) -> bool:
    """Whether nobody on the way can read passwords and pictures."""
    is_loopback = viewer.host in {"127.0.0.1", "::1", "localhost"}
    return is_loopback or viewer.certificate is not None or bool(viewer.trusted_proxies)
