from collections.abc import Iterator
from pathlib import Path

import pytest

from dmt_ray.store import Store
from dmt_ray.tracking import Mirror, connect


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirror]:
    """A new MLflow in a SQLite database, for all tests of a file."""
    tracker = connect(None, tmp_path_factory.mktemp("runs"))
    yield tracker.mirror
    assert tracker.close() == ()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "runs")
