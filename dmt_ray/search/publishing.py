"""Brings sweeps into MLflow: in the background while they run, or later all at once."""

import logging
import threading
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from dmt_ray.search import sweep_file
from dmt_ray.search.study import read_trials
from dmt_ray.search.sweep import Sweep
from dmt_ray.store import Store

if TYPE_CHECKING:
    from dmt_ray.tracking import Tracker

log = logging.getLogger(__name__)


class Publisher:
    """Publishes a sweep from a thread of its own, so that trials never wait for MLflow; use it as a context.

    MLflow is a mirror: what goes wrong there is said, and the sweep goes on. `dmt publish` makes up for it.

    Args:
        uri: MLflow's tracking URI; None: mlflow.db in the storage folder.
        storage: The storage folder.
        sweep: What is published.
        folder: The sweep's folder.
    """

    def __init__(self, uri: str | None, storage: Path, sweep: Sweep, folder: Path) -> None:
        self._uri = uri
        self._storage = storage
        self._sweep = sweep
        self._folder = folder
        self._wanted = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._publish_all_along, name="publisher", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        self._wanted.set()
        self._thread.join()

    def soon(self) -> None:
        """Something is worth publishing."""
        self._wanted.set()

    def _publish_all_along(self) -> None:
        tracker: Tracker | None = None
        closing = False
        while not closing:
            self._wanted.wait()
            self._wanted.clear()
            closing = self._closing
            try:
                if tracker is None:
                    from dmt_ray import tracking

                    tracker = tracking.connect(self._uri, self._storage)
                publish(tracker, self._sweep, self._folder, Store(self._storage))
            except Exception as error:
                log.warning("could not publish to MLflow: %s; `dmt publish` tries again", " ".join(str(error).split()))
        if tracker is not None:
            tracker.close()


def publish(tracker: "Tracker", sweep: Sweep, folder: Path, store: Store) -> None:
    """Publish a sweep as it is now; doing it twice changes nothing."""
    tracker.publish_sweep(sweep, read_trials(folder, sweep.name), store, folder)


def publish_all(storage: Path, uri: str | None) -> None:
    """Publish every sweep in a storage folder."""
    from dmt_ray import tracking

    tracker = tracking.connect(uri, storage)
    folders = sorted(file.parent for file in (storage / "sweeps").glob(f"*/{sweep_file.NAME}"))
    for folder in folders:
        publish(tracker, sweep_file.read(folder), folder, Store(storage))
        print(f"published {folder.name}")
    tracker.close()
