"""Score: how good trained models are on a data set that they need not have been trained on."""

from collections.abc import Sequence

from dmt_ray.config import Data, Normalised, Split, Statistics, neutral
from dmt_ray.plan import Operation, Slice, Stage
from dmt_ray.plan.files import METRICS


class Score(Slice):
    """What scoring reads. The models have no stages: they may come from anywhere, so their weights are identity."""

    operation = Operation("score", revision=1)
    writes = (METRICS,)

    weights: tuple[str, ...]  # digest of the weights and of the settings of each network; their outputs are averaged
    classes: tuple[str, ...]  # of the networks, in the order of the logits
    normalised: Normalised
    statistics: Statistics | None = neutral(None)  # of the channels, where they are those of the models' data
    size: tuple[int, int] | None  # working size of the models' training
    tile: tuple[int, int] | None  # None: whole images, in classification
    overlap: float = neutral(0.25)
    flip: bool = neutral(False)
    scales: tuple[float, ...] = neutral((1.0,))
    scored: tuple[str, ...] = neutral(())  # classes of the mean; none: all that occur

    def __str__(self) -> str:
        count = f"{len(self.weights)} models together" if len(self.weights) > 1 else "a model"
        return f"{count} on {self.data.reported} of {self.data.name}"


def score(data: Data, *, scored: Sequence[str] = (), **values: object) -> Stage:
    """Score models on the test images of a data set.

    Args:
        data: The data set, bound to its fingerprint.
        scored: Classes over which the mIoU is the mean; none: all that occur.
        **values: The other fields of `Score`.
    """
    # The images do not depend on which of the training images are labelled.
    config = Score(data=data, split=Split(labelled=1), scored=tuple(scored), **values)
    return Stage(Score.operation, config, seed=0)
