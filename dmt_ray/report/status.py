"""The state of an experiment by its records: what is done, missing or failed, the best so far, and how to resume it."""

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from dmt_ray.errors import MissingStages
from dmt_ray.execution.journal import is_running
from dmt_ray.experiments import experiment_file
from dmt_ray.experiments.ablation import Ablation
from dmt_ray.experiments.experiment_file import FOLDERS, ExperimentFile, Kind, read_failed, saved_runs
from dmt_ray.experiments.locate import all_folders, locate, what_to_do
from dmt_ray.experiments.reproduce import again
from dmt_ray.experiments.run import Run
from dmt_ray.experiments.sweep import Sweep, Trial, in_words
from dmt_ray.experiments.trials import best, gaps_in_words, read_gaps, read_trials, states_of
from dmt_ray.plan import Stage, in_order
from dmt_ray.plan.measures import MEASURES, measure_of
from dmt_ray.plan.words import counted
from dmt_ray.results.scores import rung_score
from dmt_ray.store import Store

State = Literal["running", "complete", "failed", "incomplete"]


@dataclass(frozen=True)
class Best:
    """The highest score on the validation images so far."""

    what: str  # "trial 3: gamma1=5 gamma2=2.5", or the row of an ablation
    measure: str  # "mIoU" or "accuracy"
    score: float  # in [0, 1], on the validation images, after the last rung; a mean over the seeds that are done


@dataclass(frozen=True)
class Status:
    """The state of an experiment.

    Attributes:
        name: Its full name.
        kind: Which of the three kinds it is.
        question: The script's name; for a run, its method.
        state: "running": a process is at it; "complete": nothing is missing; "failed": something is missing because
            it failed; "incomplete": what is missing has not been tried, or was interrupted.
        members: State -> how many trials of a sweep, runs of an ablation, or the run itself. "missing" are trials that
            have not begun, and runs that lack stages.
        stages: "stored" and "missing" -> how many; of a sweep those of the trials that have begun, of
            pruned ones up to where they were.
        begun: How many members these are the stages of.
        best: None as long as nothing is complete. Oracles, which see all labels, are not ranked.
        failed: What failed, and why.
        command: The `dmt` command that resumes it; all paths are absolute.
        folder: Where its records are.
        gaps: Of a sweep: which numbers no trial has, and why; "": each number has its trial.
    """

    name: str
    kind: Kind
    question: str
    state: State
    members: Mapping[str, int]
    stages: Mapping[str, int]
    begun: int
    best: Best | None
    failed: tuple[str, ...]
    command: str
    folder: Path
    gaps: str = ""

    def counts(self) -> str:
        """How many of all trials or runs are complete, and in which state the others are, for people."""
        noun, lacking = ("trial", "not begun") if self.kind == "sweep" else ("run", "incomplete")
        others = [(lacking if state == "missing" else state, count) for state, count in self.members.items()]
        listed = "".join(f", {count:,} {state}" for state, count in others if state != "complete")
        return f"{self.members.get('complete', 0):,} of {counted(sum(self.members.values()), noun)} complete{listed}"


def status_of(folder: Path) -> Status:
    """The state of the sweep, ablation or run in a folder."""
    file = replace(experiment_file.read(folder), storage=folder.parents[1])  # which may have moved
    return _of_sweep(folder, file) if file.kind == "sweep" else _of_plans(folder, file)


def all_statuses(storage: Path) -> Iterator[Status]:
    """The state of every experiment in a storage folder: sweeps and ablations by name, then runs."""
    yield from map(status_of, all_folders(storage))
    for file in _runs(storage).values():
        yield _of_plans(file.folder, file)


def find(storage: Path, name: str) -> Status:
    """The state of the sweep, ablation or run of this name, or in this folder; `name` as `locate` takes it.

    Raises:
        MissingStages: If there is none.
    """
    if experiment_file.kind_of(Path(name)) is not None:
        return status_of(Path(name).absolute())
    runs = _runs(storage)
    fitting = [one for one in runs if one.startswith(name)]
    try:
        return status_of(locate(storage, name))
    except MissingStages:
        if fitting:
            file = runs[name if name in runs else fitting[-1]]
            return _of_plans(file.folder, file)
        known = [*(folder.name for folder in all_folders(storage)), *runs]
        raise MissingStages(what_to_do(storage, name, known, tuple(FOLDERS))) from None


def _runs(storage: Path) -> dict[str, ExperimentFile]:
    return {file.experiment.name: replace(file, storage=storage.absolute()) for file in saved_runs(storage)}


def _of_sweep(folder: Path, file: ExperimentFile) -> Status:
    sweep, store = file.sweep, Store(folder.parents[1])
    trials = read_trials(folder, sweep.name)
    members, running = states_of(folder, trials), is_running(folder)
    if file.trials > len(trials):
        members["missing"] = file.trials - len(trials)
    winner = best(trials)
    begun = [trial for trial in trials if trial.params.keys() == sweep.space.keys()]
    stages = {stage for trial in begun for stage in _needed(sweep, trial)}
    failed = tuple(
        f"trial {trial.number} ({in_words(trial.params)}): {trial.error}" for trial in trials if trial.state == "failed"
    )
    missing = members["missing"] + members["interrupted"]
    return Status(
        name=sweep.name,
        kind="sweep",
        question=sweep.question,
        state=_state(running, bool(failed), bool(missing)),
        members=dict(members),
        stages=_count(store, stages),
        begun=len(begun),
        best=None
        if winner is None or winner.score is None
        else Best(f"trial {winner.number}: {in_words(winner.params)}", sweep.score_name, winner.score),
        failed=failed,
        command=again(file),
        folder=folder,
        gaps=gaps_in_words(read_gaps(folder, sweep.name)),
    )


def _needed(sweep: Sweep, trial: Trial) -> list[Stage]:
    """The stages of a trial; of one that was pruned, those up to where it was."""
    return in_order(sweep.targets(trial.params, len(trial.scores) if trial.state == "pruned" else None))


def _of_plans(folder: Path, file: ExperimentFile) -> Status:
    """Of an ablation or a run, whose plans are known."""
    experiment, store, reasons = file.experiment, Store(file.storage), read_failed(folder)
    assert isinstance(experiment, Ablation | Run)
    if isinstance(experiment, Ablation):
        single, all_members = len(experiment.columns) == 1, list(experiment.members())
        names = [one.cell.row if single else f"{one.cell.row}, {one.cell.column}" for one in all_members]
        plans = [(name, one.plan) for name, one in zip(names, all_members, strict=True)]
        oracles = {name for name, one in zip(names, all_members, strict=True) if one.cell.method == "oracle"}
        config, question = experiment.cells[0].config, experiment.question
    else:
        plans, config, question = [(experiment.method, experiment.plan())], experiment.config, experiment.method
        oracles = set()
    members, scores, failed = Counter[str](), dict[str, list[float]](), dict[str, str]()
    for name, plan in plans:
        lacking = store.missing(plan.targets())
        lost = {stage.name: reasons[stage.name] for stage in lacking if stage.name in reasons}
        members["failed" if lost else "missing" if lacking else "complete"] += 1
        failed |= lost
        if not lacking:
            scores.setdefault(name, []).append(rung_score(store, plan.rungs[-1]))
    means = {name: statistics.fmean(values) for name, values in scores.items()}
    winner = max((name for name in means if name not in oracles), key=means.__getitem__, default=None)
    return Status(
        name=experiment.name,
        kind=file.kind,
        question=question,
        state=_state(folder.is_dir() and is_running(folder), bool(failed), bool(members["missing"])),
        members={state: count for state, count in members.items() if count},
        stages=_count(store, {stage for _, plan in plans for stage in plan.stages()}),
        begun=len(plans),
        best=None if winner is None else Best(winner, MEASURES[measure_of(config.data)], means[winner]),
        failed=tuple(f"{stage}: {reason}" for stage, reason in failed.items()),
        command=again(file),
        folder=folder,
    )


def _state(running: bool, failed: bool, missing: bool) -> State:
    return "running" if running else "failed" if failed else "incomplete" if missing else "complete"


def _count(store: Store, stages: Iterable[Stage]) -> dict[str, int]:
    stored = Counter(map(store.has, stages))
    return {"stored": stored[True], "missing": stored[False]}
