"""What the drivers of runs, sweeps and ablations share: hold the lock, connect to Ray, publish, and tidy up."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from dmt_ray.execution import cluster, journal
from dmt_ray.execution.options import Options
from dmt_ray.execution.worker import Job
from dmt_ray.experiments.experiment_file import ExperimentFile, write
from dmt_ray.store import Store

State = Literal["running", "finished", "stopped"]
"""Of an experiment: a process is at it, it came to its end, or neither."""

COMPLETE = "Everything is computed and kept; `dmt publish` publishes what MLflow may lack."
"""What an interruption says that comes after the work."""

CLOSE_SECONDS = {"finished": 600.0, "stopped": 60.0}  # for the last publication: figures of many runs take minutes


class Publisher(Protocol):
    """Where results are published to (`tracking.Tracker`)."""

    @property
    def uri(self) -> str:
        """Its address, without a password."""

    def publish_soon(self, publication: Any) -> None:
        """Queue a publication and return at once."""

    def close(self, timeout: float = 60.0) -> tuple[str, ...]:
        """Publish what is queued, and return the names of what is still unpublished."""


@dataclass
class Session:
    """An experiment that this process runs; from `register` on it is in the storage folder, and is published."""

    publisher: Publisher
    publication: Callable[[State], Any]  # makes what is published of it in a state
    registered: bool = False
    state: State = "stopped"  # how it ends, set by the driver
    unpublished: tuple[str, ...] = ()  # what MLflow still lacks at the end

    def register(self, file: ExperimentFile) -> None:
        """Write down what the experiment is, once nothing stands in its way any more; or that it has grown."""
        write(file.folder, file)
        self.registered = True

    def publish(self, state: State = "running") -> None:
        """Have the experiment published as it is now."""
        self.publisher.publish_soon(self.publication(state))


@contextmanager
def session(connect: Callable[[], Publisher], publication: Callable[[State], Any]) -> Iterator[Session]:
    """Run an experiment whose lock this process holds; it is published at the end, however it ends.

    One that was not registered, such as where a cluster has no room for it, is neither listed nor published.
    """
    one = Session(connect(), publication)
    try:
        yield one
    finally:
        if one.registered:
            one.publish(one.state)
        try:
            one.unpublished = one.publisher.close(CLOSE_SECONDS[one.state])
        except KeyboardInterrupt:
            if one.state == "finished":
                raise KeyboardInterrupt(COMPLETE) from None
            raise


@contextmanager
def on_ray(options: Options, store: Store, folder: Path) -> Iterator[tuple[Job, int]]:
    """Ray for the duration of the block: what every worker has to know, and how many units fit at once.

    The folder is that of the experiment, which is registered in the block: before, a cluster may turn out to have no
    room, or to lack data.

    At the end nothing is left behind: notes of who does what, leases, files of ended processes; what is still to be
    uploaded to a shared store goes there.
    """
    options.check_room()
    cluster.connect(options.address, cpus=options.local_cpus())
    try:
        machine, group, room = options.allocate()
        yield Job(machine, folder, group), room
    finally:
        cluster.disconnect()
        journal.end_all(folder)
        store.tidy()
        store.upload()
