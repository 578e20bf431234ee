"""What a sweep's workers do: perform trials, step by step."""

import json
import platform
import statistics
import traceback
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from ray import tune

from dmt_ray.errors import TrainingFailed
from dmt_ray.execution import journal, plugins
from dmt_ray.execution.journal import Activity
from dmt_ray.execution.worker import Job, explain, perform
from dmt_ray.execution.worker_group import side_of_error
from dmt_ray.experiments.sweep import Scored, Sweep
from dmt_ray.results.scores import collapsed, rung_score
from dmt_ray.store import Store


@dataclass(frozen=True)
class SweepJob(Job):
    """What a sweep's workers have to know."""

    sweep: Sweep


def perform_trial(config: dict[str, Any], job: SweepJob) -> None:
    """Perform a trial's plans step by step (`Sweep.steps`); Tune may stop it only where it reports a step.

    Reports {"step", "score", "executed"} after every step; {"error", "traceback", "activity", "node", "executed"}
    when a stage fails or a model collapses: the trial is over then; {"halted", "executed"} where it is to go no
    further for now. Lists and records go as JSON: Tune would take them apart.

    Args:
        config: {"number": the trial's number, "params": what is searched -> value}.
        job: The sweep it belongs to.
    """
    number = config["number"]
    executed: list[str] = []
    try:
        plugins.register(job.plugins)
        store = job.machine.open_store()
        for step, groups in enumerate(job.sweep.steps(config["params"])):
            for group in groups:
                targets = [stage for plan, rung in group for stage in plan.targets(rung)]
                executed += perform(job, number, targets, group[0][1])
                _check(store, job, number, group)
            score = statistics.fmean(rung_score(store, plan.rungs[rung]) for plan, rung in groups[-1])
            tune.report({"step": step, "score": score, "executed": json.dumps(executed)})
    except journal.Halted:
        tune.report({"halted": True, "executed": json.dumps(executed)})
    except Exception as error:  # a broken trial must not end the others, nor cost its worker process
        activity = journal.last_activity(job.folder, number, side_of_error(error))
        doing = json.dumps(None if activity is None else asdict(activity))
        what = {"error": explain(error), "traceback": traceback.format_exc(), "activity": doing}
        tune.report(what | {"node": platform.node(), "executed": json.dumps(executed)})
    finally:
        journal.end(job.folder, number)


def _check(store: Store, job: SweepJob, number: int, group: Iterable[Scored]) -> None:
    """Refuse to continue with a model that has collapsed under its pseudo labels."""
    for plan, rung in group:
        for side, sentence in collapsed(store, plan, rung).items():
            journal.begin(job.folder, number, Activity.of(plan.rungs[rung][side], rung))
            raise TrainingFailed(sentence)
