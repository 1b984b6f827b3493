"""Where a running `cradle up` keeps its addresses and keys: `DATA/run/connections.env`.

A configuration that leaves out broker and store says nothing about where they are; with `--data`
the commands take it from there. What the environment says already wins.
"""

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared.configfile import ENV_DELIMITER, ENV_PREFIX
from shared.errors import Misconfigured


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that say which Cradle is meant."""
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="cradle.yaml")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="the folder of a `cradle up`, to use its broker, store and paths",
    )


def take_connections(data: Path | None) -> None:
    """Put the connections of a `cradle up` into the environment. Raises Misconfigured."""
    if data is None:
        return
    file = data / "run" / "connections.env"
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise Misconfigured(
            f"--data: {file} cannot be read ({error.strerror}); `cradle up --data {data}` writes it"
        ) from None
    for line in lines:
        name, _, value = line.partition("=")
        if name.startswith(ENV_PREFIX):
            os.environ.setdefault(name, value)


def is_given(key: str, content: Mapping[str, Any]) -> bool:
    """Whether the file or the environment names `section.name`."""
    section, _, name = key.partition(".")
    variable = ENV_PREFIX + key.replace(".", ENV_DELIMITER).upper()
    values = content.get(section)
    is_in_file = isinstance(values, Mapping) and name in values
    return is_in_file or any(each.upper() == variable for each in os.environ)
