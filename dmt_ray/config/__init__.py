"""Frozen, validated settings: one class per group of settings; unknown keys are errors.

A setting belongs here only if it changes the result. Device, number of workers, paths and the like are not
settings of an experiment; they belong to the runner (`runner.Machine`).
"""

from dmt_ray.config.data import COLOURS, DATA_SETS, Data, DataSettings, Split, Task, class_named, dataset
from dmt_ray.config.experiment import FOR_ALL, OPAQUE, Config, from_stored, override
from dmt_ray.config.external import External
from dmt_ray.config.normalisation import IMAGENET, Normalisation, Normalised, Statistics, normalisation_of
from dmt_ray.config.registry import Registry
from dmt_ray.config.settings import PositiveFraction, Settings, nearest, neutral
from dmt_ray.config.training import SIDES, Augment, Consistency, LabelRule, Model, SelectionRule, Side, Training
from dmt_ray.config.weights import DisagreementWeight, UniformWeight, Weight, WeightSettings

__all__ = [
    "COLOURS", "DATA_SETS", "FOR_ALL", "IMAGENET", "OPAQUE", "SIDES", "Augment", "Config", "Consistency", "Data",
    "DataSettings", "DisagreementWeight", "External", "LabelRule", "Model", "Normalisation", "Normalised",
    "PositiveFraction", "Registry", "SelectionRule", "Settings", "Side", "Split", "Statistics", "Task", "Training",
    "UniformWeight", "Weight", "WeightSettings", "dataset", "from_stored", "nearest", "neutral", "normalisation_of",
    "override",
]  # fmt: skip


def __getattr__(name: str) -> type[DataSettings]:
    """The settings of a data set by the name of their class, such as `FolderData`; loaded when it is looked up."""
    found: type[DataSettings] | None = class_named(name)
    if found is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return found
