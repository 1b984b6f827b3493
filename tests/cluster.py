"""A RabbitMQ cluster of three private nodes on loopback, of which each can be killed and come back.

The nodes of `deploy/local/broker.py`, under names of their own, with one cookie and one epmd.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from deploy.local.broker import Broker
from deploy.local.ports import LOOPBACK, free_ports
from deploy.local.program import Program
from shared.child import find_program
from shared.privatefile import private_folder

NAMES: Final = ("one", "two", "three")
START_SECONDS: Final = 180.0
"""Three nodes share the machine's cores with other tests."""


class _NoProgram(Program):
    """What somebody else runs."""

    def start(self) -> None:
        pass

    def kill(self) -> None:
        pass


class Node(Broker):
    """One of them; `url` and `management_url` are its own."""

    def __init__(self, folder: Path, name: str, epmd_port: int, secret: str) -> None:
        self.name = f"{name}@localhost"
        self._epmd_port, self._secret = epmd_port, secret
        super().__init__(folder)
        self._epmd = _NoProgram("epmd", [], folder=folder, environment={})

    def _write_files(self, cookie: str) -> None:
        self.ports["epmd"] = self._epmd_port
        self.password = self._secret  # the first node makes the user for all
        super()._write_files(self._secret)
        lines = ["cluster_formation.peer_discovery_backend = classic_config"]
        for number, name in enumerate(NAMES, 1):
            lines.append(f"cluster_formation.classic_config.nodes.{number} = {name}@localhost")
        with (self._folder / "rabbitmq.conf").open("a", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")

    def _environment(self) -> dict[str, str]:
        return {**super()._environment(), "RABBITMQ_NODENAME": self.name}


@contextmanager
def running_cluster(folder: Path) -> Iterator[tuple[Node, Node, Node]]:
    """Three nodes that have found one another."""
    private_folder(folder)
    (epmd_port,) = free_ports(1)
    command = [find_program("epmd"), "-port", str(epmd_port), "-address", LOOPBACK]
    epmd = Program("epmd", command, folder=folder, environment={"HOME": str(folder)})
    secret = secrets.token_hex(16)
    one, two, three = (Node(folder / name, name, epmd_port, secret) for name in NAMES)
    epmd.start()
    try:
        one.start()
        one.wait_ready(START_SECONDS)
        for node in (two, three):
            node.start()
        for node in (two, three):
            node.wait_ready(START_SECONDS)
        yield one, two, three
    finally:
        for node in (one, two, three):
            node.kill()
        epmd.kill()
