"""A month of sixteen cameras as the page's index holds it."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from shared.clock import milliseconds
from shared.identity import new_epoch
from viewer.index import Row

START: Final = datetime(2026, 3, 1, tzinfo=UTC)
CAMERAS: Final = 16
DAYS: Final = 30


def note(key: str, summary: str, at: datetime = START, camera: str = "camera-1") -> Row:
    values: dict[str, Any] = {
        **dict.fromkeys(("activity", "children", "adults", "view", "judged_by"), "cannot_tell"),
        **dict.fromkeys(("requests", "input_tokens", "output_tokens"), 0),
        **dict.fromkeys(("other_activity", "remote_state", "remote_reason", "remote_until"), None),
        "key": key,
        "camera": camera,
        "starts": milliseconds(at),
        "ends": milliseconds(at) + 60_000,
        "summary": summary,
        "evidence": "a picture",
        "changed": 0.1,
        "picture_key": f"{key}.jpg",
        "picture_at": milliseconds(at),
        "judged_at": milliseconds(at),
    }
    return Row("notes", values)


def month() -> list[Row]:
    """A clip each ten minutes, of every camera, and a note each minute of one of them."""
    rows = []
    for number in range(1, CAMERAS + 1):
        camera = f"camera-{number}"
        epoch = new_epoch(START)
        for place in range(DAYS * 144):
            at = START + timedelta(minutes=10 * place)
            starts = milliseconds(at)
            stretch = {
                "epoch": epoch,
                "first": 600 * place,
                "last": 600 * place + 599,
                "starts": starts,
                "ends": starts + 600_000,
                "frame_milliseconds": 35,
            }
            values = {
                "key": f"clips/{camera}/{at:%Y/%m/%d}/{place}.json",
                "camera": camera,
                "epoch": epoch,
                "first": 600 * place,
                "last": 600 * place + 599,
                "starts": starts,
                "ends": starts + 600_000,
                "frames": 18_000,
                "bytes": 10**8,
                "container": "mp4",
                "codec": "h264",
                "width": 1920,
                "height": 1080,
                "has_sound": 1,
                "object_key": f"{place}.mp4",
                "poster_key": f"{place}.jpg",
                "reason": None,
                "stretches": json.dumps([stretch]),
                "gaps": "[]",
            }
            rows.append(Row("clips", values, milliseconds(START)))
    rows += [
        note(
            f"analysis/{place}",
            "아이들이 놀고 있습니다.",
            START + timedelta(minutes=place),
            "camera-7",
        )
        for place in range(DAYS * 1440)
    ]
    return rows
