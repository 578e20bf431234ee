"""Frozen, validated settings: one class per thing that can be set, unknown keys are errors.

A setting belongs here only if it changes the result. Device, number of workers, paths and the like are not
settings of an experiment; they belong to the runner (`runner.Machine`).
"""

from dmt_ray.config.data import (
    CamvidData,
    CifarData,
    CityscapesData,
    ClassFoldersData,
    Data,
    DigitsData,
    FolderData,
    PetsData,
    ShapesData,
    Split,
    Task,
    VocData,
)
from dmt_ray.config.experiment import Config, override
from dmt_ray.config.settings import Settings, nearest, neutral
from dmt_ray.config.training import (
    SIDES,
    Augment,
    Consistency,
    Keep,
    LabelRule,
    Model,
    Side,
    Strong,
    Training,
    Weight,
    WeightRule,
)

__all__ = [
    "SIDES",
    "Augment",
    "CamvidData",
    "CifarData",
    "CityscapesData",
    "ClassFoldersData",
    "Config",
    "Consistency",
    "Data",
    "DigitsData",
    "FolderData",
    "Keep",
    "LabelRule",
    "Model",
    "PetsData",
    "Settings",
    "ShapesData",
    "Side",
    "Split",
    "Strong",
    "Task",
    "Training",
    "VocData",
    "Weight",
    "WeightRule",
    "nearest",
    "neutral",
    "override",
]
