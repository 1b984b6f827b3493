"""What counts as stored: what the bucket bears out, from its commit on, and no mere word."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ingest.choice import GIB
from ingest.confirmation import Confirmation
from ingest.shelf import Shelf
from shared.identity import ClipIdentity
from shared.log import get_logger
from tests.ingest_house import BYTES, CAMERA, DAY, MINUTE, NOON, House


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_a_backlog_that_is_archived_at_last_is_kept_as_long_as_any_other(house: House) -> None:
    epoch = house.record(2)
    house.clean(timedelta(hours=5))
    house.store(epoch, 0, 1)
    house.clean(9 * MINUTE)
    assert house.left(epoch) == [0, 1]
    house.clean(2 * MINUTE)
    assert house.left(epoch) == []


def test_after_a_restart_the_time_since_the_commit_counts(house: House) -> None:
    epoch = house.record(2)
    house.store(epoch, 0, 1)
    successor = House(house.root, house.bucket)
    successor.clean(9 * MINUTE)
    assert successor.left(epoch) == [0, 1]
    successor.clean(2 * MINUTE)
    assert successor.left(epoch) == []


def test_a_store_whose_clock_is_ahead_makes_nothing_stay_for_good(house: House) -> None:
    epoch = house.record(1)
    house.bucket.commit(epoch, 0, 0, NOON, NOON + DAY)
    house.say_stored(epoch, 0, 0)
    house.clean()
    house.clean(11 * MINUTE)
    assert house.left(epoch) == []


def test_a_false_word_deletes_nothing(house: House) -> None:
    epoch = house.record(5)
    house.bucket.commit(epoch, 1, 2, NOON + timedelta(seconds=1), NOON)
    house.say_stored(epoch, 0, 10**9)
    house.clean()
    house.clean(60 * MINUTE)
    assert house.left(epoch) == [0, 3, 4]
    house.clean(DAY)
    assert house.bucket.losses == [(0, 0, "retention"), (3, 4, "retention")]


def test_a_clip_without_its_manifest_is_no_clip(house: House) -> None:
    epoch = house.record(2)
    identity = ClipIdentity(CAMERA, epoch, 0, 1, NOON)
    house.bucket.objects[identity.object_key("mp4")] = b""
    house.say_stored(epoch, 0, 1)
    house.clean()
    house.clean(60 * MINUTE)
    assert house.left(epoch) == [0, 1]


def test_a_true_word_counts_after_a_false_one(house: House) -> None:
    epoch = house.record(3)
    house.say_stored(epoch, 0, 2)
    house.clean()
    house.store(epoch, 0, 2)
    house.clean(11 * MINUTE)
    assert house.left(epoch) == []


def test_over_quota_what_is_only_said_to_be_stored_does_not_go_first(tmp_path: Path) -> None:
    house = House(tmp_path, quota_gib=4 * BYTES / GIB)
    epoch = house.record(5)
    house.say_stored(epoch, 3, 3)
    house.clean()
    assert house.left(epoch) == [1, 2, 3, 4]
    assert house.bucket.losses == [(0, 0, "quota")]


def test_with_the_bucket_away_a_word_deletes_nothing_and_a_limit_does(tmp_path: Path) -> None:
    house = House(tmp_path, quota_gib=4 * BYTES / GIB)
    epoch = house.record(5)
    house.store(epoch, 0, 2)
    house.bucket.is_away = True
    house.clean(60 * MINUTE)
    assert house.left(epoch) == [1, 2, 3, 4]
    house.bucket.is_away = False
    house.clean()
    assert house.left(epoch) == [3, 4]
    assert house.bucket.losses == []


def test_the_bucket_is_asked_once_for_a_word(house: House) -> None:
    epoch = house.record(6)
    house.store(epoch, 0, 2)
    for _ in range(5):
        house.clean(MINUTE)
    assert house.bucket.listings == 1
    house.say_stored(epoch, 3, 5)
    for _ in range(3):
        house.clean(MINUTE)
    assert house.bucket.listings == 2


def test_what_waits_for_the_archive_costs_no_second_copy(house: House) -> None:
    """In a long outage there are hundreds of thousands of them, in the memory of who records."""
    house.record(3)
    kept = Shelf(house.root, CAMERA).look()
    store: Any = house.bucket
    seen = Confirmation(house.root, store, get_logger()).look(kept, NOON)
    assert [id(each) for each in seen] == [id(each) for each in kept]
