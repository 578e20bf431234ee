"""What a sweep's workers do: perform stages that all trials share, and trials, step by step."""

import functools
import json
import os
import platform
import statistics
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmt_ray.errors import Interrupted, TrainingFailed, UserError
from dmt_ray.execution import journal
from dmt_ray.execution.journal import Doing, note_executed
from dmt_ray.experiments.sweep import Scored, Sweep
from dmt_ray.plan import Stage

if TYPE_CHECKING:
    from dmt_ray.execution.runner import Machine, Runner
    from dmt_ray.execution.worker_group import GroupRunner, WorkerGroup
    from dmt_ray.store import Store

SHARED = "shared"
TERMINATED = 143  # exit status of a process that SIGTERM has ended


@dataclass(frozen=True)
class Job:
    """What every worker has to know.

    Attributes:
        machine: Where data and store are, as the workers see them.
        folder: The folder of the sweep or the ablation.
        worker group: The workers that perform something together.
    """

    machine: "Machine"
    folder: Path
    worker_group: "WorkerGroup"


@dataclass(frozen=True)
class Work(Job):
    """What a sweep's workers have to know: its trials, too."""

    sweep: Sweep


def perform_trial(config: dict[str, Any], work: Work) -> None:
    """Perform a trial's plans step by step (`Sweep.steps`); Tune may stop it only where it reports a step.

    Reports {"step", "score", "executed"} after every step, or {"error", "traceback", "doing", "node", "executed"} when
    a stage fails or a model collapses: the trial is over then. Lists and records go as JSON: Tune would take them
    apart.

    Args:
        config: {"number": the trial's number, "params": what is searched -> value}.
        work: The sweep it belongs to.
    """
    from ray import tune

    from dmt_ray.execution.worker_group import side_of_error
    from dmt_ray.results.scores import rung_score

    number = config["number"]
    executed: list[str] = []
    try:
        store = work.machine.open_store()
        for step, groups in enumerate(work.sweep.steps(config["params"])):
            for group in groups:
                targets = [stage for plan, rung in group for stage in plan.rungs[rung].values()]
                executed += _perform(work, number, targets, group[0][1])
                _check(store, work, number, group)
            score = statistics.fmean(rung_score(store, plan.rungs[rung]) for plan, rung in groups[-1])
            tune.report({"step": step, "score": score, "executed": json.dumps(executed)})
    except (
        Interrupted
    ):  # its worker was told to end: Tune gives the trial to another one, and the note says what it did
        os._exit(TERMINATED)
    except Exception as error:  # a broken trial must not end the others, nor cost its worker process
        doing = journal.noted(work.folder, number, side_of_error(error))
        tune.report(
            {
                "error": explain(error),
                "traceback": traceback.format_exc(),
                "doing": json.dumps(None if doing is None else asdict(doing)),
                "node": platform.node(),
                "executed": json.dumps(executed),
            }
        )
    finally:
        journal.forget(work.folder, number)


def perform_shared(stages: Sequence[Stage], work: Job) -> list[str]:
    """Perform stages that all trials share; the keys of what was computed for them.

    If it fails, its note stays: it tells the driver what failed where.
    """
    try:
        executed = _perform(work, stages[0].name, stages, None)
    except Interrupted:
        os._exit(TERMINATED)
    journal.forget(work.folder, stages[0].name)
    return executed


def _perform(work: Job, who: int | str, targets: Iterable[Stage], rung: int | None) -> list[str]:
    executed = []

    def done(stage: Stage) -> None:
        # At once, before a kill can strike.
        note_executed(work.folder, SHARED if rung is None else who, [stage.key])
        executed.append(stage.key)

    def lost(side: int, said: str) -> None:
        doing = journal.noted(work.folder, who, side)
        journal.write(work.folder, who, "lost", journal.why_lost(work.machine.store, doing, said), doing)

    begun = functools.partial(_begun, work.folder, who, rung)
    if work.worker_group.workers > 1:
        _group_runner(work.machine, work.worker_group).perform(targets, begun, done, lost)
    else:
        _runner(work.machine, work.worker_group.gpus).perform(targets, begun, done)
    return executed


def _begun(folder: Path, who: int | str, rung: int | None, stage: Stage, side: int = 0) -> None:
    journal.note(folder, who, Doing.of(stage, rung), side)


def _check(store: "Store", work: Work, number: int, group: Iterable[Scored]) -> None:
    """Refuse to go on with a model that its pseudo labels have ruined."""
    from dmt_ray.results.scores import collapsed

    for plan, rung in group:
        for side, sentence in collapsed(store, plan, rung).items():
            journal.note(work.folder, number, Doing.of(plan.rungs[rung][side], rung))
            raise TrainingFailed(sentence)


@functools.cache
def _runner(machine: "Machine", gpus: float) -> "Runner":
    from dmt_ray.execution.runner import Runner
    from dmt_ray.execution.worker_group import limit_memory

    limit_memory(gpus)
    return Runner(machine)


@functools.cache
def _group_runner(machine: "Machine", worker_group: "WorkerGroup") -> "GroupRunner":
    from dmt_ray.execution.worker_group import GroupRunner

    return GroupRunner(machine, worker_group)


def explain(error: BaseException) -> str:
    """An error in one line."""
    text = " ".join(str(error).split())
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}"


def keep_traceback(folder: Path, who: int | str, text: str) -> None:
    """Write down where an error came from, for whoever looks for a fault in the program."""
    (folder / "errors").mkdir(exist_ok=True)
    (folder / "errors" / f"{who}.txt").write_text(text, encoding="utf-8")
