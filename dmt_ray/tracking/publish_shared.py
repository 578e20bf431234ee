"""What publishing runs, sweeps and ablations has in common: find a run again, bring its metrics and files there."""

import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dmt_ray.errors import MissingStages, StoreError
from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.plan import Plan
from dmt_ray.plan.key import key_of
from dmt_ray.results import curves
from dmt_ray.results.curves import Point
from dmt_ray.store import Store
from dmt_ray.tracking.connection import Mirror

if TYPE_CHECKING:
    from mlflow.entities import Run

log = logging.getLogger(__name__)

PARENT = "mlflow.parentRunId"
KIND, NAME = "dmt.kind", "dmt.name"
DONE = "published.all"  # digest of everything that decides what a run shows
FILES = "published.files"  # the same for the tables and figures of a sweep or an ablation


def stored(store: Store, plans: Mapping[int, Plan]) -> list[str]:
    """Keys of the evaluations that are there."""
    return [unit.evaluation.key for unit in curves.units(plans) if store.has(unit.evaluation)]


def found_or_new(mirror: Mirror, identity: Mapping[str, str], name: str, start: int | None) -> "Run":
    """The oldest run with these tags, or a new one."""
    found = mirror.find(identity)
    return found[0] if found else mirror.create(name, identity, start)


def children(mirror: Mirror, parent: str, tag: str, names: Sequence[str]) -> dict[str, "Run"]:
    """The runs below a parent run that bear one of these names in a tag. All are read once: a thousand take seconds."""
    if not names:
        return {}
    if not any(known == parent for known, _ in mirror.runs):
        runs = mirror.find({PARENT: parent})
    else:
        runs = mirror.find_ids([mirror.runs[parent, name] for name in names if (parent, name) in mirror.runs])
        for name in names:  # another process may have made it
            if (parent, name) not in mirror.runs:
                runs += mirror.find({PARENT: parent, tag: name})
    found = {run.data.tags.get(tag, ""): run for run in reversed(runs)}
    mirror.runs |= {(parent, name): run.info.run_id for name, run in found.items()}
    return found


def publish_plans(
    mirror: Mirror,
    run: "Run",
    store: Store,
    plans: Mapping[int, Plan],
    dataset_info: DatasetInfo,
    *,
    finals: bool = True,
) -> None:
    """The metrics of all units that are stored and not yet marked as published."""
    for unit in curves.units(plans):
        mark = f"published.{unit.name}"
        if run.data.tags.get(mark) != unit.evaluation.key and store.has(unit.evaluation):
            with _readable(unit.name):
                mirror.log_points(run, curves.points(store, plans, unit, dataset_info))
                mirror.tag(run, {mark: unit.evaluation.key})
    rungs = min(len(plan.rungs) for plan in plans.values())
    complete = 0
    for rung in range(rungs):
        evaluations = [evaluation for plan in plans.values() for evaluation in plan.rungs[rung].values()]
        mark, value = f"published.{rung}", key_of([evaluation.key for evaluation in evaluations])
        if not all(store.has(evaluation) for evaluation in evaluations):
            break
        complete += 1
        if run.data.tags.get(mark) != value:
            with _readable(f"rung {rung}"):
                mirror.log_points(run, curves.rung_points(store, plans, rung))
                mirror.tag(run, {mark: value})
    if finals and complete == rungs and run.data.tags.get("published.finals") != value:
        with _readable("the last rung"):
            found, when = curves.finals(store, plans), ended(store, plans, None) or 0
            mirror.log_points(run, [Point(name, number, rungs - 1, when) for name, number in found.items()])
            mirror.tag(run, {"published.finals": value})


@contextmanager
def _readable(what: str) -> Iterator[None]:
    """Go on where a stage is damaged or gone: it is published when it has been computed again."""
    try:
        yield
    except (StoreError, MissingStages) as error:
        log.warning("%s is not published: %s", what, error)


def publish_files(mirror: Mirror, run: "Run", write: Callable[[Path], None]) -> None:
    """Upload what `write` puts into a folder."""
    with tempfile.TemporaryDirectory(prefix="dmt-") as name:
        with _readable("a figure"):
            write(Path(name))
        mirror.upload(run, Path(name))


def _times(store: Store, plans: Mapping[int, Plan], executed: Iterable[str] | None) -> list[tuple[int, int]]:
    """Begin and end, in milliseconds since 1970, of the stored stages, or of those of them that a trial executed."""
    own = None if executed is None else set(executed)
    return [
        (end - round(1000 * curves.took(store, stage)), end)
        for stage in dict.fromkeys(stage for plan in plans.values() for stage in plan.stages())
        if (own is None or stage.key in own) and store.has(stage)
        for end in [curves.ended(store, stage)]
    ]


def began(store: Store, plans: Mapping[int, Plan], executed: Iterable[str] | None) -> int | None:
    """When the first of the stored stages was begun, in milliseconds since 1970; see `_times`."""
    return min((begin for begin, _ in _times(store, plans, executed)), default=None)


def ended(store: Store, plans: Mapping[int, Plan], executed: Iterable[str] | None) -> int | None:
    """When the last of the stored stages was done, likewise."""
    return max((end for _, end in _times(store, plans, executed)), default=None)
