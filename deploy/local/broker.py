"""A private RabbitMQ node on loopback, with its management page and its Prometheus metrics.

Debian's `rabbitmq-server` wrapper switches to another user and shares /var/lib/rabbitmq; this node
is started from the script behind it, with its own home, cookie, name, ports, database, log and
plugins file, as whoever we are. Its folder serves again on the next start, also after kill -9.

Erlang nodes find one another through epmd, normally one for all users of a machine, listening
everywhere and outliving everyone. This node has its own, a child of ours on its own port.
RabbitMQ says itself when it is ready, by systemd's protocol, on a socket that we give it; in this
mode its script also replaces itself by the node, so that our child is the node and not a shell.
"""

import secrets
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

from deploy.local.ports import LOOPBACK, kept_ports
from deploy.local.program import Program
from deploy.local.secret import kept_secrets
from shared.child import find_program
from shared.errors import ChildFailed, MissingProgram
from shared.privatefile import private_folder, write_private

START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 30.0
USER: Final = "cradle"
PORTS: Final = ("amqp", "management", "prometheus", "distribution", "epmd")

_SERVER: Final = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
_NODE: Final = "cradle@localhost"
"""The database belongs to this name; own epmd, so that it cannot collide."""

_CONFIGURATION: Final = """\
listeners.tcp.1 = {loopback}:{amqp}
management.tcp.ip = {loopback}
management.tcp.port = {management}
prometheus.tcp.ip = {loopback}
prometheus.tcp.port = {prometheus}
default_user = {user}
default_pass = {password}
collect_statistics_interval = 15000
log.console = false
log.file = broker.log
log.file.rotation.size = 16777216
log.file.rotation.count = 3
"""


class Broker:
    """One RabbitMQ node, its epmd and its folder."""

    def __init__(self, folder: Path, ports: Mapping[str, int] | None = None) -> None:
        """`ports` chooses some of PORTS; the others are free ones, kept in the folder.

        Raises MissingProgram, Misconfigured if a chosen port is in use.
        """
        find_server()
        self._folder = private_folder(folder)
        self.ports = kept_ports(self._folder / "ports.json", PORTS, ports or {})
        kept = kept_secrets(self._folder / "secrets.json", ("password", "cookie"))
        self.user = USER
        self.password = kept["password"]
        self._write_files(kept["cookie"])
        environment = self._environment()
        epmd = [find_program("epmd"), "-port", str(self.ports["epmd"]), "-address", LOOPBACK]
        self._epmd = Program("epmd", epmd, folder=self._folder, environment=environment)
        # A name of Linux' abstract namespace ("@"): no file is left behind.
        self._notice_name = f"cradle-broker-{secrets.token_hex(8)}"
        self._node = Program(
            "broker",
            self._command(),
            folder=self._folder,
            environment={**environment, "NOTIFY_SOCKET": f"@{self._notice_name}"},
        )
        self._notices: socket.socket | None = None

    def _command(self) -> list[str]:
        return [str(_SERVER)]

    @property
    def url(self) -> str:
        """AMQP address of the default virtual host, with user and password."""
        return self.url_of("/")

    def url_of(self, virtual_host: str) -> str:
        """AMQP address of a virtual host, with user and password."""
        where = f"{LOOPBACK}:{self.ports['amqp']}"
        return f"amqp://{self.user}:{self.password}@{where}/{quote(virtual_host, safe='')}"

    @property
    def management_url(self) -> str:
        """The broker's page and HTTP API; the login is `user`, `password`."""
        return f"http://{LOOPBACK}:{self.ports['management']}"

    @property
    def pid(self) -> int:
        return self._node.pid

    @property
    def is_running(self) -> bool:
        return self._node.is_running

    def start(self) -> None:
        """Start it, from a thread that lives as long as it shall. Raises ChildFailed."""
        if self.is_running:
            return
        self._close_notices()
        self._notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notices.bind(f"\0{self._notice_name}")
        self._epmd.start()
        self._node.start()

    def wait_ready(self, timeout_seconds: float = START_SECONDS) -> None:
        """Return as soon as clients may connect. Raises ChildFailed if it ends, or is late.

        To be called once after each start; it takes about 7 s.
        """
        if self._notices is None:
            raise ChildFailed("the broker was not started")
        deadline = time.monotonic() + timeout_seconds
        while not self._hears_ready(self._notices, 0.5):
            self._node.require_running()
            if time.monotonic() > deadline:
                raise ChildFailed(
                    f"the broker was not ready in {timeout_seconds:.0f} s; "
                    f"see {self._folder / 'log' / 'broker.log'}"
                )

    def is_ready(self) -> bool:
        """Whether clients may connect since the last start; looks, and does not wait."""
        return self.is_running and (self._notices is None or self._hears_ready(self._notices, 0.0))

    def _hears_ready(self, notices: socket.socket, timeout_seconds: float) -> bool:
        """Whether it says now, or in this time, that it is ready."""
        notices.settimeout(timeout_seconds)
        try:
            while b"READY=1" not in notices.recv(4096):
                pass
        except (TimeoutError, BlockingIOError):
            return False
        self._close_notices()
        return True

    def stop(self, timeout_seconds: float = STOP_SECONDS) -> bool:
        """End it in order (about 6 s), by force after the time-out; True if in order."""
        in_order = self._node.stop(timeout_seconds)
        self._epmd.kill()
        self._close_notices()
        return in_order

    def kill(self) -> None:
        """End it at once, as a power cut would; the folder serves again all the same."""
        self._node.kill()
        self._epmd.kill()
        self._close_notices()

    def _close_notices(self) -> None:
        if self._notices is not None:
            self._notices.close()
            self._notices = None

    def _write_files(self, cookie: str) -> None:
        for name in ("home", "log", "data"):
            (self._folder / name).mkdir(exist_ok=True)
        cookie_file = self._folder / "home" / ".erlang.cookie"
        write_private(cookie_file, cookie)
        cookie_file.chmod(0o400)  # Erlang refuses a cookie that others, or the group, can read
        write_private(
            self._folder / "rabbitmq.conf",
            _CONFIGURATION.format(
                loopback=LOOPBACK, user=self.user, password=self.password, **self.ports
            ),
        )
        plugins = self._folder / "enabled_plugins"
        plugins.write_text("[rabbitmq_management,rabbitmq_prometheus].\n")

    def _environment(self) -> dict[str, str]:
        """See https://www.rabbitmq.com/docs/configure#supported-environment-variables."""
        folder = self._folder
        loopback = LOOPBACK.replace(".", ",")
        return {
            "HOME": str(folder / "home"),
            "LANG": "C.UTF-8",
            "ERL_EPMD_PORT": str(self.ports["epmd"]),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "ERL_CRASH_DUMP_SECONDS": "0",
            "RABBITMQ_NODENAME": _NODE,
            "RABBITMQ_DIST_PORT": str(self.ports["distribution"]),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "rabbitmq-env.conf"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_FEATURE_FLAGS_FILE": str(folder / "data" / "feature_flags"),
            "RABBITMQ_PLUGINS_EXPAND_DIR": str(folder / "data" / "plugins"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "data" / "config"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                f"+S 2:2 -kernel inet_dist_use_interface {{{loopback}}}"
            ),
        }


def find_server() -> Path:
    """The script that starts a node. Raises MissingProgram."""
    if not _SERVER.exists():
        raise MissingProgram(
            "rabbitmq-server is not installed; run: apt-get install rabbitmq-server"
        )
    return _SERVER
