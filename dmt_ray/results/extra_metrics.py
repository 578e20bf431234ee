"""Metrics that a sweep may show for a trial beside its score."""

import statistics
from collections.abc import Callable, Mapping

from dmt_ray.errors import ConfigError, MissingStages, StoreError
from dmt_ray.experiments.sweep import Sweep, Trial
from dmt_ray.plan import Plan
from dmt_ray.results.scores import history, score
from dmt_ray.store import Store

ExtraMetric = Callable[[Store, Mapping[int, Plan]], dict[str, float]]


def disagreement(store: Store, plans: Mapping[int, Plan]) -> dict[str, float]:
    """How far two models differ: the share of pseudo-labelled pixels to which the student would give another label.

    The student is seen as it trains on the labels of the other model: cases 2 and 3 of DMT, Eq. 3. Means over the
    steps of an iteration, over models and seeds.

    Returns:
        "disagreement_first" and "disagreement_last", of the first and of the last iteration, in [0, 1]; nothing for
        methods that have no pseudo labels or make them online.
    """
    found = {}
    for name, rung in (("disagreement_first", 1), ("disagreement_last", -1)):
        evaluations = [one for plan in plans.values() if len(plan.rungs) > 1 for one in plan.rungs[rung].values()]
        models = [evaluation.inputs["model"] for evaluation in evaluations]
        tables = [history(store, model) for model in models if model.config.trains]
        shares = [1 - float(table["agreement"].mean()) for table in tables if "agreement" in table]
        if shares:
            found[name] = statistics.fmean(shares)
    return found


def gain(store: Store, plans: Mapping[int, Plan]) -> dict[str, float]:
    """How far the better model ends above the better one of the start, on the validation images; mean over seeds.

    Returns:
        "gain", the difference of two scores in [0, 1], negative where the better model has become worse; nothing for
        plans of a single rung.
    """
    differences = [
        max(score(store, one, "selection") for one in plan.rungs[-1].values())
        - max(score(store, one, "selection") for one in plan.rungs[0].values())
        for plan in plans.values()
        if len(plan.rungs) > 1
    ]
    return {"gain": statistics.fmean(differences)} if differences else {}


EXTRA_METRICS: dict[str, tuple[ExtraMetric, tuple[str, ...]]] = {
    "disagreement": (disagreement, ("disagreement_first", "disagreement_last")),
    "gain": (gain, ("gain",)),
}
"""Name -> the function, and the columns that it gives."""


def columns(sweep: Sweep) -> list[str]:
    """The columns of a sweep's extra metrics.

    Raises:
        ConfigError: If there is no such extra metric.
    """
    for name in sweep.extra_metrics:
        if name not in EXTRA_METRICS:
            raise ConfigError(f"there is no extra metric {name!r}; known are: {', '.join(EXTRA_METRICS)}")
    return [column for name in sweep.extra_metrics for column in EXTRA_METRICS[name][1]]


def extra_metrics(sweep: Sweep, store: Store, trial: Trial) -> dict[str, float]:
    """A complete trial's extra metrics by column; what its stages do not hold is left out."""
    if trial.state != "complete" or not sweep.extra_metrics:
        return {}
    plans, functions = sweep.plans(trial.params), [EXTRA_METRICS[name][0] for name in sweep.extra_metrics]
    try:
        return {column: value for function in functions for column, value in function(store, plans).items()}
    except (StoreError, MissingStages):
        return {}
