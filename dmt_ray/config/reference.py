"""All settings as rows of a page: name, type, default, range and meaning, read from the classes that hold them."""

import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from dmt_ray.config.data import DATA_SETS, DataSettings, Split
from dmt_ray.config.experiment import FOR_ALL, TRAININGS, Config
from dmt_ray.config.external import External
from dmt_ray.config.settings import Settings
from dmt_ray.config.training import Augment, Consistency, Model, Training
from dmt_ray.config.weights import WeightSettings

TRAINING = "TRAINING"
"""Stands in a row's name for each of `TRAININGS`."""
_TYPES = {int: "whole number", float: "number", bool: "true or false", str: "text"}
_BOUNDS = (("gt", "above"), ("ge", "at least"), ("lt", "below"), ("le", "at most"))


class SettingRow(NamedTuple):
    """One setting."""

    name: str  # dotted, as --set takes it; with TRAINING for any training
    of: str  # the data set or the weight rule that alone has it; "" where it is everybody's
    type: str  # "whole number", "pair of numbers", ...
    default: str  # as YAML; "" where a recipe has to set it
    range: str  # "at least 0", "one of A, B"; "" where the type says all
    meaning: str  # a sentence or two, with the unit


def settings() -> list[SettingRow]:
    """Every setting once: those of all trainings under `TRAINING`, those of model B under "model"."""
    groups: dict[str, type[Settings]] = {
        "split.": Split,
        "model.": Model,
        f"{TRAINING}.": Training,
        f"{TRAINING}.augment.": Augment,
        "consistency.": Consistency,
        "external.": External,
    }
    rows = [row for row in _rows(Config) if row.name not in {"data", "weight", *TRAININGS}]
    rows += [_row(name, "", Config, name) for name in TRAININGS]
    rows += _short()
    rows += _rows(DataSettings, "data.", skip=("name", "reported"))  # each data set says what it reports
    rows.append(SettingRow("data.name", "", "text", "", _one_of(DATA_SETS), "Which data set."))
    for name in DATA_SETS:
        data = DataSettings.kind(name)
        rows += _rows(data, "data.", of=name, skip=("name", *(data.model_fields.keys() - data.__annotations__.keys())))
    kinds = {kind.model_fields["rule"].default: kind for kind in WeightSettings.__subclasses__()}
    rules = "; ".join(f"{rule}: {(kind.__doc__ or '').rstrip('.')}" for rule, kind in kinds.items())
    rows.append(SettingRow("weight.rule", "", "text", "disagreement", _one_of(kinds), f"{rules}."))
    for rule, weight in kinds.items():
        rows += _rows(weight, "weight.", of=rule, skip=("rule",))
    for prefix, group in groups.items():
        rows += _rows(group, prefix, skip=("augment",))
    return rows


def _short() -> Iterator[SettingRow]:
    """The settings that are shorthand for one in every training."""
    for name, dotted in FOR_ALL.items():
        kind = Augment if dotted.startswith("augment.") else Training
        row = _row(name, "", kind, name)
        yield row._replace(default="", meaning=f"Shorthand for {TRAINING}.{dotted} in all trainings. {row.meaning}")


def _rows(kind: type[Settings], prefix: str = "", of: str = "", skip: "tuple[str, ...]" = ()) -> Iterator[SettingRow]:
    yield from (_row(f"{prefix}{name}", of, kind, name) for name in kind.model_fields if name not in skip)


def _row(dotted: str, of: str, kind: type[Settings], name: str) -> SettingRow:
    field = kind.model_fields[name]
    bases = (base.model_fields.get(name) for base in kind.__mro__ if issubclass(base, Settings))
    meaning = next((base.description for base in bases if base is not None and base.description), "")
    extra = field.json_schema_extra
    given = str(extra.get("range", "")) if isinstance(extra, dict) else ""
    return SettingRow(dotted, of, _type(field.annotation), _default(field), given or _range(field), meaning)


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined:
        return ""
    return "as its settings say" if isinstance(value, Settings) else _yaml(value)


def _yaml(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_yaml, value))}]"
    return '""' if value == "" else f"{value:g}" if isinstance(value, float) else str(value)


def _type(annotation: Any) -> str:
    """The name of a type, for people."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(parts[0])
    if origin is Literal:
        return "text"
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys("none" if part is type(None) else _type(part) for part in parts))
    if origin is tuple:
        return f"list of {_plural(_type(parts[0]))}" if parts[-1] is Ellipsis else f"pair of {_plural(_type(parts[0]))}"
    if origin is dict:
        return "mapping"
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return "group of settings"
    return _TYPES[annotation]


def _plural(text: str) -> str:
    return text if text == "text" else f"{text}s"


def _range(field: FieldInfo) -> str:
    return " or ".join(dict.fromkeys(_ranges(field.annotation, field.metadata)))


def _ranges(annotation: Any, constraints: Any = ()) -> Iterator[str]:
    """The range of each part of a type; of a pair whose ends differ both."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from _ranges(parts[0], _flat(parts[1:]))
    elif origin is Literal:
        yield _one_of(parts)
    elif origin in (Union, types.UnionType):
        for part in parts:
            yield from _ranges(part)
    elif origin is tuple:
        each = [" or ".join(_ranges(part)) for part in parts if part is not Ellipsis]
        text = each[0] if len(set(each)) == 1 else ", then ".join(each)
        least = next((str(c.min_length) for c in constraints if getattr(c, "min_length", None)), "")
        if found := [f"each {text}"] * bool(text) + [f"{least} or more of them"] * bool(least):
            yield ", ".join(found)
    else:
        bounds = [f"{word} {getattr(c, name):g}" for c in constraints for name, word in _BOUNDS if hasattr(c, name)]
        if bounds:
            yield " and ".join(bounds)


def _flat(metadata: Any) -> list[Any]:
    """Constraints, also those inside a ``Field(...)``."""
    return [one for entry in metadata for one in (entry.metadata if isinstance(entry, FieldInfo) else [entry])]


def _one_of(values: Any) -> str:
    words = list(map(str, values))
    return f"one of {', '.join(words)}" if len(words) > 1 else words[0]
