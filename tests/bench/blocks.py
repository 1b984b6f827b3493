"""`python -m tests.bench.blocks`: memory and CPU time with and without `shared.memory`.

Two pieces of work, each in two processes that differ in nothing else: pictures are decoded,
compared and packed in two slots, as the analyzer does, and fragments of 0.1 to 0.9 MB are read and
put into a real bucket by six threads, as ingest does. Each process says in the end what it holds
and what it took.
"""

import json
import random
import resource
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from analyzer.measurement import measure
from analyzer.pictures import decode_key_frame, masked
from shared.memory import give_large_blocks_back
from shared.objectstore import ObjectStore
from tests.bench.processes import resident_bytes
from tests.services import running_store

SAMPLES: Final = 200
PICTURES: Final = 4
SLOTS: Final = 2
LONG_EDGE_PIXELS: Final = 768
FRAGMENTS: Final = 150
CARRIERS: Final = 6


@dataclass(frozen=True)
class Cost:
    """Of one process."""

    resident_bytes: int
    cpu_seconds: float


def judge_pictures() -> None:
    """`SAMPLES` samples in each of `SLOTS` threads."""
    frames = [_key_frame(number * 40) for number in range(8)]

    def slot() -> None:
        previous = None
        for sample in range(SAMPLES):
            pictures = [
                masked(decode_key_frame(data, LONG_EDGE_PIXELS), [], datetime.now(UTC))
                for data in (frames[(sample + each) % len(frames)] for each in range(PICTURES))
            ]
            measured = measure(pictures, previous)
            previous = pictures[-1].sketch
            if not pictures[measured.most_changed].jpeg:
                raise SystemExit("no JPEG")

    _in_threads(SLOTS, lambda _number: slot())


def _key_frame(hue: int) -> bytes:
    """An MPEG-TS of one picture."""
    source = f"testsrc2=s=1280x720,hue=h={hue}"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, "-frames:v", "1"]
    command += ["-c:v", "libx264", "-f", "mpegts", "-"]
    return subprocess.run(command, capture_output=True, check=True, timeout=60).stdout


def upload_fragments() -> None:
    """`FRAGMENTS` of them by each of `CARRIERS` threads."""
    chance = random.Random(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(20):
            (folder / str(number)).write_bytes(chance.randbytes(chance.randrange(10**5, 9 * 10**5)))
        with running_store(folder) as service, service.bucket() as settings:
            store = ObjectStore(settings)

            def carry(carrier: int) -> None:
                for number in range(FRAGMENTS):
                    data = (folder / str((7 * number + 3 * carrier) % 20)).read_bytes()
                    store.create_bytes(f"{carrier}/{number}.ts", data, content_type="video/mp2t")

            _in_threads(CARRIERS, carry)


def _in_threads(count: int, work: Callable[[int], None]) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


WORK: Final = {"judge pictures": judge_pictures, "upload fragments": upload_fragments}


def _measure_here(work: Callable[[], None], *, giving_back: bool) -> Cost:
    if giving_back and not give_large_blocks_back():
        raise SystemExit("no glibc here")
    work()
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Cost(resident_bytes(), used.ru_utime + used.ru_stime)


def _measure_apart(name: str, *, giving_back: bool) -> Cost:
    command = [sys.executable, "-m", "tests.bench.blocks", name, str(giving_back)]
    told = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=600).stdout
    return Cost(**json.loads(told))


def main(arguments: list[str]) -> None:
    if arguments:
        cost = _measure_here(WORK[arguments[0]], giving_back=arguments[1] == "True")
        print(json.dumps(asdict(cost)))
        return
    print("| | as it is by itself | large blocks given back |\n| --- | --- | --- |")
    for name in WORK:
        costs = [_measure_apart(name, giving_back=each) for each in (False, True)]
        shown = [f"{c.resident_bytes / 2**20:.0f} MiB, {c.cpu_seconds:.1f} CPU-s" for c in costs]
        print(f"| {name} | {' | '.join(shown)} |")


if __name__ == "__main__":
    main(sys.argv[1:])
