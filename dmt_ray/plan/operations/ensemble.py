"""Ensemble: score models A and B together."""

from collections.abc import Mapping
from typing import Any

from dmt_ray.config import Config
from dmt_ray.plan import ImageCounts, Operation, Slice, Stage
from dmt_ray.plan.files import METRICS
from dmt_ray.plan.operations.evaluate import Evaluate, Member


class Ensemble(Slice):
    """What the evaluation of two models together reads."""

    operation = Operation("ensemble", revision=1)
    joint = True
    writes = (METRICS,)

    members: tuple[Member, Member]  # of stages that trained several models together
    averaged: bool  # the moving averages of their weights, in place of the last
    scored: tuple[str, ...]  # classes of the mean; none: all that occur

    def __str__(self) -> str:
        return f"A and B together, on {self.split.validation()} (validation) and {self.data.reported} (test)"

    def work(self, images: ImageCounts) -> int:
        """Images to score, by either model."""
        return 2 * images.evaluated


def ensemble(cfg: Config, rung: Mapping[Any, Stage]) -> Stage | None:
    """Score the models of a rung together, by the mean of their class probabilities.

    Args:
        cfg: Settings of the method; `cfg.ensemble` says whether it is done.
        rung: Evaluations of models A and B.

    Returns:
        The stage; None where it is not wanted, or the rung has a single model.
    """
    if not cfg.ensemble or rung.keys() != {"A", "B"}:
        return None
    evaluations = [rung["A"], rung["B"]]
    own = [each.config for each in evaluations if isinstance(each.config, Evaluate)]
    members, averaged = tuple(each.member for each in own), all(each.averaged for each in own)
    models = {side: rung[side].inputs["model"] for side in ("A", "B")}
    return Ensemble.stage(cfg, rung["A"].seed, models, members=members, averaged=averaged, scored=cfg.scored)
