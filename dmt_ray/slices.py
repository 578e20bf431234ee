"""What each operation reads of the settings: its share of a stage's key, and all that the engine is told."""

from typing import Literal

from dmt_ray.config import Data, LabelRule, Model, Settings, Side, Split, Training, Weight, neutral


class Pretrain(Settings):
    """What pretraining reads."""

    data: Data
    split: Split
    model: Model
    training: Training
    side: Side
    images: Literal["labelled", "dms", "all"]
    dms_alpha: float = 1.0
    coarse: int = neutral(0)

    def __str__(self) -> str:
        images = {"labelled": "the labelled images", "all": "all images, truly labelled"}.get(
            self.images, f"{self.dms_alpha:.0%} of the labelled images"
        )
        if self.coarse:
            images += f" (those outside the labelled list in blocks of {self.coarse} pixels)"
        return f"{self.side}: {self.model.architecture}/{self.model.encoder} on {images}"


class Label(Settings):
    """What labelling reads."""

    data: Data
    split: Split
    rule: LabelRule
    share: float

    def __str__(self) -> str:
        return f"surest {self.share:.0%}, {self.rule}"


class Finetune(Settings):
    """What fine-tuning reads; the architecture comes with the model it starts from."""

    data: Data
    split: Split
    training: Training
    weight: Weight

    def __str__(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.weight.identity().items())


class Evaluate(Settings):
    """What evaluation reads: the images that select, and the images that are reported."""

    data: Data
    split: Split

    def __str__(self) -> str:
        return f"on {self.split.selection} (selects) and {self.data.reported} (reported)"
