"""The base of all settings: frozen, validated; errors for unknown keys suggest the right one."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, ClassVar, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails

from dmt_ray.errors import ConfigError

Positive = Annotated[int, Field(ge=1)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
PositiveFraction = Annotated[float, Field(gt=0, le=1)]


def neutral(default: Any, **further: Any) -> Any:
    """A field that older keys do not know: it enters a key only where it differs from its default."""
    return Field(default, json_schema_extra={"neutral": True}, **further)


class Settings(BaseModel):
    """Base class of all settings: frozen, no unknown keys, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)
    not_identity: ClassVar[frozenset[str]] = frozenset()
    reads_text: ClassVar[frozenset[str]] = frozenset()
    """Numbers that may also be written as text, which the class reads itself."""

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigError("; ".join(_sentence(detail, type(self)) for detail in error.errors())) from None

    @field_validator("*", mode="before")
    @classmethod
    def _of_its_kind(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse values that Python would convert: true for a number, which would count as 1, and text such as "8"."""
        kinds = set(_kinds(cls.model_fields[str(info.field_name)].annotation))
        if kinds & {int, float} and info.field_name not in cls.reads_text:
            for leaf in _leaves(value):
                if isinstance(leaf, bool) and bool not in kinds:
                    raise ValueError(f"input should be a valid number, but got {str(leaf).lower()}")
                if isinstance(leaf, str) and kinds <= {int, float, type(None)}:
                    raise ValueError(f"input should be a valid number, without quotes, but got {leaf!r}")
        if bool in kinds and kinds <= {bool, type(None)} and not isinstance(value, bool | None):
            raise ValueError(f"input should be true or false, but got {value!r}")
        return value

    def identity(self) -> dict[str, Any]:
        """What enters a key of these settings: plain JSON values, without fields that do not change a result."""
        values: dict[str, Any] = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if name not in self.not_identity and not self.is_neutral(name):
                values[name] = value.identity() if isinstance(value, Settings) else value
        return values

    def is_neutral(self, name: str) -> bool:
        """Whether a field is one that older keys do not know, and has its default."""
        field = type(self).model_fields[name]
        extra = field.json_schema_extra
        return isinstance(extra, dict) and bool(extra.get("neutral")) and getattr(self, name) == field.default

    def evolve(self, **changes: Any) -> Self:
        """A validated copy with some fields changed."""
        return type(self)(**{**{name: getattr(self, name) for name in type(self).model_fields}, **changes})


class Tagged(Settings):
    """Base of settings that come in kinds, one subclass each; one field, the tag, says which kind it is.

    A field that takes any kind is annotated ``Annotated[SerializeAsAny[Base], BeforeValidator(Base.parse)]``. Unlike
    a union of classes it is open: a new kind is known as soon as `kind` finds it.
    """

    tag: ClassVar[str]

    @classmethod
    def kind(cls, name: str) -> type[Self]:
        """The class of a kind.

        Raises:
            ConfigError: If there is no such kind; the message names the nearest one.
        """
        raise NotImplementedError

    @classmethod
    def parse(cls, value: Any) -> Any:
        """Settings of the kind that a mapping names; other values are returned unchanged, for pydantic to check."""
        if not isinstance(value, Mapping):
            return value
        if cls.tag not in value:
            raise ConfigError(f"{cls.tag!r} must be set in {cls.__name__}")
        return cls.kind(str(value[cls.tag]))(**value)


def _kinds(annotation: Any) -> Iterator[Any]:
    """The simple types that an annotation is made of: int of ``tuple[int, int] | None``, and NoneType."""
    parts = get_args(annotation)
    if hasattr(annotation, "__metadata__"):  # Annotated: what follows the type are constraints
        parts = parts[:1]
    if not parts:
        yield annotation
    for part in parts:
        if part is not Ellipsis:
            yield from _kinds(part)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        for part in value:
            yield from _leaves(part)
    else:
        yield value


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of an error message: the nearest known name, or all of them when none is near."""
    choices = sorted(known)
    close = close_to(word, choices)
    return f"did you mean {close[0]!r}?" if close else f"known are: {', '.join(choices)}"


def close_to(word: str, known: Iterable[str]) -> list[str]:
    """The known name that is nearest to a word, if one is near."""
    return difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.5)


def unknown(dotted: str, known: Iterable[str], elsewhere: Iterable[str] = ()) -> str:
    """The message for an unknown setting, with the one that may have been meant.

    Args:
        dotted: The full name that was given.
        known: What there is in its place, without what stands before it.
        elsewhere: Full names of other settings.
    """
    *parents, last = dotted.split(".")
    meant = [full for full in elsewhere if full.rpartition(".")[2] == last]
    meant = meant or [".".join([*parents, name]) for name in close_to(last, known)]
    hint = f"did you mean {' or '.join(map(repr, meant))}?" if meant else nearest(last, known)
    return f"there is no setting {dotted!r}; {hint}"


def _sentence(detail: ErrorDetails, model: type[Settings]) -> str:
    dotted = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":  # of this class: settings inside it raise errors of their own
        return unknown(dotted, model.model_fields)
    if detail["type"] == "missing":
        return f"{dotted!r} must be set in {model.__name__}"
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "value_error":
        inner = isinstance(detail.get("ctx", {}).get("error"), ConfigError) and re.match(r"[\w.]+: ", message)
        return f"{dotted}{'.' if inner else ': '}{message}" if dotted else message
    return f"{dotted}: {message[:1].lower()}{message[1:]}, but got {detail['input']!r}"
