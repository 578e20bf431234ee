"""One background thread that publishes, so that training never waits for MLflow."""

import logging
import os
import threading
import time
from pathlib import Path

from dmt_ray.errors import UserError, without_password
from dmt_ray.files import sqlite_url
from dmt_ray.tracking.connection import ARTIFACTS, DATABASE, LIMITS, Mirror, check_uri, explain
from dmt_ray.tracking.publication import Publication
from dmt_ray.tracking.publish import publish

log = logging.getLogger(__name__)

VARIABLE = "MLFLOW_TRACKING_URI"  # read by MLflow itself as well
PAUSE = 60.0  # seconds without a further attempt after a failed one


class Tracker:
    """Publishes in the background. Make one with `connect`, in the driver, and close it at the end."""

    def __init__(self, mirror: Mirror) -> None:
        self.mirror = mirror
        self._waiting: dict[str, Publication] = {}
        self._given_up: set[str] = set()  # what failed after `close`: each has one last attempt
        self._busy: str | None = None
        self._not_before = 0.0
        self._down = False
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, daemon=True, name="mlflow")
        self._thread.start()

    @property
    def uri(self) -> str:
        """The tracking URI, without a password."""
        return self.mirror.public_uri

    def publish_soon(self, publication: Publication) -> None:
        """Queue a publication and return at once. It replaces an older one of the same name that still waits."""
        with self._changed:
            self._waiting[publication.name] = publication
            self._changed.notify_all()

    def close(self, timeout: float = 60.0) -> tuple[str, ...]:
        """Publish what waits, for `timeout` seconds at most, and warn of what is still unpublished.

        Returns:
            Names of the publications of which MLflow lacks something.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout)
        with self._changed:
            left = tuple(dict.fromkeys([*([self._busy] if self._busy else []), *self._waiting]))
        if left:
            text = "MLflow at %s still lacks %s; publish it with `dmt publish --tracking-uri %s`."
            log.warning(text, self.uri, ", ".join(left), self.uri)
        return left

    def failed(self, error: BaseException) -> None:
        """Warn once that MLflow cannot be used, and leave it alone for a while."""
        with self._changed:
            self._not_before = time.monotonic() + PAUSE
            if not self._down:
                log.warning(
                    "MLflow at %s cannot be used now (%s); work continues, and the results are published later, "
                    "at the latest with `dmt publish --tracking-uri %s`.",
                    *(self.uri, explain(error), self.uri),
                )
            self._down = True

    def _work(self) -> None:
        while (publication := self._next()) is not None:
            try:
                self.mirror.open()
                publish(self.mirror, publication)
                with self._changed:
                    self._down = False
            except Exception as error:  # nothing that MLflow does may end the training
                self.failed(error)
                self.mirror.known.clear()  # which may be why
                log.debug("publishing %s failed", publication.name, exc_info=True)
                with self._changed:
                    self._waiting.setdefault(publication.name, publication)
                    if self._closing:
                        self._given_up.add(publication.name)
            finally:
                with self._changed:
                    self._busy = None

    def _next(self) -> Publication | None:
        with self._changed:
            while True:
                pause = self._not_before - time.monotonic()
                due = [name for name in self._waiting if name not in self._given_up]
                if due and (pause <= 0 or self._closing):
                    self._busy = due[0]
                    return self._waiting.pop(due[0])
                if self._closing:
                    return None
                self._changed.wait(max(pause, 0.0) if self._waiting else None)


def mirror_of(uri: str | None, storage: Path) -> Mirror:
    """MLflow at an address, not opened yet; see `connect`.

    Raises:
        UserError: If MLflow cannot use this URI.
    """
    folder = storage.absolute()
    if uri is None and (uri := os.environ.get(VARIABLE) or None) is not None:
        log.warning("results go to MLflow at %s, as the variable %s says", without_password(uri), VARIABLE)
    if uri is None:
        folder.mkdir(parents=True, exist_ok=True)
        uri = sqlite_url(folder / DATABASE)
    else:
        check_uri(uri)
    for name, value in LIMITS.items():
        os.environ.setdefault(name, value)
    return Mirror(uri, folder / ARTIFACTS)


def connect(uri: str | None, storage: Path) -> Tracker:
    """Open MLflow, create its database and experiment where they do not exist, and start publishing on one thread.

    A server that does not answer causes one warning and no delay: what it missed is published when it answers.

    Args:
        uri: An MLflow tracking URI; None: that of the variable MLFLOW_TRACKING_URI, else ``mlflow.db`` and
            ``mlruns-artifacts/`` in the storage folder.
        storage: Folder of the store.

    Raises:
        UserError: If MLflow cannot use this URI.
    """
    mirror = mirror_of(uri, storage)
    tracker = Tracker(mirror)
    try:
        mirror.open()
    except UserError:
        tracker.close(0)
        raise
    except ImportError as error:
        raise UserError(f"MLflow cannot use {mirror.public_uri}: {error}. Install that package.") from None
    except Exception as error:  # every server, driver and proxy has errors of its own
        tracker.failed(error)
    return tracker
