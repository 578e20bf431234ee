"""The base of all settings: frozen, validated; errors for unknown keys suggest the right one."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Annotated, Any, ClassVar, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails

from dmt_ray.errors import ConfigError

Positive = Annotated[int, Field(ge=1)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
PositiveFraction = Annotated[float, Field(gt=0, le=1)]
SHORT = 3  # letters of a word of which one is already a third
NEAR, NEAR_IF_SHORT = 0.7, 0.6  # at least so alike, as difflib counts, is what a misspelt word may have been meant for


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
            raise ConfigError(_sentences(error.errors(), type(self))) from None

    @field_validator("*", mode="before")
    @classmethod
    def _of_its_kind(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse values that Python would convert: true for a number, which would count as 1, and text such as "8"."""
        kinds = _kinds_of(cls, str(info.field_name))
        if kinds & {int, float} and info.field_name not in cls.reads_text:
            for leaf in _leaves(value):
                if isinstance(leaf, bool) and bool not in kinds:
                    raise ValueError(f"must be a number, but got {_shown(leaf)}")
                if isinstance(leaf, str) and kinds <= {int, float, type(None)}:
                    raise ValueError(f"must be a number, without quotes, but got {leaf!r}")
        if bool in kinds and kinds <= {bool, type(None)} and not isinstance(value, bool | None):
            raise ValueError(f"must be true or false, but got {_shown(value)}")
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
        defaults = _neutral_defaults(type(self))
        return name in defaults and getattr(self, name) == defaults[name]

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


@cache
def _kinds_of(model: type[Settings], name: str) -> frozenset[Any]:
    """The simple types of a field. A search makes many settings of the same classes, so they are worked out once."""
    return frozenset(_kinds(model.model_fields[name].annotation))


@cache
def _neutral_defaults(model: type[Settings]) -> Mapping[str, Any]:
    """The fields that older keys do not know, with their defaults."""
    return {
        name: field.default
        for name, field in model.model_fields.items()
        if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("neutral")
    }


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
    return f"did you mean {close[0]!r}?" if close else f"known are: {listed(choices)}"


def listed(names: Iterable[str]) -> str:
    """Names with commas between them, in quotes if one of them holds a comma."""
    names = list(names)
    return ", ".join(map(repr, names) if any("," in name for name in names) else names)


def close_to(word: str, known: Iterable[str]) -> list[str]:
    """The known name that may have been meant by a word, if there is one; small and capital letters are alike.

    It differs by a letter in three or so, or one of the two begins with the other.
    """
    folded = {name.casefold(): name for name in sorted(known, reverse=True)}
    word = word.casefold()
    candidates = sorted(name for name in folded if len(word) > SHORT or len(name) <= SHORT + 1)
    near = difflib.get_close_matches(word, candidates, n=1, cutoff=NEAR if len(word) > SHORT else NEAR_IF_SHORT)
    if not near and len(word) >= SHORT:
        begins = (name for name in folded if len(name) >= SHORT and (name.startswith(word) or word.startswith(name)))
        near = sorted(begins, key=lambda name: (abs(len(name) - len(word)), name))[:1]
    return [folded[name] for name in near]


def unknown(dotted: str, known: Iterable[str], elsewhere: Iterable[str] = ()) -> str:
    """The message for an unknown setting, with the one that may have been meant.

    Args:
        dotted: The full name that was given.
        known: What there is in its place, without what stands before it.
        elsewhere: Full names of other settings: those that end like it may have been meant.
    """
    *parents, last = dotted.split(".")
    meant = _ending_in(last, elsewhere) or [".".join([*parents, name]) for name in close_to(last, known)]
    if meant:
        return f"there is no setting {dotted!r}; did you mean {' or '.join(map(repr, meant))}?"
    place = f" in {'.'.join(parents)}" if parents else ""
    return f"there is no setting {dotted!r}; known{place} are: {listed(sorted(known))}"


def no_group(dotted: str, group: str, groups: Iterable[str], elsewhere: Iterable[str]) -> str:
    """The message for a setting in a group that there is not, with what may have been meant.

    Args:
        dotted: The full name that was given.
        group: The beginning of it that is no group.
        groups: Those that there are in its place, without what stands before it.
        elsewhere: As of `unknown`.
    """
    *parents, name = group.split(".")
    meant = [".".join([*parents, near]) for near in close_to(name, groups)]
    meant = meant or _ending_in(dotted.rpartition(".")[2], elsewhere)
    hint = f"did you mean {' or '.join(map(repr, meant))}?" if meant else f"known are: {listed(sorted(groups))}"
    return f"there is no group of settings {group!r}; {hint}"


def _ending_in(last: str, full_names: Iterable[str]) -> list[str]:
    return [full for full in full_names if full.rpartition(".")[2] == last]


def _sentences(details: Iterable[ErrorDetails], model: type[Settings]) -> str:
    """What is wrong with the values of some settings, in plain words."""
    made = dict[str, str]()
    wanted: dict[str, dict[str, Any]] = {}
    for detail in details:
        # Behind the setting stand positions in a list, and the names of pydantic's alternatives.
        field, *rest = detail["loc"] or ("",)
        dotted = ".".join([str(field), *(str(part) for part in rest if isinstance(part, int))])
        if detail["type"] in _WORDS:
            context = {
                name: f"{bound:g}" if isinstance(bound, float) else bound
                for name, bound in detail.get("ctx", {}).items()
            }
            if detail["type"] == "too_short" and len(detail["input"]) >= int(context["min_length"]):
                continue  # without the values that are wrong themselves
            wanted.setdefault(dotted, {})[_WORDS[detail["type"]].format(**context)] = detail["input"]
            shown = _shown(next(iter(wanted[dotted].values())))
            made[dotted] = f"{dotted} must {' or '.join(wanted[dotted])}, but got {shown}"
        else:
            made[dotted] = _sentence(detail, dotted, model)
    return "; ".join(made.values())


_WORDS = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "be a number"),
    "finite_number": "be a finite number",
    "bool_type": "be true or false",
    "bool_parsing": "be true or false",
    "string_type": "be text, in quotes if it looks like something else",
    **dict.fromkeys(("tuple_type", "list_type"), "be a list in brackets, such as [1, 2]"),
    **dict.fromkeys(("model_type", "dict_type"), "be a group of settings in braces, such as {{name: value}}"),
    "literal_error": "be {expected}",
    "greater_than": "be above {gt}",
    "greater_than_equal": "be at least {ge}",
    "less_than": "be below {lt}",
    "less_than_equal": "be at most {le}",
    "too_short": "have {min_length} or more values",
    "too_long": "have no more than {max_length} values",
}
"""Pydantic's kinds of errors -> what a value must be."""


def _sentence(detail: ErrorDetails, dotted: str, model: type[Settings]) -> str:
    """The same for what is not about the kind of a value."""
    if detail["type"] == "extra_forbidden":  # of this class: settings inside it raise errors of their own
        return unknown(dotted, model.model_fields)
    if detail["type"] == "missing":
        name, _, position = dotted.rpartition(".")
        if position.isdecimal():
            return f"{name} must have {int(position) + 1} values"
        return f"{dotted!r} must be set in {model.__name__}"
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] != "value_error":
        return f"{dotted}: {message[:1].lower()}{message[1:]}, but got {_shown(detail['input'])}"
    if not dotted:
        return message
    inner = isinstance(detail.get("ctx", {}).get("error"), ConfigError) and re.match(r"[\w.]+(: | must )", message)
    return f"{dotted}{'.' if inner else ' ' if message.startswith('must ') else ': '}{message}"


def _shown(value: Any) -> str:
    """A value for people, as YAML has it where Python has another word."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
