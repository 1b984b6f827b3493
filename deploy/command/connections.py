"""Where a running `cradle up` keeps its addresses and keys: `DATA/run/connections.env`.

A configuration that leaves out broker and store says nothing about where they are; with `--data`
the commands take it from there. What the environment says already wins, and so does a configuration
that names the address itself: it may have been changed since that house went up.
"""

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from shared.config import Settings, from_mapping
from shared.configfile import ENV_DELIMITER, ENV_PREFIX, read_mapping
from shared.errors import Misconfigured

_ADDRESSES = (
    ("broker", "url"),
    ("archive", "endpoint"),
    ("frames", "url"),
    ("live", "url"),
    ("viewer", "url"),
)
"""The key of each section that says whose it is: `cradle up` fills in the section without it."""


CONFIG_VARIABLE: Final = "CRADLE_CONFIG"
"""Names the configuration where no option does: in a container, where it lies at one place."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that say which Cradle is meant."""
    known = os.environ.get(CONFIG_VARIABLE)
    parser.add_argument(
        "--config",
        type=Path,
        default=known,
        required=known is None,
        metavar="FILE",
        help=f"cradle.yaml; that of {CONFIG_VARIABLE} if not given",
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="the folder of a `cradle up`, to use its broker, store and paths",
    )


def take_connections(data: Path | None, config: Path) -> None:
    """Put the connections of a `cradle up` into the environment, as far as the file `config` does
    not say otherwise. Raises Misconfigured."""
    if data is None:
        return
    file = data / "run" / "connections.env"
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise Misconfigured(
            f"--data: {file} cannot be read ({error.strerror}); `cradle up --data {data}` writes it"
        ) from None
    try:
        content = read_mapping(config)
    except Misconfigured:  # whoever reads it next says what is wrong with it
        content = {}
    named = {section for section, name in _ADDRESSES if is_given(f"{section}.{name}", content)}
    for line in lines:
        variable, _, value = line.partition("=")
        section, _, name = variable.removeprefix(ENV_PREFIX).lower().partition(ENV_DELIMITER)
        if section in named and is_given(f"{section}.{name}", content):
            continue
        if variable.startswith(ENV_PREFIX):
            os.environ.setdefault(variable, value)


def settings_with_store(arguments: argparse.Namespace) -> Settings:
    """The configuration that the options name, with an object store. Raises Misconfigured."""
    take_connections(arguments.data, arguments.config)
    content = read_mapping(arguments.config)
    settings = from_mapping(content)
    demand_store(content)
    return settings


def demand_store(content: Mapping[str, Any]) -> None:
    """Raises Misconfigured if nobody has said which object store is meant."""
    _demand("archive.endpoint", "store", content)


def demand_broker(content: Mapping[str, Any]) -> None:
    """Raises Misconfigured if nobody has said which broker is meant."""
    _demand("broker.url", "broker", content)


def _demand(key: str, what: str, content: Mapping[str, Any]) -> None:
    if not is_given(key, content):
        raise Misconfigured(
            f"{key}: is not given; name it, or add --data DIR to ask the {what} of the "
            "`cradle up` that runs there"
        )


def is_given(key: str, content: Mapping[str, Any]) -> bool:
    """Whether the file or the environment names `section.name`."""
    section, _, name = key.partition(".")
    variable = ENV_PREFIX + key.replace(".", ENV_DELIMITER).upper()
    values = content.get(section)
    is_in_file = isinstance(values, Mapping) and name in values
    return is_in_file or any(each.upper() == variable for each in os.environ)
