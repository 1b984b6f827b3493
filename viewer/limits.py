"""What one visitor, and all together, may take of the server. All limits stand here.

A browser opens six connections to a server at most, whatever the number of rooms on its wall.
"""

from typing import Final

BACKLOG: Final = 128
"""Connections that the system has accepted and the server has not."""
MOST_CONNECTIONS: Final = 600
MOST_CONNECTIONS_OF_ONE: Final = 200
"""From one address (of IPv6: one /64): some thirty browsers behind one router. A proxy that is
trusted speaks for many, and is bounded by `MOST_CONNECTIONS` alone."""
MOST_REQUESTS: Final = MOST_CONNECTIONS + 1
"""At once; what is beyond is answered with 503. Connections are refused before that."""
HANDSHAKE_SECONDS: Final = 10.0
"""For TLS to be agreed on."""
REQUEST_SECONDS: Final = 15.0
"""From a connection, or the first byte of a further request, to the last byte of that request."""
KEEP_ALIVE_SECONDS: Final = 20
"""A connection without a request stays so long."""
MOST_BODY_BYTES: Final = 64 * 1024
THREADS: Final = 100
"""For requests that wait for the index or the object store."""

MOST_PAGES: Final = 300
"""That listen to events; the others get no more than what they ask for."""
MOST_PAGES_OF_ONE: Final = 20
"""Of one session: nobody takes the places of all others."""
