from collections.abc import Iterator
from pathlib import Path

import pytest

from bandit_router.store import EventStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
def store(path: Path) -> Iterator[EventStore]:
    with EventStore.open(path) as opened:
        yield opened
