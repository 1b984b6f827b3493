"""`python -m deploy.rights broker|store|seaweedfs FILE|buckets`: put rights into force, then end.

`store` is Silo (or MinIO) with its buckets. SeaweedFS takes its rights from a file before it
starts, and its buckets after: `seaweedfs FILE`, then `buckets`.

All that it needs is in the environment:
    BROKER_MANAGEMENT_URL, BROKER_ADMIN_USER, BROKER_ADMIN_PASSWORD, BROKER_<STAGE>_PASSWORD
    STORE_ENDPOINT, STORE_ADMIN_USER, STORE_ADMIN_PASSWORD, STORE_<STAGE>_SECRET
"""

import argparse
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from deploy.rights import broker, management, minio, seaweedfs, store
from shared.errors import CradleError, Misconfigured
from shared.privatefile import write_private


def main() -> int:
    """Exit code 0, or 2 when a person must change something, or 1 when a server is away."""
    parser = argparse.ArgumentParser(prog="python -m deploy.rights", description=__doc__)
    parser.add_argument("where", choices=("broker", "store", "seaweedfs", "buckets"))
    parser.add_argument("file", nargs="?", type=Path, help="seaweedfs: the file of identities")
    arguments = parser.parse_args()
    try:
        if arguments.where == "broker":
            _broker()
        elif arguments.where == "seaweedfs":
            if arguments.file is None:
                parser.error("seaweedfs: name the file")
            text = seaweedfs.identities(_store_administrator(), _store_secrets())
            write_private(arguments.file, text)
        else:
            minio.make_buckets(_store_administrator())
            if arguments.where == "store":
                minio.apply(_store_administrator(), _store_secrets())
    except CradleError as error:
        print(f"rights: {error}", file=sys.stderr)
        return 2 if isinstance(error, Misconfigured) else 1
    print(f"rights: {arguments.where} done")
    return 0


def _broker() -> None:
    administrator = management.Management(
        _given("BROKER_MANAGEMENT_URL"),
        _given("BROKER_ADMIN_USER"),
        _given("BROKER_ADMIN_PASSWORD"),
    )
    passwords = _each(broker.RIGHTS, "BROKER_{}_PASSWORD")
    management.apply(administrator, os.environ.get("BROKER_VHOST", "/"), passwords)


def _store_administrator() -> minio.Administrator:
    return minio.Administrator(
        _given("STORE_ENDPOINT"), _given("STORE_ADMIN_USER"), _given("STORE_ADMIN_PASSWORD")
    )


def _store_secrets() -> dict[str, str]:
    return _each(store.GRANTS, "STORE_{}_SECRET")


def _each(users: Iterable[str], variable: str) -> dict[str, str]:
    return {user: _given(variable.format(user.upper())) for user in users}


def _given(variable: str) -> str:
    value = os.environ.get(variable)
    if not value:
        raise Misconfigured(f"the variable {variable} is missing; deploy/compose/prepare makes it")
    return value


if __name__ == "__main__":
    raise SystemExit(main())
