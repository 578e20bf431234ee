"""Label: let a teacher label the unlabelled images."""

from dmt_ray.config import Config, LabelRule
from dmt_ray.plan import Evictable, Operation, Slice, Stage
from dmt_ray.plan.files import CONFIDENCE, LABELS, SUMMARY


class Label(Slice):
    """What labelling reads."""

    operation = Operation("label", revision=1)
    follows = "teacher"
    writes = (LABELS, CONFIDENCE, SUMMARY)
    evictable = Evictable(maps=(LABELS, CONFIDENCE))
    without_work = frozenset({"rule", "share"})

    rule: LabelRule
    share: float

    def __str__(self) -> str:
        return f"most confident {self.share:.0%}, {self.rule}"

    def labelled_share(self) -> float:
        """In classification an image has a label or none; in segmentation each has some labelled pixels."""
        return self.share if self.data.task == "classification" else 1.0


def label(cfg: Config, *, teacher: Stage, share: float) -> Stage:
    """Let a teacher label the unlabelled images, and keep the most confident fraction of pixels (DMT, Sec. 4.2.2)."""
    return Label.stage(cfg, teacher.seed, {"teacher": teacher}, rule=cfg.label, share=share)
