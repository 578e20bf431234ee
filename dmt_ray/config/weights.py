"""How much pseudo labels count: one class per rule, with the numbers that the rule of `losses.rules` reads."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator

from dmt_ray.config.settings import Fraction, NonNegative, Tagged, nearest, neutral
from dmt_ray.errors import ConfigError


class WeightSettings(Tagged):
    """Base class of the weight rules. The other fields are the keyword arguments of the rule in `losses.rules`."""

    tag: ClassVar[str] = "rule"
    makes_labels: ClassVar[bool] = False
    """Whether the rule makes its labels itself, step by step, and is given none."""
    evidence: ClassVar[Literal["confidence", "rank"]] = "confidence"
    """What the rule is given beside each pseudo label: its teacher's confidence, or its rank with another teacher."""

    labelled_in_full: ClassVar[bool] = False
    """Whether the labelled images of a batch have a mean of their own in the loss, not their share of the batch's."""
    revision: ClassVar[int] = 1
    """Raised when the rule gives different results: it enters the keys of the stages that use the rule."""

    rule: str = Field(description="How much pseudo labels count.")

    @classmethod
    def kind(cls, name: str) -> type[Self]:
        """The class of a rule."""
        kinds = {kind.model_fields["rule"].default: kind for kind in cls.__subclasses__()}
        if name not in kinds:
            raise ConfigError(f"there is no weight rule {name!r}; {nearest(name, kinds)}")
        return kinds[name]

    def identity(self) -> dict[str, Any]:
        """Includes the revision, from the second one onwards."""
        return super().identity() | ({"revision": self.revision} if self.revision > 1 else {})

    def numbers(self) -> dict[str, Any]:
        """What the rule reads."""
        return {name: getattr(self, name) for name in type(self).model_fields if name != "rule"}

    def with_rule(self, rule: str) -> "WeightSettings":
        """Another rule, with this one's values for the numbers that both read."""
        kind = WeightSettings.kind(rule)
        return kind(**{name: value for name, value in self.numbers().items() if name in kind.model_fields})


Weight = Annotated[SerializeAsAny[WeightSettings], BeforeValidator(WeightSettings.parse)]


def _gamma(meaning: str) -> Any:
    return Field(5.0, ge=0, description=f"Exponent {meaning}.")


def _ramp() -> Any:
    return neutral(
        False, description="Whether the exponents grow over a training as exp(-5 (1 - t/T)^2) (DMT, Sec. 4.2.1)."
    )


class DisagreementWeight(WeightSettings):
    """DMT: by the student's confidence and its disagreement with the teacher."""

    rule: Literal["disagreement"] = "disagreement"
    gamma1: float = _gamma("where student and teacher agree")
    gamma2: float = _gamma("where the teacher overrules the student")
    ramp: bool = _ramp()


class ConfidenceWeight(WeightSettings):
    """DMT-Naive: by the student's confidence alone."""

    rule: Literal["confidence"] = "confidence"
    gamma1: float = _gamma("of the student's probability of the label")
    ramp: bool = _ramp()


class FlipWeight(WeightSettings):
    """DMT-Flip: like DMT, but a more confident student learns its own class."""

    rule: Literal["flip"] = "flip"
    gamma1: float = _gamma("where student and teacher agree")
    gamma2: float = _gamma("where they disagree")
    ramp: bool = _ramp()


class UniformWeight(WeightSettings):
    """CBST: every pseudo label counts the same."""

    rule: Literal["uniform"] = "uniform"


class OnlineWeight(WeightSettings):
    """Online ST: the student's own confident predictions."""

    makes_labels: ClassVar[bool] = True
    rule: Literal["online"] = "online"
    threshold: Fraction = Field(0.9, description="Minimum confidence of a label.")  # DMT, Sec. 5.4


class RisingWeight(WeightSettings):
    """Pseudo-Label: the student's own predictions, at a weight that rises over the training."""

    makes_labels: ClassVar[bool] = True
    labelled_in_full: ClassVar[bool] = True
    revision = 2  # 1: the labelled images had their share of the batch
    rule: Literal["rising"] = "rising"
    # Lee, Eq. 16: T1 = 100, T2 = 600, alpha_f = 3; the epochs as fractions of a training of 1,000.
    rise_start: Fraction = Field(0.1, description="Fraction of the training before which the weight is 0.")
    rise_end: Fraction = Field(0.6, description="Fraction of the training from which the weight is alpha_f.")
    alpha_f: NonNegative = Field(
        3.0,
        description="Final total weight of a batch's pseudo labels, relative to 1 for its true labels.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.rise_start > self.rise_end:
            raise ValueError(f"rise_start must not lie behind rise_end, but got {self.rise_start} and {self.rise_end}")
        return self


class RankWeight(WeightSettings):
    """RWMS: by the rank of the label in another teacher's prediction."""

    evidence = "rank"
    rule: Literal["rank"] = "rank"
    # RWMS (Eq. 4) gives no values. With these, what the other teacher ranks second weighs 0.61.
    a: NonNegative = Field(1.0, description="Weight of a label that the other teacher ranks first.")
    b: NonNegative = Field(0.5, description="How fast the weight falls with the rank; 0: not at all.")
