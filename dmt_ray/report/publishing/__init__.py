"""What MLflow shows of sweeps, ablations and runs: makes publications of them, for `dmt_ray.tracking`."""

from collections.abc import Iterator
from pathlib import Path

from dmt_ray import tracking
from dmt_ray.execution.journal import is_running
from dmt_ray.experiments import experiment_file, locate
from dmt_ray.experiments.driver import State
from dmt_ray.experiments.trials import read_trials
from dmt_ray.plan.words import counted
from dmt_ray.report.publishing.ablations import of_ablation
from dmt_ray.report.publishing.members import evaluations_of, of_run
from dmt_ray.report.publishing.sweeps import of_sweep
from dmt_ray.store import Store
from dmt_ray.tracking import Publication

__all__ = ["everything", "of_ablation", "of_run", "of_sweep", "publish_all"]

EXPERIMENTS = ("sweep, ablation or run", "sweeps, ablations and runs")
SECONDS = 600.0  # to publish one, which may have hundreds of runs with figures


def publish_all(storage: Path, uri: str | None) -> tuple[str, ...]:
    """Publish all sweeps, ablations and runs in a storage folder; those still running elsewhere, as far as they are.

    Args:
        storage: The folder.
        uri: MLflow; None: in the storage folder.

    Returns:
        Names of those that MLflow still lacks.
    """
    tracker, publications = tracking.connect(uri, storage), list(everything(storage, Store(storage)))
    count = len(publications)
    for publication in publications:
        tracker.publish_soon(publication)
    left = tracker.close(timeout=SECONDS * (1 + count))
    print(f"{count - len(left):,} of {counted(count, *EXPERIMENTS)} published to {tracker.uri}")
    return left


def everything(storage: Path, store: Store) -> Iterator[Publication]:
    """All sweeps, ablations and runs in a storage folder, as far as they are, whichever process performs them."""
    for folder in locate.all_folders(storage):
        file = experiment_file.read(folder)
        if locate.is_ablation(folder):
            failed = experiment_file.read_failed(folder)
            lacking = store.missing(
                stage for wanted in file.ablation.members() for stage in evaluations_of([wanted.plan])
            )
            complete = all(stage.name in failed for stage in lacking)
            yield of_ablation(folder, file, store, _state(folder, complete), failed)
        else:
            trials = read_trials(folder, file.sweep.name)
            complete = sum(trial.state != "running" for trial in trials) >= file.trials
            yield of_sweep(folder, file, store, _state(folder, complete), trials)
    for run in experiment_file.saved_runs(storage):
        yield of_run(run, store)


def _state(folder: Path, complete: bool) -> State:
    return "running" if is_running(folder) else "finished" if complete else "stopped"
