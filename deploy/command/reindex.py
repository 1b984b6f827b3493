"""`cradle reindex`: the page's index, read anew from the bucket.

The index holds nothing that the bucket does not. It is emptied and filled one camera at a time,
beside a viewer that runs: days that are not read yet look empty until they are.
"""

import argparse

from deploy.command import connections
from shared.clock import SystemClock
from shared.log import get_logger
from shared.objectstore import ObjectStore
from viewer.index import FILE, Index
from viewer.reading import Reading


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `cradle reindex`."""
    connections.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Do it. Raises Misconfigured, StoreUnavailable."""
    settings = connections.settings_with_store(arguments)
    clock = SystemClock()
    store = ObjectStore(settings.archive)
    index = Index(settings.viewer.root / FILE)
    reading = Reading(store, index, get_logger())
    cameras = dict.fromkeys([*(camera.id for camera in settings.cameras), *reading.cameras()])
    for camera in cameras:
        began = clock.monotonic()
        index.forget(camera)
        reading.take_camera(camera)
        clips, notes = (
            index.select(f"SELECT count(*) AS n FROM {table} WHERE camera = ?", (camera,))[0]["n"]  # noqa: S608
            for table in ("clips", "notes")
        )
        print(f"{camera}: {clips} clips, {notes} notes, in {clock.monotonic() - began:.1f} s")
    return 0
