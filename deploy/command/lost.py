"""`cradle lost`: the messages that nobody could obey; seen, looked at, sent again or dropped.

They wait a week in the queue `lost`. Reading takes none away: all are received without an
acknowledgement, and go back into their order when the channel closes; what another reader holds at
that moment is not seen. `republish` sends a message to its own queue, past the exchanges, so that
no other queue gets it; once the broker has it safe it is taken out of `lost`. Killed between the
two, it is in both, which harms nobody: stages know a message by what it is about. What is still
wrong comes back, with its reason, and is not tried twice in one run.
"""

import argparse
import json
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from deploy.command import connections
from deploy.command.letters import Letter, letter_of, queue_named, visible, visible_body
from shared import config
from shared.config import Settings
from shared.errors import Misconfigured
from shared.link import Delivery, Link
from shared.topology import lost_queue

DEFAULT_LIMIT: Final = 1000
MOST: Final = 50_000
"""The broker counts what is received and not acknowledged in 16 bits."""
SILENCE_SECONDS: Final = 2.0
"""When the broker has sent nothing for so long, it has no more."""
REASON_WIDTH: Final = 70


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `cradle lost`."""
    commands = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    for name, purpose in (
        ("list", "all of them, the oldest first"),
        ("show", "one of them, whole"),
        ("republish", "send them to their queues again"),
        ("drop", "throw them away, once they have been understood"),
    ):
        command = commands.add_parser(name, help=purpose, description=purpose.capitalize() + ".")
        connections.add_arguments(command)
        command.add_argument("--camera", metavar="ID", help="only of this camera")
        command.add_argument("--queue", metavar="NAME", help="only those that were for this queue")
        command.add_argument(
            "--limit", type=_limit, default=DEFAULT_LIMIT, metavar="N", help="look at no more"
        )
        if name == "list":
            command.add_argument("--json", action="store_true", help="for programs")
        elif name == "show":
            command.add_argument("identity", metavar="IDENTITY", help="as `list` shows it")
        else:
            command.add_argument("identities", nargs="*", metavar="IDENTITY")
            command.add_argument("--all", action="store_true", help="all that the filters leave")


def _limit(text: str) -> int:
    value = int(text)
    if not 1 <= value <= MOST:
        raise argparse.ArgumentTypeError(f"between 1 and {MOST}")
    return value


def run(arguments: argparse.Namespace) -> int:
    """Do it. Raises Misconfigured, Unavailable."""
    what = arguments.what
    if what in {"republish", "drop"} and bool(arguments.identities) == arguments.all:
        raise Misconfigured(f"{what}: name messages as `list` shows them, or say --all")
    connections.take_connections(arguments.data, arguments.config)
    content = config.read_mapping(arguments.config)
    settings = config.from_mapping(content)
    connections.demand_broker(content)
    with (
        Link(settings.broker.url, "cradle lost", settings.broker.heartbeat_seconds) as link,
        _received(link, arguments.limit) as (total, found),
    ):
        chosen = [
            pair
            for pair in found
            if arguments.camera in (None, pair[0].camera)
            and arguments.queue in (None, pair[0].queue)
        ]
        more = f"{total - len(found)} more are there; see --limit" if total > len(found) else ""
        if what == "list":
            _list([letter for letter, _ in chosen], settings.zone, more, as_json=arguments.json)
        elif what == "show":
            print(as_text(_named(chosen, [arguments.identity])[0][0], settings.zone))
        else:
            picked = chosen if arguments.all else _named(chosen, arguments.identities)
            if what == "drop":
                _drop(picked, more)
            else:
                _republish(link, settings, picked, more)
    return 0


@contextmanager
def _received(link: Link, limit: int) -> Iterator[tuple[int, list[tuple[Letter, Delivery]]]]:
    """How many there are, and the oldest of them; they go back when the block ends."""
    total = link.declare(lost_queue()).messages
    arrived: list[Delivery] = []
    more = threading.Event()

    def receive(delivery: Delivery) -> None:
        arrived.append(delivery)
        more.set()

    subscription = link.consume(
        lost_queue(),
        prefetch=limit,
        exclusive=False,
        on_delivery=receive,
        on_closed=lambda _reason: more.set(),
    )
    try:
        wanted = min(total, limit)
        while len(arrived) < wanted and more.wait(SILENCE_SECONDS):
            more.clear()
            link.check()
        seen: Counter[str] = Counter()
        received = arrived[:wanted]  # what came meanwhile is for the next look
        yield (
            total,
            [
                (letter_of(each.body, each.headers, each.routing_key, seen), each)
                for each in received
            ],
        )
    finally:
        subscription.close()


def _named(
    chosen: Sequence[tuple[Letter, Delivery]], identities: Sequence[str]
) -> list[tuple[Letter, Delivery]]:
    by_identity = {letter.identity: (letter, delivery) for letter, delivery in chosen}
    for identity in identities:
        if identity not in by_identity:
            raise Misconfigured(
                f"{visible(identity)}: no such message among the {len(chosen)} seen"
            )
    return [by_identity[identity] for identity in dict.fromkeys(identities)]


def _drop(chosen: Sequence[tuple[Letter, Delivery]], more: str) -> None:
    for letter, delivery in chosen:
        delivery.ack()
        print(f"{letter.identity} dropped: {visible(letter.reason, REASON_WIDTH)}")
    if more:
        print(more)


# -- republish ------------------------------------------------------------------------------------


def _republish(
    link: Link, settings: Settings, chosen: Sequence[tuple[Letter, Delivery]], more: str
) -> None:
    """Raises Misconfigured if some had to stay."""
    kept = 0
    for letter, delivery in chosen:
        obstacle = _send_again(link, settings, letter)
        if obstacle is None:
            delivery.ack()
            print(f"{letter.identity} sent to {visible(letter.queue)}")
        else:
            kept += 1
            print(f"{letter.identity} stays: {obstacle}")
    if more:
        print(more)
    if kept:
        raise Misconfigured(f"{kept} of {len(chosen)} messages stay in the queue `lost`")


def _send_again(link: Link, settings: Settings, letter: Letter) -> str | None:
    """Why it cannot be; None if the broker has it safe. Raises Unavailable."""
    queue = queue_named(letter.queue, settings.broker.archive_queue)
    if queue is None:
        return "nothing tells which queue it was for"
    camera = letter.queue.partition(".")[2]
    if camera and settings.camera(camera) is None:
        return f"{visible(camera)} is not in the configuration, nobody would read it"
    try:
        link.declare(queue)  # a message to a queue that is not there would be lost for good
    except Misconfigured as error:
        return str(error)
    link.publish_and_wait("", queue.name, letter.body, headers=letter.kept_headers)
    return None


# -- what is printed ------------------------------------------------------------------------------


def _list(letters: Sequence[Letter], zone: ZoneInfo, more: str, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([as_facts(each) for each in letters], indent=1, ensure_ascii=True))
        return
    print(as_table(letters, zone) if letters else "No message is lost.")
    if more:
        print(more)


def as_table(letters: Sequence[Letter], zone: ZoneInfo) -> str:
    """One line each."""
    head = ("identity", "lost at", "for queue", "what", "reason")
    rows = [
        (
            each.identity,
            _local(each.lost_at, zone),
            visible(each.queue, 50) or "?",
            each.kind,
            visible(each.reason, REASON_WIDTH),
        )
        for each in letters
    ]
    widths = [max(len(row[place]) for row in (head, *rows)) for place in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    )


def as_text(letter: Letter, zone: ZoneInfo) -> str:
    """All of one."""
    lines = [
        f"{letter.identity}  {letter.kind}  for {visible(letter.queue) or 'an unknown queue'}",
        f"  lost at  {_local(letter.lost_at, zone)}",
        f"  reason   {visible(letter.reason)}",
        *(
            f"  {visible(name, 60)}: {visible(str(value))}"
            for name, value in letter.headers.items()
        ),
        "",
        visible_body(letter.body),
    ]
    return "\n".join(lines)


def as_facts(letter: Letter) -> dict[str, Any]:
    """For programs; times in UTC."""
    return {
        "identity": letter.identity,
        "lost_at": None if letter.lost_at is None else letter.lost_at.isoformat(),
        "queue": letter.queue,
        "camera": letter.camera,
        "kind": letter.kind,
        "reason": letter.reason,
        "bytes": len(letter.body),
    }


def _local(moment: datetime | None, zone: ZoneInfo) -> str:
    return "?" if moment is None else f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S}"
