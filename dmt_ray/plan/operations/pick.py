"""Pick: one of two models, by their scores on the validation images (000, Sec. 4.2)."""

from collections.abc import Mapping

from dmt_ray.config import Config, Side
from dmt_ray.plan import Evictable, ImageCounts, Operation, Slice, Stage
from dmt_ray.plan.files import CHOICE, MODEL, weights_of
from dmt_ray.plan.operations.evaluate import evaluate

PICK = Operation("pick", revision=1)


class Pick(Slice):
    """What the choice between two models reads."""

    chooses = True
    follows = "first"
    writes = (CHOICE,)
    evictable = Evictable(weights=weights_of(MODEL))

    better: bool

    def __str__(self) -> str:
        return f"the {'better' if self.better else 'other'} of two on {self.split.selection}"

    def work(self, images: ImageCounts) -> int:
        """A choice is one piece of work."""
        return 1

    def side_of(self, inputs: Mapping[str, Stage]) -> Side:
        """A: the stage is about both models."""
        return "A"


def pick(cfg: Config, *, models: tuple[Stage, Stage], better: bool) -> Stage:
    """One of two models: the better on the validation images, or the other one (000, Sec. 4.2).

    Args:
        cfg: Settings of the method.
        models: Two trained models; of equal ones the first is the better.
        better: Which of them.
    """
    first, second = models
    config = Pick(data=cfg.data, split=cfg.split.for_seed(first.seed), better=better)
    scores = {"first_scores": evaluate(cfg, model=first), "second_scores": evaluate(cfg, model=second)}
    return Stage(PICK, config, first.seed, {"first": first, "second": second, **scores})
