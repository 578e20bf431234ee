"""Pick: one of two models, by their scores on the validation images (Pet study, Sec. 4.2)."""

from collections.abc import Sequence

from dmt_ray.config import Config, Model
from dmt_ray.plan import Evictable, ImageCounts, Operation, Slice, Stage
from dmt_ray.plan.files import CHOICE, MODEL, weights_of
from dmt_ray.plan.operations.evaluate import evaluate


class Pick(Slice):
    """What the choice between two models reads."""

    operation = Operation("pick", revision=1)
    chooses = True
    follows = "first"
    writes = (CHOICE,)
    evictable = Evictable(weights=weights_of(MODEL))

    better: bool

    def padded(self, stage: Stage) -> Sequence[Model]:
        """None: no network is run."""
        return ()

    def __str__(self) -> str:
        return f"the {'better' if self.better else 'other'} of two on {self.split.validation()}"

    def work(self, images: ImageCounts) -> int:
        """A choice is one piece of work."""
        return 1


def pick(cfg: Config, *, models: tuple[Stage, Stage], better: bool) -> Stage:
    """The better of two models on the validation images (of equal ones the first), or the other (Pet study, 4.2)."""
    first, second = models
    scores = {"first_scores": evaluate(cfg, model=first), "second_scores": evaluate(cfg, model=second)}
    return Pick.stage(cfg, first.seed, {"first": first, "second": second, **scores}, better=better)
