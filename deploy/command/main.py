"""The `cradle` command: one file a subcommand, imported only when it is asked for.

A subcommand is a module with `add_arguments(parser)` and `run(arguments) -> int`, the exit code.
What goes wrong is one sentence on standard error: exit code 2 when a person must change something
(as for wrong options), 1 when something outside is away, 130 on Ctrl-C. Whoever looks for damage
and finds some (`verify`) ends with 3.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Final

from shared.errors import CradleError, Misconfigured

COMMANDS: Final = {
    "up": "start everything on this machine, and show how it is",
    "check": "validate the configuration and reach every camera, the broker and the store",
    "coverage": "what is stored of a day, and why the rest is not",
    "verify": "hold the clips in the bucket against their manifests, byte for byte",
    "user": "who may look at the page: add, list, remove",
    "reindex": "read the page's index anew from the bucket",
    "lost": "the messages that nobody could obey: list them, show one, send them again",
}
"""Name and purpose; the module is `deploy.command.<name>`."""

UNAVAILABLE_EXIT: Final = 1
MISCONFIGURED_EXIT: Final = 2
INTERRUPTED_EXIT: Final = 130


def main(words: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns the exit code."""
    words = sys.argv[1:] if words is None else words
    parser = argparse.ArgumentParser(prog="cradle", description="Live room monitoring.")
    parser.add_argument("--version", action="version", version=f"cradle {version('cradle')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    chosen = next((word for word in words if word in COMMANDS), None)
    for name, purpose in COMMANDS.items():
        command = commands.add_parser(name, help=purpose, description=purpose.capitalize() + ".")
        if name == chosen:
            importlib.import_module(f"deploy.command.{name}").add_arguments(command)
    arguments = parser.parse_args(words)
    try:
        code: int = importlib.import_module(f"deploy.command.{arguments.command}").run(arguments)
        sys.stdout.flush()
    except CradleError as error:
        print(f"cradle {arguments.command}: {error}", file=sys.stderr)
        return MISCONFIGURED_EXIT if isinstance(error, Misconfigured) else UNAVAILABLE_EXIT
    except KeyboardInterrupt:
        return INTERRUPTED_EXIT
    except BrokenPipeError:  # `| head` has read enough; Python would complain once more at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNAVAILABLE_EXIT
    return code


if __name__ == "__main__":
    raise SystemExit(main())
