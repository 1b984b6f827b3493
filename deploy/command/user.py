"""`cradle user`: who may look at the page.

Users are kept in the viewer's folder, as argon2 hashes; a running viewer sees the change at once.
Those that stand in the configuration are changed there: `hash` makes what to write.
"""

import argparse
import getpass
import sys

from deploy.command import connections
from shared import config
from shared.errors import Misconfigured
from shared.users import PasswordRefused, Users, hash_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `cradle user`."""
    commands = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    for name, purpose in (
        ("add", "add a user, or give one another password or role"),
        ("list", "all users"),
        ("remove", "take a user's access away"),
        ("hash", "the hash of a password, for `viewer.users` in the configuration"),
    ):
        command = commands.add_parser(name, help=purpose, description=purpose.capitalize() + ".")
        if name != "hash":
            connections.add_arguments(command)
        if name in {"add", "remove"}:
            command.add_argument("name", metavar="NAME", help="what they type to log in")
        if name == "add":
            command.add_argument(
                "--role",
                choices=("viewer", "operator"),
                default="viewer",
                help="operators may also hold, download and see the system",
            )
        if name in {"add", "hash"}:
            command.add_argument(
                "--password-stdin", action="store_true", help="read the password from there"
            )


def run(arguments: argparse.Namespace) -> int:
    """Do it. Raises Misconfigured."""
    try:
        return _run(arguments)
    except PasswordRefused as error:
        raise Misconfigured(str(error)) from None


def _run(arguments: argparse.Namespace) -> int:
    if arguments.what == "hash":
        print(hash_of(_password(arguments)))
        return 0
    connections.take_connections(arguments.data, arguments.config)
    users = Users(config.load(arguments.config).viewer)
    if arguments.what == "list":
        for user in users.listed():
            print(f"{user.name:20} {user.role}")
    elif arguments.what == "remove":
        if not users.remove(arguments.name):
            raise Misconfigured(f"{arguments.name}: no such user in the viewer's folder")
        print(f"{arguments.name} can no longer log in; open sessions have ended")
    else:
        made = users.add(arguments.name, arguments.role, _password(arguments))
        print(f"{made.name} can log in as {made.role}")
    return 0


def _password(arguments: argparse.Namespace) -> str:
    """Never from the command line, which anybody may read."""
    if arguments.password_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("password: ")
    if getpass.getpass("again: ") != password:
        raise Misconfigured("the two differ")
    return password
