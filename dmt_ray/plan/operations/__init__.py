"""The operations of plans:  pretrain, label, finetune, retrain, cotrain, evaluate and what goes between them.

Each operation takes the whole `Config` and keeps only the slice it reads, so that a setting which cannot change a stage
cannot change its key either, and a method cannot hand an operation the wrong slice.

A new operation is two files: one here, with its slice and the function that makes the stage; and
``dmt_ray/engine/<name>.py`` with a function of the same name that performs it. Raise a revision when the same settings
would give other numbers; tests/golden/ says when that is due.
"""

import importlib
import pkgutil

from dmt_ray.plan import Evictable, NewModelSlice, Slice, TrainingSlice
from dmt_ray.plan.operations.adopt import adopt as adopt
from dmt_ray.plan.operations.assess import assess as assess
from dmt_ray.plan.operations.compose import compose as compose
from dmt_ray.plan.operations.cotrain import cotrain as cotrain
from dmt_ray.plan.operations.ensemble import ensemble as ensemble
from dmt_ray.plan.operations.evaluate import evaluate as evaluate
from dmt_ray.plan.operations.finetune import finetune as finetune
from dmt_ray.plan.operations.label import label as label
from dmt_ray.plan.operations.pick import pick as pick
from dmt_ray.plan.operations.pretrain import pretrain as pretrain
from dmt_ray.plan.operations.pretrain import pretrain_oracle as pretrain_oracle
from dmt_ray.plan.operations.retrain import retrain as retrain


def slices() -> dict[str, type[Slice]]:
    """Name of every operation -> its slice."""
    kinds = _bases_and_kinds()
    return {kind.operation.name: kind for kind in kinds if hasattr(kind, "operation")}


def evictable() -> Evictable:
    """The files of all operations that may be removed to free space, in order."""
    files = zip(*(kind.evictable for kind in _bases_and_kinds()), strict=True)
    return Evictable(*(tuple(dict.fromkeys(name for names in kind for name in names)) for kind in files))


def _bases_and_kinds() -> list[type[Slice]]:
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return [kind for base in (Slice, TrainingSlice, NewModelSlice) for kind in reversed(base.__subclasses__())]
