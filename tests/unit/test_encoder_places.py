"""What the cameras of one encoder share: a client that does not wait long, a clean-up each hour."""

from pathlib import Path

import pytest

from encoder.forgotten import EVERY_SECONDS, Forgotten
from encoder.places import FETCH_SECONDS, Stores
from shared.clock import SimulatedClock
from shared.config import Settings
from shared.log import get_logger
from tests.support import eventually


def test_a_fragment_is_not_waited_for_until_it_is_old(tmp_path: Path) -> None:
    settings = Settings.model_validate(
        {
            "frames": {"url": "s3://frames", "spool": f"file://{tmp_path}"},
            "live": {"url": f"file://{tmp_path}/live"},
            "archive": {"secret_key": "x"},
        }
    )
    stores = Stores(settings, SimulatedClock(), get_logger())
    assert stores._frames is not None
    options = stores._frames.store._client._http.connection_pool_kw
    assert options["timeout"].read_timeout == FETCH_SECONDS
    assert options["retries"].total == 0
    stores.close()


def test_forgotten_output_is_looked_for_at_once_and_then_once_an_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[float] = []
    clock = SimulatedClock()
    monkeypatch.setattr(Forgotten, "clean", lambda _self: looks.append(clock.monotonic()))
    settings = Settings.model_validate({"live": {"url": f"file://{tmp_path}"}})
    stores = Stores(settings, clock, get_logger())
    for expected in (1, 2):
        for _ in range(3):
            stores.clean_in_time()
        eventually(lambda expected=expected: len(looks) == expected, 10)  # type: ignore[misc]
        clock.advance(EVERY_SECONDS)
    stores.close()
