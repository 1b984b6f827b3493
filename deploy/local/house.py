"""Everything of Cradle on one machine, below one folder.

    DATA/broker  DATA/store  DATA/frames  DATA/live  DATA/viewer    what it keeps, and finds again
    DATA/log/<name>.log   DATA/run/<name>.pid   DATA/run/connections.env

What the configuration leaves out is filled in: a private RabbitMQ, a private object store, paths
below DATA. It goes up in the order broker, store, workers, and down in the other: ingest first (its
epochs end), then the archiver once it has stored what there is, then the rest. One `cradle up` at a
time holds the lock of a folder.
"""

import fcntl
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from deploy.local.broker import Broker, find_server
from deploy.local.connections import connections_of
from deploy.local.crew import Crew, worker_names
from deploy.local.needs import (
    require_broker,
    require_file,
    require_folder,
    require_programs,
    require_store,
)
from deploy.local.page import page_address, viewer_environment
from deploy.local.ports import kept_ports
from deploy.local.server import Server
from deploy.local.status import Watch, fetch
from deploy.local.store import Store, find_weed
from deploy.local.vigil import HUNG_SECONDS, Vigil, patience_seconds
from shared import config
from shared.clock import Clock
from shared.config import CameraSettings
from shared.errors import CradleError, Misconfigured
from shared.link import Link
from shared.log import Log
from shared.messages import Stage
from shared.objectstore import ObjectStore
from shared.privatefile import private_folder, write_private
from shared.topology import archiver_queue

STOP_SECONDS = 30.0
DRAIN_SECONDS = 60.0
FOLDERS = (
    ("frames", "url", "frames"),
    ("frames", "spool", "spool"),
    ("live", "url", "live"),
    ("live", "spool", "live-spool"),
)
"""What the configuration leaves out, by section and key: folders below DATA."""
RUN_ORDER = (Stage.ARCHIVER, Stage.ENCODER, Stage.ANALYZER, Stage.VIEWER, Stage.INGEST)


@dataclass(frozen=True)
class Page:
    """Something to open in a browser or a player."""

    name: str
    address: str
    note: str = ""


class House:
    """All of Cradle on one machine. Use from one thread that lives as long as it does."""

    def __init__(
        self,
        config_file: Path,
        data: Path,
        counts: Mapping[Stage, int],
        clock: Clock,
        log: Log,
        say: Callable[[str], None],
        hung_seconds: float = HUNG_SECONDS,
    ) -> None:
        """Checks configuration and machine. Raises Misconfigured before anything has started.

        A worker that hangs for `hung_seconds`, or a little longer, is killed and started again.
        """
        self._config_file = config_file.resolve()
        self._data = data.resolve()
        self._counts = {stage: counts.get(stage, 1) for stage in RUN_ORDER}
        self._clock = clock
        self._log = log
        self._say = say
        self._content = config.read_mapping(self._config_file)
        self.settings = config.from_mapping(self._content)
        self._hung_seconds = patience_seconds(hung_seconds, self.settings)
        if not self.settings.cameras:
            raise Misconfigured("cameras: there is none; add at least one with id and source")
        for camera in self.settings.cameras:
            require_file(camera)
            self._tell_of_missing_password(camera)
        self._require_programs()
        self._require_places()
        self._lock: TextIO | None = None
        self._broker: Broker | None = None
        self._store: Store | None = None
        self._servers: list[Server] = []
        self._crew: Crew | None = None
        self._environment: dict[str, str] = {}
        self._page_lines: dict[str, str] = {}
        self.pages: list[Page] = []

    def _tell_of_missing_password(self, camera: CameraSettings) -> None:
        """It costs that camera, and no reason to leave all others unrecorded."""
        try:
            camera.password()
        except Misconfigured as error:
            self._say(f"{error}; until then {camera.id} is offline")

    def _require_programs(self) -> None:
        require_programs()
        if self._needs_broker:
            find_server()
        if self._needs_store:
            find_weed()

    def _require_places(self) -> None:
        """Of what the configuration gives."""
        settings = self.settings
        for key, section in (("frames", settings.frames), ("live", settings.live)):
            name = "url" if section.bucket is None else "spool"
            if self._is_given(f"CRADLE_{key.upper()}__{name.upper()}", (key, name)):
                require_folder(f"{key}.{name}", section.root)
        if not self._needs_store:
            ObjectStore(settings.archive)  # it refuses what is no key or no address

    # -- up -----------------------------------------------------------------------------------

    def start(self) -> None:
        """Bring everything up. Raises CradleError; what had started is for `stop`."""
        try:
            for name in ("run", "log", "frames", "live"):
                private_folder(self._data / name)
        except OSError as error:
            raise Misconfigured(
                f"--data: {self._data} cannot be used ({error.strerror}); choose another folder"
            ) from error
        self._take_lock()
        if not self._needs_broker:
            require_broker(self.settings.broker, self._say)
        if not self._needs_store:
            require_store(self.settings.archive, self._say)
        self._start_servers()
        for section, key, folder in FOLDERS:
            variable = f"CRADLE_{section}__{key}".upper()
            self._fill_in(variable, (section, key), (self._data / folder).as_uri())
        others = {page.name: page.address for page in self.pages}
        self._environment |= viewer_environment(self._data, self.settings, self._is_given, others)
        os.environ.update(self._environment)
        self.settings = config.from_mapping(self._content)
        self.pages.insert(0, Page("the page", *page_address(self.settings)))
        if self._store is not None:
            for key, bucket in self.settings.buckets.items():
                ObjectStore(self.settings.archive, bucket, named=key).ensure_bucket()
            ObjectStore(self.settings.archive).probe()
        self._write_connections()
        names = [name for name, _ in worker_names(self._counts)]
        ports = kept_ports(self._data / "run" / "ports.json", names, {})
        self._crew = Crew(
            self._data,
            self._config_file,
            self._counts,
            ports,
            self._environment,
            lambda port: Vigil(self.settings.metrics.host, port, self._hung_seconds),
            self._clock,
            self._log,
        )
        self._say("starting the workers: " + ", ".join(names))
        self._crew.start()
        for camera in self.settings.cameras if self.settings.live.bucket is None else ():
            playlist = self.settings.live.root / camera.id / "index.m3u8"
            self.pages.append(Page(f"live {camera.title}", str(playlist), "open in VLC or ffplay"))

    def _take_lock(self) -> None:
        self._lock = (self._data / "run" / "lock").open("w", encoding="ascii")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock = None
            raise Misconfigured(
                f"--data: another `cradle up` runs in {self._data}; stop it, or choose another"
            ) from None

    def _start_servers(self) -> None:
        """Start broker and store, whichever the configuration leaves to us, side by side."""
        if self._needs_broker:
            self._say("starting the broker (RabbitMQ)")
            self._broker = Broker(self._data / "broker")
            self._broker.start()
        if self._needs_store:
            self._say("starting the object store (SeaweedFS)")
            self._store = Store(self._data / "store")
            self._store.start()
        if self._broker is not None:
            self._broker.wait_ready()
            self._servers.append(Server("broker", self._broker, self._clock.monotonic()))
            self._environment["CRADLE_BROKER__URL"] = self._broker.url
            login = (self._broker.user, self._broker.password)
            self._add_page("queue dashboard", self._broker.management_url, login)
        if self._store is not None:
            self._store.wait_ready()
            self._servers.append(Server("store", self._store, self._clock.monotonic()))
            self._environment |= {
                "CRADLE_ARCHIVE__ENDPOINT": self._store.endpoint,
                "CRADLE_ARCHIVE__ACCESS_KEY": self._store.access_key,
                "CRADLE_ARCHIVE__SECRET_KEY": self._store.secret_key,
                "CRADLE_ARCHIVE__BUCKET": self.settings.archive.bucket,
            }
            login = (self._store.browser_user, self._store.browser_password)
            self._add_page("bucket browser", self._store.browser_url, login)

    def _add_page(self, name: str, address: str, login: tuple[str, str]) -> None:
        variable = f"CRADLE_{name.upper().replace(' ', '_')}"
        self._page_lines |= {
            f"{variable}_URL": address,
            f"{variable}_USER": login[0],
            f"{variable}_PASSWORD": login[1],
        }
        note = f"user {login[0]}, password in run/connections.env"
        self.pages.append(Page(name, address, note))

    def _write_connections(self) -> None:
        lines = connections_of(self.settings) | self._page_lines
        text = "".join(f"{key}={value}\n" for key, value in sorted(lines.items()))
        write_private(self._data / "run" / "connections.env", text)

    @property
    def _needs_broker(self) -> bool:
        """Whether the configuration leaves the broker to us."""
        return not self._is_given("CRADLE_BROKER__URL", ("broker", "url"))

    @property
    def _needs_store(self) -> bool:
        return not self._is_given("CRADLE_ARCHIVE__ENDPOINT", ("archive", "endpoint"))

    def _is_given(self, variable: str, keys: tuple[str, str]) -> bool:
        section: Any = self._content.get(keys[0])
        return variable in os.environ or (isinstance(section, dict) and keys[1] in section)

    def _fill_in(self, variable: str, keys: tuple[str, str], value: str) -> None:
        if not self._is_given(variable, keys):
            self._environment[variable] = value

    # -- while it runs ------------------------------------------------------------------------

    def watch(self) -> None:
        """About once a second: mend what died or hangs. Raises Misconfigured."""
        for server in self._servers:
            server.watch(self._clock.monotonic(), self._log)
        if self._crew is not None:
            self._crew.watch()

    def workers(self) -> list[tuple[Stage, int]]:
        """Stage and metrics port of every worker."""
        crew = self._crew
        return [] if crew is None else [(worker.stage, worker.port) for worker in crew.workers]

    def refusals(self) -> dict[str, str]:
        """Workers that do not run because their configuration is wrong, and what they say."""
        return {} if self._crew is None else self._crew.refusals()

    # -- down ---------------------------------------------------------------------------------

    def stop(self) -> None:
        """Take everything down in order."""
        if self._crew is not None:
            self._say("stopping ingest")
            self._crew.stop([Stage.INGEST], STOP_SECONDS)
            self._say("storing what there is")
            self._drain()
            self._say("stopping the other workers")
            self._crew.stop(
                [stage for stage in RUN_ORDER if stage is not Stage.INGEST], STOP_SECONDS
            )
        if self._store is not None:
            self._say("stopping the object store")
            self._store.stop()
        if self._broker is not None:
            self._say("stopping the broker")
            self._broker.stop()
        if self._lock is not None:
            self._lock.close()

    def _drain(self) -> None:
        """Wait until the archiver has stored every fragment that ingest announced."""
        deadline = self._clock.monotonic() + DRAIN_SECONDS
        pause = threading.Event()
        settings = self.settings
        kind = settings.broker.archive_queue
        try:
            with Link(settings.broker.url, "cradle up") as link:
                while self._clock.monotonic() < deadline:
                    waiting = sum(
                        link.declare(archiver_queue(camera.id, kind)).messages
                        for camera in settings.cameras
                    )
                    if not waiting and not self._held():
                        return
                    pause.wait(0.3)
        except CradleError as error:
            self._log.warning("not waited for", action="house.drain", reason=str(error))
            return
        self._log.warning("the archiver is not done; it goes on next time", action="house.drain")

    def _held(self) -> float:
        held = 0.0
        for stage, port in self.workers():
            if stage is Stage.ARCHIVER:
                text = fetch(f"http://127.0.0.1:{port}/metrics")
                held += sum(
                    float(line.rpartition(" ")[2])
                    for line in text.splitlines()
                    if line.startswith("cradle_archiver_held_deliveries{")
                )
        return held

    def status(self) -> Watch:
        """A watch over the cameras of this house."""
        return Watch(self._clock, [camera.id for camera in self.settings.cameras])
