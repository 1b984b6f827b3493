"""`cradle check`: is the configuration right, and is everything there that it speaks of?

Every fault of the configuration is told in a sentence; with one, nothing else is looked at. Then
come this machine, the analysis, the broker, the store and every camera, which is really opened;
what takes time runs side by side. One line for each thing: ok, WARN, FAIL, or - for what the
configuration leaves to `cradle up`. Exit code 0 if nothing failed, 2 if a person must change the
configuration, else 1.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from deploy.command import connections
from deploy.command.check_analysis import check_analysis
from deploy.command.check_camera import camera_check
from deploy.command.check_machine import check_file, check_machine
from deploy.command.check_services import (
    SERVICE_SECONDS,
    check_broker,
    check_frames,
    check_live,
    check_store,
)
from deploy.command.finding import Check, Finding, State, from_error, side_by_side
from deploy.local.broker import find_server
from deploy.local.store import find_weed
from shared import config
from shared.clock import Clock, SystemClock
from shared.config import Settings
from shared.configfile import BadConfiguration
from shared.errors import Misconfigured, MissingProgram

KEYS_OF_UP: Final = (
    "broker.url",
    "archive.endpoint",
    "frames.url",
    "frames.spool",
    "live.url",
    "live.spool",
)
"""What `cradle up` provides where the configuration does not name it."""
LIBRARY_SECONDS: Final = 60.0
"""Google's libraries take seconds to load."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `cradle check`."""
    connections.add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="for programs")


def run(arguments: argparse.Namespace) -> int:
    """Print what is found; returns the exit code. Raises Misconfigured for wrong options."""
    connections.take_connections(arguments.data, arguments.config)
    found = []
    for finding in look(arguments.config, SystemClock()):
        found.append(finding)
        if not arguments.json:
            print(as_line(finding), flush=True)
    code = exit_code(found)
    if arguments.json:
        document = {"exit_code": code, "findings": [as_facts(finding) for finding in found]}
        print(json.dumps(document, indent=1, ensure_ascii=False))
    else:
        print(f"\n{summary(found)}")
    return code


def look(file: Path, clock: Clock) -> Iterator[Finding]:
    """Everything that is found, each as soon as it is known."""
    try:
        content = config.read_mapping(file)
        settings = config.from_mapping(content)
    except BadConfiguration as error:
        for fault in error.faults:
            yield Finding("configuration", State.WRONG, fault)
        return
    except Misconfigured as error:
        yield from_error("configuration", error)
        return
    if not settings.cameras:
        text = "cameras: there is none; add at least one with id and source"
        yield Finding("configuration", State.WRONG, text)
    text = f"{file}: {len(settings.cameras)} camera(s), days of {settings.timezone}"
    yield check_file(file, content) or Finding("configuration", State.OK, text)
    is_given = {key: connections.is_given(key, content) for key in KEYS_OF_UP}
    yield from check_machine(settings, is_given)
    for finding in side_by_side(_checks(settings, clock)):
        yield _or_left_out(finding, is_given)


def _checks(settings: Settings, clock: Clock) -> list[Check]:
    archive, frames, live = settings.archive, settings.frames.bucket, settings.live.bucket
    buckets: list[Check] = []
    if frames is not None:
        buckets.append(
            Check("frames bucket", SERVICE_SECONDS, partial(check_frames, archive, frames))
        )
    if live is not None:
        buckets.append(Check("live bucket", SERVICE_SECONDS, partial(check_live, archive, live)))
    return [
        Check("analysis", LIBRARY_SECONDS, partial(check_analysis, settings, clock)),
        Check("broker", SERVICE_SECONDS, partial(check_broker, settings.broker)),
        Check("store", SERVICE_SECONDS, partial(check_store, archive)),
        *buckets,
        *(camera_check(camera, settings.live, clock) for camera in settings.cameras),
    ]


@dataclass(frozen=True)
class _Private:
    """A server that `cradle up` starts when the configuration does not name one."""

    key: str
    name: str


_PRIVATE: Final = {
    "broker": _Private("broker.url", "RabbitMQ"),
    "store": _Private("archive.endpoint", "SeaweedFS"),
}


def _or_left_out(finding: Finding, is_given: Mapping[str, bool]) -> Finding:
    """A server that is not named and not there is for `cradle up` to start, if it can."""
    private = _PRIVATE.get(finding.thing)
    if finding.state is State.OK or private is None or is_given[private.key]:
        return finding
    try:
        if finding.thing == "broker":
            find_server()
        else:
            find_weed()
    except MissingProgram as error:
        text = f"{private.key} is not given, and {error}"
        return Finding(finding.thing, State.WRONG, text)
    text = (
        f"{private.key} is not given: `cradle up` starts a private {private.name} (--data DIR "
        "checks a running one)"
    )
    return Finding(finding.thing, State.LEFT_OUT, text)


# -- what is printed ------------------------------------------------------------------------------


def as_line(finding: Finding) -> str:
    """`ok    camera-1       h264 1280x720, ...`"""
    return f"{finding.state.shown:4}  {finding.thing:15}  {finding.text}"


def as_facts(finding: Finding) -> dict[str, object]:
    """The same for programs."""
    facts = {"facts": dict(finding.facts)} if finding.facts else {}
    return {"thing": finding.thing, "state": finding.state, "text": finding.text, **facts}


def summary(found: list[Finding]) -> str:
    """`7 ok, 1 warning, 2 failed: camera-1, store`."""
    counts = Counter(finding.state.shown for finding in found)
    failed = [finding.thing for finding in found if finding.state.shown == "FAIL"]
    parts = [f"{counts['ok']} ok"]
    if counts["WARN"]:
        parts.append(f"{counts['WARN']} warning{'s' if counts['WARN'] > 1 else ''}")
    if failed:
        parts.append(f"{len(failed)} failed: {', '.join(dict.fromkeys(failed))}")
    return ", ".join(parts)


def exit_code(found: list[Finding]) -> int:
    """0 if nothing failed, 2 if a person must change the configuration, else 1."""
    states = {finding.state for finding in found}
    return 2 if State.WRONG in states else int(State.UNREACHABLE in states)
