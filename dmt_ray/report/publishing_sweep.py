"""What MLflow is told of a sweep, while it runs or later."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from dmt_ray.experiments import sweep_file
from dmt_ray.experiments.sweep_file import SweepFile
from dmt_ray.experiments.trials import read_trials
from dmt_ray.report import confirmation, summary
from dmt_ray.store import Store

if TYPE_CHECKING:
    from dmt_ray.tracking import SweepResults
    from dmt_ray.tracking.results import SweepState


def results(folder: Path, file: SweepFile, store: Store, state: "SweepState") -> "SweepResults":
    """A sweep as it is now.

    Args:
        folder: The sweep's folder.
        file: What its sweep.json says.
        store: Where its stages are.
        state: "running" if the caller performs its trials now.
    """
    from dmt_ray.experiments.dataset_info import DatasetInfo
    from dmt_ray.tracking import SweepResults

    trials = read_trials(folder, file.sweep.name)
    result = summary.markdown(file.sweep, store, trials, file.replay)
    if result and (confirmed := confirmation.markdown(folder)):
        result = f"{result}\n\n{confirmed}"
    known = [trial for trial in trials if trial.params.keys() == file.sweep.space.keys()]
    return SweepResults(
        store=store,
        sweep=file.sweep,
        trials=tuple(trials),
        dataset_info=DatasetInfo.from_json(file.dataset_info),
        replay={trial.number: file.replay.command(file.sweep, trial) for trial in known},
        result=result,
        state=state,
    )


def all_results(storage: Path, store: Store) -> "Iterator[SweepResults]":
    """Every sweep in a storage folder, as far as it is, whoever performs it."""
    from dmt_ray.search.study import is_running

    for path in sorted((storage / "sweeps").glob(f"*/{sweep_file.NAME}")):
        folder, file = path.parent, sweep_file.read(path.parent)
        done = len([trial for trial in read_trials(folder, file.sweep.name) if trial.state != "running"])
        state: SweepState = "running" if is_running(folder) else "finished" if done >= file.trials else "stopped"
        yield results(folder, file, store, state)
