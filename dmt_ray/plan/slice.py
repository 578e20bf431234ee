"""What an operation reads of the settings, and what its stages train, hold and cost."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from dmt_ray.config import Data, Model, Settings, Side, Split, Training
from dmt_ray.plan.amounts import steps
from dmt_ray.plan.files import EXAMPLES, HISTORY, MODEL, weights_of

if TYPE_CHECKING:
    from dmt_ray.plan.plan import Stage


class ImageCounts(NamedTuple):
    """How many images a split has of each kind: all that the amount of work depends on beside the settings."""

    labelled: int
    unlabelled: int
    known: int  # unlabelled images whose true labels exist
    evaluated: int  # validation and test images together


class Evictable(NamedTuple):
    """Files that may be removed to free space, in this order. All others are small: tables and figures need them."""

    maps: tuple[str, ...] = ()  # of pixels
    weights: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()

    @property
    def large(self) -> tuple[str, ...]:
        """What only further computing reads."""
        return self.maps + self.weights


class Slice(Settings):
    """The settings that one operation reads: its part of a stage's key, and all that the engine is given.

    A subclass answers for its operation whatever a runner, a table or a figure needs to know; nobody compares names of
    operations. The defaults are those of a stage that looks at a model and trains none.
    """

    data: Data
    split: Split

    trains: ClassVar[bool] = False
    """Whether the work is optimizer steps (see `TrainingSlice`)."""
    joint: ClassVar[bool] = False
    """Whether models are trained side by side: inputs, files and columns of the history are named after their sides."""
    chooses: ClassVar[bool] = False
    """Whether the result is the model of an input, chosen by what others have scored."""
    follows: ClassVar[str] = ""
    """The input whose model the stage goes on with or looks at."""
    writes: ClassVar[tuple[str, ...]] = ()
    """Files by which readers of results recognise the stages that they can read."""
    evictable: ClassVar[Evictable] = Evictable()
    without_work: ClassVar[frozenset[str]] = frozenset()
    """Settings that leave the number of steps and images alone."""

    def work(self, images: ImageCounts) -> int:
        """Optimizer steps of a training, summed over its models; else the images that a stage goes over."""
        return images.unlabelled

    def new_model(self) -> Model | None:
        """The network that is trained from its first weights, if there is one."""
        return None

    def keeps_average(self) -> bool:
        """Whether a moving average of the weights is kept, which is then what is scored."""
        return False

    def labelled_share(self) -> float:
        """The fraction of the unlabelled images that have labels after a stage that labels."""
        return 1.0

    def origin(self, inputs: "Mapping[str, Stage]", side: Side) -> "Stage | None":
        """The stage whose model of that side this one goes on with or looks at; None: there was no model before."""
        return inputs[self.follows] if self.follows else None

    def side_of(self, inputs: "Mapping[str, Stage]") -> Side:
        """The model that a stage is about; for a labelling, the teacher; A for what is about both."""
        return inputs[self.follows].side

    def sides_of(self, inputs: "Mapping[str, Stage]") -> tuple[Side, ...]:
        """The models that a stage is about, all of them."""
        return (self.side_of(inputs),)


class TrainingSlice(Slice):
    """The slice of an operation that trains a model on labelled and pseudo-labelled images."""

    training: Training

    trains = True
    writes: ClassVar[tuple[str, ...]] = (HISTORY,)
    evictable = Evictable(weights=weights_of(MODEL), examples=(EXAMPLES,))

    def work(self, images: ImageCounts) -> int:
        """Optimizer steps."""
        return steps(self.training, labelled=images.labelled, pseudo=images.unlabelled)

    def keeps_average(self) -> bool:
        """Whether the training averages the weights."""
        return self.training.ema > 0


class NewModelSlice(TrainingSlice):
    """The slice of an operation that trains a model from its first weights."""

    model: Model
    side: Side

    def new_model(self) -> Model:
        """The network."""
        return self.model

    def side_of(self, inputs: "Mapping[str, Stage]") -> Side:
        """The side of the model."""
        return self.side
