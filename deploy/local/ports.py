"""Ports on loopback: free ones, and the same ones again on the next start.

A private server has more ports than people want to choose. `kept_ports` takes those that were
chosen, picks free ones for the rest and keeps them all in a file of the server's folder, so that
addresses stay valid from one start to the next. A kept port that somebody else has taken meanwhile
is replaced; a chosen one is refused in a sentence.
"""

import json
import secrets
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from shared.errors import Misconfigured

LOOPBACK: Final = "127.0.0.1"

_CHOICE: Final = range(20_000, 32_768)
"""Below those that Linux gives to outgoing connections: one of these could take a server's port
while the server is being started again."""


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of loopback now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """Different ports that were free a moment ago."""
    ports: list[int] = []
    for port in secrets.SystemRandom().sample(_CHOICE, len(_CHOICE)):
        if len(ports) == count:
            break
        if is_free(port):
            ports.append(port)
    return ports


def require_free(name: str, port: int) -> None:
    """Raise Misconfigured with a sentence that names the port if somebody listens there."""
    if not is_free(port):
        raise Misconfigured(
            f"port {port} of {LOOPBACK}, meant for {name}, is in use; stop what listens there "
            "or choose another"
        )


def kept_ports(file: Path, names: Iterable[str], chosen: Mapping[str, int]) -> dict[str, int]:
    """A port for each name: the chosen one, or the one kept in `file`, or a free one.

    Raises Misconfigured if a chosen port is in use.
    """
    kept: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
    ports: dict[str, int] = {}
    missing = []
    for name in names:
        if name in chosen:
            require_free(name, chosen[name])
            ports[name] = chosen[name]
        elif name in kept and kept[name] not in chosen.values() and is_free(kept[name]):
            ports[name] = kept[name]
        else:
            missing.append(name)
    ports.update(zip(missing, free_ports(len(missing)), strict=True))
    file.write_text(json.dumps(ports, indent=1))
    return ports
