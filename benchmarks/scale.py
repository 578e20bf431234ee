"""What the driver of a sweep would have to do with 1,000 trials on 256 GPUs: a simulation on paper, with its real code.

Virtual are the GPUs, the training and the time that passes on them. Real are the driver's parts: the study (Optuna on
sqlite, TPE and pruning), the store and every file in it, progress, what workers without a trial are given to do,
publishing into MLflow, summary and figures. The driver is one server with a queue: an event waits for the one before,
and takes as much processor time as the real code has just taken, whatever else this machine does. Stages are written
through the real store, with records, histories and scores as long as real ones; weights and label maps are a few bytes,
and so what hashing and moving them costs is not in the figures. Neither is Ray's own work.

    python benchmarks/scale.py                                  VOC 1/20, 1,000 trials, 256 GPUs, one GPU a trial
    python benchmarks/scale.py --recipe cityscapes-1/8 --workers 8
    python benchmarks/scale.py --recipe shapes --publish-every 1    every trial goes into MLflow when it ends
"""

import argparse
import io
import os
import resource
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
from rich.console import Console
from scale_paper import OnPaper, Timer
from scale_sweep import Simulation

from dmt_ray.cli import sweep_cost
from dmt_ray.cli.options import guarded
from dmt_ray.config import Config
from dmt_ray.errors import ConfigError
from dmt_ray.execution import progress
from dmt_ray.execution.journal import locked
from dmt_ray.execution.options import check_workers
from dmt_ray.execution.runner import Machine
from dmt_ray.experiments.sweep import Sweep, Uniform
from dmt_ray.recipes import load

SPACE = {"weight.gamma1": Uniform(0, 8, step=0.25), "weight.gamma2": Uniform(0, 8, step=0.25)}


def main() -> int | None:
    """Simulate one sweep and print the figures."""
    chosen = parser().parse_args()
    with tempfile.TemporaryDirectory(prefix="dmt-scale-") as staging:
        storage = (chosen.storage or Path(staging)).absolute()
        show(simulate(chosen, storage), storage)
    return None


def parser() -> argparse.ArgumentParser:
    """The command line."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--recipe", default="voc-1/20")
    options.add_argument("--trials", type=int, default=1000)
    options.add_argument("--gpus", type=int, default=256)
    options.add_argument("--workers", type=int, default=1, help="GPUs of a trial, each with a worker (default: 1)")
    options.add_argument(
        "--shared-workers", type=int, default=1, help="GPUs for the stages that all trials share (default: 1 each)"
    )
    options.add_argument(
        "--step-seconds", type=float, default=0.1, help="optimizer step of one model on one GPU; 0.1 is an assumption"
    )
    options.add_argument(
        "--image-seconds", type=float, default=0.02, help="image that is labelled or scored; 0.02 is an assumption"
    )
    options.add_argument(
        "--scaling", type=float, default=0.8, help="what each further GPU of a model adds; 0.8 is an assumption"
    )
    options.add_argument("--failures", type=float, default=0, help="failures per 1,000 GPU hours (default: 0)")
    options.add_argument("--grid", type=int, default=0, help="in place of a search, as many values per exponent")
    options.add_argument(
        "--publish-every", type=int, default=0, help="ends of trials from one publication to the next (0: no MLflow)"
    )
    options.add_argument("--tick-every", type=int, default=10, help="events from one measured tick to the next")
    options.add_argument("--terminal", action="store_true", help="draw the screen, as on a terminal of 50 lines")
    options.add_argument("--no-dry-run", dest="dry_run", action="store_false", help="leave the dry runs out")
    options.add_argument("--storage", type=Path, help="a new folder for the store (default: a temporary one)")
    return options


def check(options: argparse.Namespace) -> None:
    """Raise ConfigError for options that no sweep can have."""
    for name in ("trials", "gpus"):
        if getattr(options, name) < 1:
            raise ConfigError(f"--{name} must be 1 or more, but got {getattr(options, name)}")
    for name in ("workers", "shared_workers"):
        option, workers = f"--{name.replace('_', '-')}", getattr(options, name)
        check_workers(option, workers)
        if workers > options.gpus:
            raise ConfigError(f"{option} is {workers}, but --gpus is {options.gpus}")


def simulate(options: argparse.Namespace, storage: Path) -> Simulation:
    """Plan, dry-run and perform a sweep; its figures are in the result.

    Raises:
        ConfigError: If there can be no such sweep.
    """
    check(options)
    runner = OnPaper(Machine(storage, device="cpu"))
    timer, nowhere = Timer(), Console(file=io.StringIO())
    with timer.of("bind the recipe"):
        config = runner.bind(load(options.recipe))
    sweep = _sweep(config, options.grid)
    options.trials = min(options.trials, len(sweep.points())) if options.grid else options.trials
    if options.dry_run:
        with timer.of("dry run, nothing there"):
            sweep_cost.describe(nowhere, sweep, runner.store, runner.work_of, options.trials)
    folder = storage / "sweeps" / sweep.name
    with locked(folder):
        simulation = Simulation(options, storage, runner, sweep)
        simulation.timer.spent |= timer.spent
        simulation.timer.cpu |= timer.cpu
        with mock.patch.object(progress, "time", simulation.clock):
            simulation.run()
            simulation.end_of_sweep()
    return simulation


def _sweep(config: Config, grid: int) -> Sweep:
    paper = [{name: gamma for name in SPACE} for gamma in (5.0, 3.0)]
    return Sweep("gamma_sweep", "Which exponents?", config, "dmt", SPACE, (0,), tuple(paper), grid)


def show(simulation: Simulation, storage: Path) -> None:
    """Print the figures."""
    options, timer = simulation.options, simulation.timer
    states = [trial.state for trial in simulation.study.trials()]
    gpus, makespan, cluster = options.gpus, simulation.makespan, simulation.cluster
    # On a busy machine the clock says how busy it is; the makespan is made of CPU time, too.
    events = sum(sum(seconds) for what, seconds in timer.cpu.items() if _is_event(what))
    tick = float(np.mean(timer.cpu.get("tick", [0.0])))
    longest = simulation.shared + cluster.longest_path()
    behind = simulation.shared + (cluster.busy - cluster.shared_work) / gpus
    print(f"\n{timer.table()}\n")
    print(f"trials: {', '.join(f'{states.count(state)} {state}' for state in sorted(set(states)))}")
    print(
        f"makespan {makespan / 3600:.2f} h; utilisation {cluster.busy / gpus / makespan:.1%}\n"
        f"lower bounds: all work on all GPUs {cluster.busy / gpus / 3600:.2f} h, longest path {longest / 3600:.2f} h; "
        f"the shared stages ({simulation.shared / 3600:.2f} h), then all other work on all GPUs {behind / 3600:.2f} h, "
        f"{behind / makespan:.1%} of the makespan\n"
        f"parts of trials given away: {simulation.given:,}; times that a trial made room: {simulation.pauses:,}"
    )
    phases = {
        "the shared stages": (0.0, simulation.shared),
        "until the last trial begins": (simulation.shared, simulation.all_begun),
        "the end": (simulation.all_begun, makespan),
    }
    points = len({tuple(trial.params.values()) for trial in simulation.study.trials()})
    print(f"distinct points: {points:,}; of all GPU time\n\n{cluster.timeline.table(gpus, phases)}\n")
    print(
        f"driver: {events:.0f} s on events, {1000 * events / len(states):.0f} ms a trial, {events / makespan:.2%} "
        f"of the makespan; a tick a second adds {tick:.1%}; "
        f"an event waited {np.mean(simulation.waits):.2f} s on average, {max(simulation.waits):.1f} s at most"
    )
    published = timer.cpu.get("publish (second thread)", [])
    calls = {what: seconds for what, seconds in timer.cpu.items() if what.startswith("MLflow ")}
    if published:
        print(
            f"publisher: {sum(published):.0f} s, {sum(published) / makespan:.2%} of the makespan; "
            f"{sum(map(len, calls.values())):,} calls of MLflow, {sum(map(sum, calls.values())):.0f} s"
        )
    files, folders, size = _inodes(storage)
    print(
        f"store: {simulation.stages:,} stages; {files + folders:,} inodes, {files:,} of them files, {size / 1e6:.0f} MB"
    )
    for name in (simulation.folder / "study.db", storage / "mlflow.db"):
        if name.exists():
            print(f"{name.name}: {name.stat().st_size / 1e6:.1f} MB")
    print(f"memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB at most")


def _is_event(what: str) -> bool:
    return not what.startswith(("MLflow", "tick", "publish", "end:", "store:", "dry run", "open", "bind"))


def _inodes(folder: Path) -> tuple[int, int, int]:
    files = folders = size = 0
    for stage_path, _, names in os.walk(folder):
        folders += 1
        files += len(names)
        size += sum(os.lstat(os.path.join(stage_path, name)).st_size for name in names)
    return files, folders, size


if __name__ == "__main__":
    raise SystemExit(guarded(main))
