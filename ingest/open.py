"""Opens a camera's source as a feed, by its kind."""

import threading

from ingest.demuxed import DemuxedFeed
from ingest.feed import Feed
from ingest.pictures import device_feed, generated_feed
from shared.clock import Clock
from shared.config import CameraSettings
from shared.log import Log
from shared.source import SourceKind


def open_feed(camera: CameraSettings, clock: Clock, stop: threading.Event, log: Log) -> Feed:
    """Open a source. Raises SourceFailed, Misconfigured if its password is missing."""
    match camera.address.kind:
        case SourceKind.DEVICE:
            return device_feed(camera, clock, stop, log)
        case SourceKind.TEST:
            return generated_feed(camera, clock, stop)
        case _:
            return DemuxedFeed(camera, clock, stop, log)
