"""What a sweep's workers do: perform stages that all trials share, and trials, rung by rung."""

import functools
import statistics
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmt_ray.errors import UserError
from dmt_ray.plan import Stage
from dmt_ray.search.study import note_executed
from dmt_ray.search.sweep import Sweep

if TYPE_CHECKING:
    from dmt_ray.runner import Machine, Runner

SHARED = "shared"


@dataclass(frozen=True)
class Work:
    """What every worker has to know.

    Attributes:
        sweep: The sweep.
        machine: Where data and store are, as the workers see them.
        folder: The sweep's folder.
        gpus: GPUs of one trial; a fraction lets several share one.
    """

    sweep: Sweep
    machine: "Machine"
    folder: Path
    gpus: float = 0.0


def perform_trial(config: dict[str, Any], work: Work) -> None:
    """Perform a trial's plans for all seeds, one rung after the other; Tune may stop it only where it reports a rung.

    Reports {"rung", "score"} after every rung, or {"error"} when a stage fails: the trial is over then.

    Args:
        config: {"number": the trial's number, "params": dotted setting -> value}.
        work: The sweep it belongs to.
    """
    from ray import tune

    from dmt_ray.records import rung_score

    number = config["number"]
    try:
        runner = _runner(work.machine, work.gpus)
        plans = work.sweep.plans(config["params"]).values()
        for rung in range(work.sweep.rungs()):
            _perform(runner, work, number, [stage for plan in plans for stage in plan.rungs[rung].values()])
            score = statistics.fmean(rung_score(runner.store, plan.rungs[rung]) for plan in plans)
            tune.report({"rung": rung, "score": score})
    except Exception as error:  # a broken trial must not end the others, nor cost its worker process
        _keep_traceback(work.folder, number)
        tune.report({"error": explain(error)})


def perform_shared(stage: Stage, work: Work) -> list[str]:
    """Perform a stage that all trials share; the keys of what was computed for it."""
    try:
        return _perform(_runner(work.machine, work.gpus), work, SHARED, [stage])
    except Exception:
        _keep_traceback(work.folder, SHARED)
        raise


def _perform(runner: "Runner", work: Work, who: int | str, targets: Iterable[Stage]) -> list[str]:
    executed = []
    for stage in runner.store.missing(targets):
        # One by one, so that what is finished is written down before a kill can strike.
        done = [performed.key for performed in runner.perform([stage])]
        note_executed(work.folder, who, done)
        executed += done
    return executed


@functools.cache
def _runner(machine: "Machine", gpus: float) -> "Runner":
    import torch

    from dmt_ray.runner import Runner

    if 0 < gpus < 1:  # Ray hands out parts of a GPU, but does not see to it that they suffice
        torch.cuda.set_per_process_memory_fraction(gpus)
    return Runner(machine)


def explain(error: BaseException) -> str:
    """An error in one line."""
    text = " ".join(str(error).split())
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}"


def _keep_traceback(folder: Path, who: int | str) -> None:
    (folder / "errors").mkdir(exist_ok=True)
    (folder / "errors" / f"{who}.txt").write_text(traceback.format_exc(), encoding="utf-8")
