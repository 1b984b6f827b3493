"""What a quorum queue costs ingest: confirmed messages a second beside a classic one.

    python -m tests.bench.queues

A private RabbitMQ, one node of it: what more nodes cost is not in it. Messages of the size of a
fragment's reference go out as ingest sends them, with a window of unconfirmed ones; rounds of the
two kinds take turns, so that what else the machine does meets both.
"""

import argparse
import tempfile
import threading
import time
from pathlib import Path
from statistics import median
from typing import Final

from pydantic import SecretStr

from ingest.outbox import WINDOW
from shared.link import Link
from shared.topology import FRAMES, ArchiveQueue, archiver_queue, fragment_key
from tests.archiver_fragments import CAMERA, reference
from tests.bench.machine import machine, versions
from tests.services import running_broker

TIMEOUT_SECONDS: Final = 120.0


def rate(url: str, kind: ArchiveQueue, messages: int) -> float:
    """Confirmed messages a second into a queue of its own."""
    free = threading.Semaphore(WINDOW)
    refused = threading.Event()

    def confirmed(good: bool) -> None:
        if not good:
            refused.set()
        free.release()

    def take() -> None:
        if not free.acquire(timeout=TIMEOUT_SECONDS):
            raise TimeoutError("the broker does not confirm")

    body, key = reference(0).to_body(), fragment_key(CAMERA)
    with Link(SecretStr(url), "bench") as link:
        link.declare(archiver_queue(CAMERA, kind))
        link.publish_and_wait(FRAMES, key, body)  # the first also makes what the broker needs
        began = time.perf_counter()
        for _ in range(messages):
            take()
            link.publish_confirmed(FRAMES, key, body, on_result=confirmed)
        for _ in range(WINDOW):
            take()
        seconds = time.perf_counter() - began
    if refused.is_set():
        raise RuntimeError("the broker refused a message")
    return messages / seconds


def main() -> None:
    """Measure, and print what was found and where."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.queues", description=__doc__)
    parser.add_argument("--messages", type=int, default=20_000, help="of a round")
    parser.add_argument("--rounds", type=int, default=5, help="of each kind")
    chosen = parser.parse_args()
    rates: dict[ArchiveQueue, list[float]] = {kind: [] for kind in ArchiveQueue}
    with (
        tempfile.TemporaryDirectory(prefix="cradle-queues-") as folder,
        running_broker(Path(folder)) as broker,
    ):
        for _ in range(chosen.rounds):
            for kind, found in rates.items():
                with broker.virtual_host() as url:
                    found.append(rate(url, kind, chosen.messages))
    print(f"{machine()}; RabbitMQ {versions()['RabbitMQ']}, one node")
    print(f"{chosen.messages} messages of {len(reference(0).to_body())} bytes, {WINDOW} under way")
    for kind, found in rates.items():
        each = ", ".join(f"{one:.0f}" for one in found)
        print(f"{kind}: {median(found):.0f} messages a second ({each})")
    ratio = median(rates[ArchiveQueue.QUORUM]) / median(rates[ArchiveQueue.CLASSIC])
    print(f"quorum by classic: {ratio:.2f}")


if __name__ == "__main__":
    main()
