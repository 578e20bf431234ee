"""Assess: let another teacher judge labels (RWMS)."""

from collections.abc import Sequence

from dmt_ray.config import Config, Model
from dmt_ray.errors import ConfigError
from dmt_ray.plan import Evictable, Operation, Slice, Stage
from dmt_ray.plan.files import AGREEMENT, RANK, SUMMARY


class Assess(Slice):
    """What the assessment of one teacher's labels by another one reads."""

    operation = Operation("assess", revision=1)
    follows = "labels"
    writes = (RANK, AGREEMENT, SUMMARY)
    evictable = Evictable(maps=(RANK,))

    def padded(self, stage: Stage) -> Sequence[Model]:
        """The judge's."""
        return stage.inputs["judge"].networks()

    def __str__(self) -> str:
        return "ranks of the labels, and agreement of each image"


def assess(cfg: Config, *, labels: Stage, judge: Stage) -> Stage:
    """Let another teacher judge a labelling of all pixels (RWMS, Eq. 4).

    It finds each label's rank in its own prediction, and each image's mIoU.

    Raises:
        ConfigError: If the data are not for segmentation: an image's reliability is that of its many pixels.
    """
    if cfg.data.task != "segmentation":
        raise ConfigError(f"methods that judge images by their pixels are for segmentation; {cfg.data.name} is not")
    return Assess.stage(cfg, judge.seed, {"labels": labels, "judge": judge})
