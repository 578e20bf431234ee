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


def evictable() -> Evictable:
    """The files of all operations that may be removed to free space, in order."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    bases = (Slice, TrainingSlice, NewModelSlice)
    kinds = zip(*(each.evictable for base in bases for each in reversed(base.__subclasses__())), strict=True)
    return Evictable(*(tuple(dict.fromkeys(name for names in kind for name in names)) for kind in kinds))
