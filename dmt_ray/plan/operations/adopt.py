"""Adopt: take labels of the unlabelled images from elsewhere, where they have proved right on the labelled ones."""

from collections.abc import Sequence

from dmt_ray.config import Config, External, Model, Side
from dmt_ray.errors import ConfigError
from dmt_ray.plan import Evictable, ImageCounts, Operation, Slice, Stage
from dmt_ray.plan.files import CONFIDENCE, LABELS, SUMMARY


class Adopt(Slice):
    """What taking labels from elsewhere reads."""

    operation = Operation("adopt", revision=1)
    writes = (LABELS, CONFIDENCE, SUMMARY)
    evictable = Evictable(maps=(LABELS, CONFIDENCE))
    not_identity = frozenset({"teacher"})

    external: External
    teacher: Side  # in whose place they teach

    def __str__(self) -> str:
        return f"labels from elsewhere in place of {self.teacher}'s, precision {self.external.precision:g}"

    def padded(self, stage: Stage) -> Sequence[Model]:
        """None: no network is run."""
        return ()

    def work(self, images: ImageCounts) -> int:
        """Images that are read: thresholds are chosen on the labelled ones."""
        return images.labelled + images.unlabelled

    def own_side(self) -> Side | None:
        """The side of the teacher that is replaced."""
        return self.teacher


def adopt(cfg: Config, *, in_place_of: Stage) -> Stage:
    """Labels of the unlabelled images from the folder `cfg.external`, in place of those of a teacher.

    Raises:
        ConfigError: If the data are not for segmentation.
    """
    if cfg.data.task != "segmentation":
        raise ConfigError(f"external.masks is for segmentation, but {cfg.data.name} is not; set it to null")
    return Adopt.stage(cfg, in_place_of.seed, external=cfg.external, teacher=in_place_of.side)
