"""Parts that several integration tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.config import ArchiveSettings
from tests.services import BrokerService, StoreService
from tests.videos import Videos
from tests.viewer_bucket import House, house


@pytest.fixture(scope="module")
def viewed(
    tmp_path_factory: pytest.TempPathFactory,
    broker: BrokerService,
    store_service: StoreService,
    videos: Videos,
) -> Iterator[House]:
    """For tests that leave it as it is."""
    with (
        broker.virtual_host() as url,
        store_service.bucket() as archive,
        house(tmp_path_factory.mktemp("house"), url, archive, videos(".mp4", seconds=9)) as made,
    ):
        yield made


@pytest.fixture
def own_viewed(
    tmp_path: Path, broker_url: str, archive_settings: ArchiveSettings, videos: Videos
) -> Iterator[House]:
    with house(tmp_path, broker_url, archive_settings, videos(".mp4", seconds=9)) as made:
        yield made
