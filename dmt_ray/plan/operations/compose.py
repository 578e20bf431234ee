"""Compose: put the labels of a training phase together (RWMS)."""

from collections.abc import Mapping, Sequence
from typing import Literal

from dmt_ray.config import Config, Model, Side
from dmt_ray.plan import Evictable, Operation, Slice, Stage
from dmt_ray.plan.files import LABELS, ORDER, RANK, SUMMARY

Choice = Literal["reliability", "chance"]


class Compose(Slice):
    """What the composition of the labels of a phase reads."""

    operation = Operation("compose", revision=1)
    follows = "labels"
    writes = (LABELS, RANK, ORDER, SUMMARY)
    evictable = Evictable(maps=(LABELS, RANK))

    by: Choice
    first: float  # share of the unlabelled images that are labelled first
    whole: bool  # the others too, with their later labels

    def padded(self, stage: Stage) -> Sequence[Model]:
        """None: no network is run."""
        return ()

    def __str__(self) -> str:
        first = f"the {self.first:.0%} that " + ("are most reliable" if self.by == "reliability" else "are drawn")
        return "all images" if self.first == 1 else f"{first}, and the rest" if self.whole else first

    def labelled_share(self) -> float:
        """The fraction that comes first, where the others are left out."""
        return 1.0 if self.whole else self.first

    def origin(self, inputs: Mapping[str, Stage], side: Side) -> Stage:
        """The labels that were made last."""
        return inputs.get("rest", inputs["labels"])


def compose(
    cfg: Config, *, labels: Stage, assessed: Stage, first: float, by: Choice = "reliability", rest: Stage | None = None
) -> Stage:
    """The labels of a phase, with the rank of each: of the images that come first, or of all (RWMS, Algorithm 1).

    Args:
        cfg: Settings of the method.
        labels: A labelling of all pixels: those of the images that come first.
        assessed: The other teacher's assessment of them.
        first: Share of the unlabelled images that come first.
        by: How they are chosen: the two teachers agree most on them, or at random.
        rest: Another labelling, for all other images; None: these are left out.
    """
    inputs = {"labels": labels, "assessed": assessed} | ({} if rest is None else {"rest": rest})
    return Compose.stage(cfg, labels.seed, inputs, by=by, first=first, whole=first == 1 or rest is not None)
