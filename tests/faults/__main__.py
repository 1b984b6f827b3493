"""`make faults`: beats a whole line, counts every frame, and writes docs/RELIABILITY.md.

python -m tests.faults                      about 40 minutes, at least 100 kills
python -m tests.faults --seconds 300 --page more.md
python -m tests.faults --strike "kill broker" --strike "freeze ingest"
"""

import argparse
import tempfile
from pathlib import Path

from tests.faults.otherbroker import OtherBroker
from tests.faults.page import PAGE, are_reached, summary, write_other, write_page
from tests.faults.plan import Plan
from tests.faults.scene import scene
from tests.faults.strikes import ALL
from tests.faults.trial import run


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=1800, help="at least for so long")
    parser.add_argument("--kills", type=int, default=100, help="at least so many workers killed")
    parser.add_argument("--seed", type=int, default=1, help="the same seed, the same strikes")
    parser.add_argument(
        "--strike", action="append", choices=sorted(ALL), help="only these, once each, in order"
    )
    parser.add_argument(
        "--buckets", action="store_true", help="frames and live output in buckets, no shared disk"
    )
    parser.add_argument(
        "--broker-root", type=Path, help="the RabbitMQ of another release: see broker-root.sh"
    )
    parser.add_argument("--page", type=Path, default=PAGE, help="default: RELIABILITY.md in docs")
    parser.add_argument("--work", type=Path, help="folder for it all, kept; default: a passing one")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cradle-faults-") as passing:
        folder = arguments.work or Path(passing)
        folder.mkdir(parents=True, exist_ok=True)
        plan = Plan(broker_root=arguments.broker_root, on_buckets=arguments.buckets)
        with scene(folder, arguments.seed, plan) as house:
            found = run(
                house,
                arguments.seed,
                seconds=arguments.seconds,
                least_kills=arguments.kills,
                names=arguments.strike,
                say=lambda text: print(text, flush=True),
            )
    print(summary(found))
    if arguments.strike is None:
        given = f"--seconds {arguments.seconds:g} --kills {arguments.kills} --seed {arguments.seed}"
        if arguments.buckets:
            given += " --buckets"
            title = "Frames and live output in buckets, each worker on a disk of its own"
            write_other(arguments.page, found, "buckets", title, given)
        elif isinstance(house.broker, OtherBroker):
            given += f" --broker-root {house.broker.release}"
            title = f"RabbitMQ {house.broker.version}"
            write_other(arguments.page, found, house.broker.release, title, given)
        else:
            write_page(arguments.page, found, given)
        return 0 if are_reached(found) else 1
    return 0 if found.verdict.is_clean and not found.overwritten else 1


if __name__ == "__main__":
    raise SystemExit(main())
