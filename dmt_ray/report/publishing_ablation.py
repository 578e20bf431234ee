"""What MLflow is told of ablations later, and of all else in a storage folder."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dmt_ray.execution.journal import is_running
from dmt_ray.experiments import ablation_file
from dmt_ray.report import publishing_sweep as sweeps
from dmt_ray.store import Store

if TYPE_CHECKING:
    from dmt_ray.tracking import AblationResults
    from dmt_ray.tracking.results import SweepState

SECONDS = 600.0  # to publish one, which may have hundreds of runs with figures

Table = Callable[[Path, Store], str]


def results(folder: Path, store: Store, table: Table | None) -> "AblationResults":
    """An ablation as it is now, whoever performs it.

    Args:
        folder: The ablation's folder.
        store: Where its stages are.
        table: Makes its table in Markdown.

    Raises:
        StoreError: If the folder holds no ablation.
    """
    from dmt_ray.tracking import AblationResults

    file, failed = ablation_file.read(folder), ablation_file.read_failed(folder)
    wanted = [stage for one in file.ablation.wanted() for rung in one.plan.rungs for stage in rung.values()]
    lacking = [stage for stage in store.missing(wanted) if stage.name not in failed]
    state: SweepState = "running" if is_running(folder) else "stopped" if lacking else "finished"
    return AblationResults(store, file, failed, None if table is None else partial(table, folder, store), state)


def publish_all(storage: Path, uri: str | None, table: Table | None = None) -> tuple[str, ...]:
    """Publish all sweeps, ablations and runs in a storage folder; what another process runs, as far as it is.

    Args:
        storage: The folder.
        uri: MLflow; None: in the storage folder.
        table: Makes the table of an ablation in Markdown, given its folder and the store.

    Returns:
        Names of those that MLflow still lacks.
    """
    from dmt_ray import tracking

    store, tracker = Store(storage), tracking.connect(uri, storage)
    found: list[tracking.Results] = [*sweeps.all_results(storage, store)]
    found += [
        results(file.parent, store, table)
        for file in sorted((storage / ablation_file.FOLDER).glob(f"*/{ablation_file.NAME}"))
    ]
    found += tracking.kept(storage, store)
    for one in found:
        tracker.publish_soon(one)
    left = tracker.close(timeout=SECONDS * (1 + len(found)))
    print(f"{len(found) - len(left)} of {len(found)} sweeps, ablations and runs are published to {tracker.uri}")
    return left
