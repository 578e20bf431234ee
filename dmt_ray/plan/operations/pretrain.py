"""Pretrain: train a model on labelled images alone."""

from typing import Literal

from dmt_ray.config import Config, Side, neutral
from dmt_ray.plan import ImageCounts, NewModelSlice, Operation, Stage
from dmt_ray.plan.amounts import dms_images


class Pretrain(NewModelSlice):
    """What pretraining reads."""

    operation = Operation("pretrain", revision=1)
    without_work = frozenset({"model"})

    images: Literal["labelled", "dms", "all"]
    dms_alpha: float = 1.0
    coarse: int = neutral(0)

    def __str__(self) -> str:
        whole = {"labelled": "the labelled images", "all": "all images with their true labels"}
        images = whole.get(self.images, f"{self.dms_alpha:.0%} of the labelled images")
        if self.coarse:
            images += f" (those outside the labelled list in blocks of {self.coarse} pixels)"
        return f"{self.side}: {self.model.architecture}/{self.model.encoder} on {images}"

    def setting(self) -> str:
        """Two trainings are pretrain stages."""
        return "oracle" if self.images == "all" else "pretrain"

    def lists(self, images: ImageCounts) -> dict[str, int]:
        """True labels alone."""
        dms, every = dms_images(images.labelled, self.dms_alpha), images.labelled + images.known
        labelled = {"labelled": images.labelled, "dms": dms, "all": every}[self.images]
        return {"labelled": labelled, "pseudo": 0}


def pretrain(cfg: Config, *, seed: int, side: Side = "A", dms: bool = False) -> Stage:
    """Train a model on labelled images alone; sides A and B never draw the same random numbers.

    With `dms` the model sees only its half of Difference Maximized Sampling (DMT, Sec. 4.1.2), the share
    `cfg.dms_alpha`. The seed is that of the initial weights, and of the images' order and augmentation.
    """
    seen = {"images": "dms", "dms_alpha": cfg.dms_alpha} if dms and cfg.dms_alpha < 1 else {"images": "labelled"}
    return Pretrain.stage(cfg, seed, model=cfg.model_of(side), training=cfg.pretrain, side=side, **seen)


def pretrain_oracle(cfg: Config, *, seed: int) -> Stage:
    """Train model A on all train images with their true labels: the upper bound of the papers.

    With `cfg.coarse` the labels of images outside the labelled list are coarse, as in DMT, Table 6.
    """
    model, training = cfg.model, cfg.oracle
    return Pretrain.stage(cfg, seed, model=model, training=training, side="A", images="all", coarse=cfg.coarse)
