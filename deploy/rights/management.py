"""RabbitMQ's management API, as far as users and rights need it. Every call may be repeated."""

import base64
import json
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Final
from urllib.parse import quote, urlsplit

from deploy.rights.broker import NOTHING, RIGHTS, Topics
from shared.errors import Misconfigured, Unavailable
from shared.topology import EXCHANGES

TIMEOUT_SECONDS: Final = 20.0


class Management:
    """One broker's API, with the login of its administrator."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self._where = urlsplit(url)
        login = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}

    def put(self, path: str, body: object) -> None:
        """Raises Misconfigured if it is refused, Unavailable if there is no answer."""
        kind = HTTPSConnection if self._where.scheme == "https" else HTTPConnection
        connection = kind(self._where.hostname or "", self._where.port, timeout=TIMEOUT_SECONDS)
        try:
            connection.request("PUT", path, json.dumps(body), self._headers)
            answer = connection.getresponse()
            reason = answer.read().decode(errors="replace")
        except (OSError, HTTPException) as error:
            raise Unavailable(f"the broker's management page does not answer: {error}") from error
        finally:
            connection.close()
        if answer.status >= 500:
            raise Unavailable(f"the broker answered {answer.status} to {path}: {reason[:200]}")
        if answer.status >= 300:
            raise Misconfigured(f"the broker answered {answer.status} to {path}: {reason[:200]}")


def apply(management: Management, virtual_host: str, passwords: dict[str, str]) -> None:
    """Make the exchanges and, for every name in RIGHTS, a user with just those rights.

    `passwords` has one for each. A changed password is in force for the next connection.
    """
    place = quote(virtual_host, safe="")
    for exchange in EXCHANGES:
        form = {"type": "topic", "durable": True}
        management.put(f"/api/exchanges/{place}/{quote(exchange, safe='')}", form)
    for user, rights in RIGHTS.items():
        management.put(f"/api/users/{user}", {"password": passwords[user], "tags": ""})
        management.put(
            f"/api/permissions/{place}/{user}",
            {"configure": rights.configure, "write": rights.write, "read": rights.read},
        )
        for exchange in EXCHANGES:
            topics = rights.topics.get(exchange, Topics(NOTHING, NOTHING))
            management.put(
                f"/api/topic-permissions/{place}/{user}",
                {"exchange": exchange, "write": topics.write, "read": topics.read},
            )
