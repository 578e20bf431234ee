"""Pick: the better of two models on the validation images, or the other one (Pet study, Sec. 4.2)."""

import json
import shutil
from pathlib import Path

from dmt_ray.engine.workspace import Workspace
from dmt_ray.plan.files import CHOICE, METRICS, MODEL, weights_of
from dmt_ray.plan.measures import headline
from dmt_ray.plan.operations.pick import Pick

_FILES = (f"{MODEL}.json", *weights_of(MODEL))


def pick(config: Pick, work: Workspace) -> int:
    """Copy ``work.inputs["first"]`` or ``work.inputs["second"]``, by the scores beside them.

    Of models that score the same the first is the better. Writes the model's files and choice.json: which it is, and
    both scores.

    Returns:
        1.
    """
    scores = {name: _score(work.inputs[f"{name}_scores"]) for name in ("first", "second")}
    first_is_better = scores["first"] >= scores["second"]
    picked = "first" if first_is_better == config.better else "second"
    if work.team.chief:
        for name in _FILES:
            if (work.inputs[picked] / name).exists():
                shutil.copyfile(work.inputs[picked] / name, work.out / name)
        choice = {"picked": picked, "scores": scores}
        (work.out / CHOICE).write_text(json.dumps(choice, indent=1) + "\n", encoding="utf-8")
    work.progress(1, 1)
    return 1


def _score(evaluation: Path) -> float:
    """What a model scores on the validation images."""
    return headline(json.loads((evaluation / METRICS).read_text(encoding="utf-8"))["selection"])
