"""Every setting as a row, where `dmt_ray.config.reference` is not there to say it. With it, this file can go."""

from collections.abc import Iterable
from typing import Any, NamedTuple, get_args

from pydantic.fields import FieldInfo

from dmt_ray.config import DATA_SETS, Augment, Config, Consistency, DataSettings, Model, Split, Training, WeightSettings

TRAININGS = ("pretrain", "finetune", "online", "cotrain", "retrain", "oracle")
_PARTS = (Training, Augment, Model, Split, Consistency, DataSettings, WeightSettings)
_MEANINGS = {
    "label": "How the most confident fraction is chosen: of each class, of all classes alike, or as in CBST.",
    "percentiles": "Most confident fraction of the pixels that is labelled, one an iteration; they must not fall.",
    "model.architecture": "Name of the network.",
    "model.encoder": "Name of its encoder, or none.",
    "TRAINING.learning_rate": "Of the first step.",
    "TRAINING.momentum": "Of SGD.",
    "TRAINING.weight_decay": "Of SGD.",
    "TRAINING.poly_power": "Exponent of the poly schedule.",
    "TRAINING.augment.scale": "Smallest and largest random factor of the size.",
    "TRAINING.augment.crop": "Height and width of the crops in pixels.",
    "TRAINING.augment.flip": "Whether every second image, drawn at random, is mirrored from left to right.",
}


class SettingRow(NamedTuple):
    """One setting: its dotted name, whose it is, type, default, range, meaning."""

    name: str
    of: str
    type: str
    default: str
    range: str
    meaning: str


def settings() -> list[SettingRow]:
    """Every setting once."""
    groups = [("", "", Config), ("data.", "", DataSettings), ("split.", "", Split), ("model.", "", Model)]
    groups += [("TRAINING.", "", Training), ("TRAINING.augment.", "", Augment), ("consistency.", "", Consistency)]
    groups += [("data.", name, DataSettings.kind(name)) for name in DATA_SETS]
    groups += [("weight.", str(k.model_fields["rule"].default), k) for k in WeightSettings.__subclasses__()]
    rows = [
        SettingRow(
            f"{prefix}{name}",
            of,
            _type(field.annotation, field.metadata),
            _default(field),
            "",
            field.description or _MEANINGS.get(f"{prefix}{name}", ""),
        )
        for prefix, of, kind in groups
        for name, field in kind.model_fields.items()
        if not (of and name in (*DataSettings.model_fields, "rule")) and name != "name" and not _is_part(field)
    ]
    rules = ", ".join(of for prefix, of, _ in groups if prefix == "weight.")
    return [*rows, SettingRow("weight.rule", "", "text", "disagreement", f"one of {rules}", "Name of the rule.")]


def _classes(annotation: Any) -> set[Any]:
    return {annotation, *(inner for each in get_args(annotation) for inner in _classes(each))}


def _is_part(field: FieldInfo) -> bool:
    return any(isinstance(each, type) and issubclass(each, _PARTS) for each in _classes(field.annotation))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return ""
    value = field.get_default(call_default_factory=True)
    value = list(value) if isinstance(value, tuple) else value
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value) or '""'


def _type(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    limits = [text for each in metadata for text in _limits(each)]
    origin, inner = getattr(annotation, "__origin__", None), get_args(annotation)
    if annotation is type(None):
        return "none"
    if origin is not None and hasattr(annotation, "__metadata__"):  # Annotated
        return _type(inner[0], [*annotation.__metadata__, *metadata])
    if origin is tuple:
        if len(inner) == 2 and inner[1] is Ellipsis:
            return f"list of {_type(inner[0])}s"
        return "[" + ", ".join(_type(each) for each in inner) + "]"
    if str(origin) == "typing.Literal":
        return ", ".join(f"`{value}`" for value in inner)
    if inner and origin is not dict:  # a union
        return " or ".join(dict.fromkeys(_type(each, metadata if each in (int, float) else ()) for each in inner))
    plain = {int: "whole number", float: "number", bool: "`true`, `false`", str: "text"}.get(annotation, "mapping")
    return f"{plain} {' and '.join(limits)}".strip()


def _limits(constraint: Any) -> list[str]:
    if isinstance(constraint, FieldInfo):
        return [text for each in constraint.metadata for text in _limits(each)]
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    return [
        f"{sign} {getattr(constraint, name):g}"
        for name, sign in signs.items()
        if getattr(constraint, name, None) is not None
    ]
