"""What MLflow is told of a sweep, while it runs or later."""

from pathlib import Path
from typing import TYPE_CHECKING

from dmt_ray.search import summary, sweep_file
from dmt_ray.search.study import read_trials
from dmt_ray.search.sweep_file import SweepFile
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
    from dmt_ray.tracking import About, SweepResults

    trials = read_trials(folder, file.sweep.name)
    known = [trial for trial in trials if trial.params.keys() == file.sweep.space.keys()]
    return SweepResults(
        store=store,
        sweep=file.sweep,
        trials=tuple(trials),
        about=About.from_json(file.about),
        replay={trial.number: file.replay.command(file.sweep, trial) for trial in known},
        result=summary.markdown(file.sweep, store, trials, file.replay),
        state=state,
    )


def publish_all(storage: Path, uri: str | None) -> tuple[str, ...]:
    """Publish every sweep and run in a storage folder; what another process runs is published as far as it is.

    Returns:
        Names of the sweeps and runs that MLflow still lacks.
    """
    from dmt_ray import tracking
    from dmt_ray.search.study import is_running

    store, tracker = Store(storage), tracking.connect(uri, storage)
    folders = sorted(path.parent for path in (storage / "sweeps").glob(f"*/{sweep_file.NAME}"))
    for folder in folders:
        file = sweep_file.read(folder)
        done = len([trial for trial in read_trials(folder, file.sweep.name) if trial.state != "running"])
        state: SweepState = "running" if is_running(folder) else "finished" if done >= file.trials else "stopped"
        tracker.publish_soon(results(folder, file, store, state))
    runs = list(tracking.kept(storage, store))
    for run in runs:
        tracker.publish_soon(run)
    left = tracker.close(timeout=600)
    wanted = len(folders) + len(runs)
    print(f"{wanted - len(left)} of {wanted} sweeps and runs are published to {tracker.uri}")
    return left
