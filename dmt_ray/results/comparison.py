"""Two candidates beside each other: the settings that differ, and the first stages at which their work parts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from dmt_ray.config import Config
from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.plan import Plan, Stage, in_order
from dmt_ray.store import Store
from dmt_ray.store.record import RECORD, Record

UNSET = "not set"


@dataclass(frozen=True)
class Candidate:
    """A method with settings, run with some seeds: a run, a row of an ablation, or a trial of a sweep."""

    name: str  # for people
    method: str  # a name in `methods.METHODS`
    config: Config  # bound to its data
    plans: Mapping[int, Plan]  # by seed
    info: DatasetInfo  # names and colours of its classes, and its splits
    store: Store  # where its stages are
    storage: Path  # folder of the results
    data: Path | None = None  # folder of the data set, where one was given


@dataclass(frozen=True)
class Work:
    """A stage as its record or its plan describes it."""

    name: str  # operation and key
    operation: str
    seed: int
    config: Mapping[str, Any]  # what its key depends on
    inputs: Mapping[str, "Work"] = field(default_factory=dict)  # those that are known

    @classmethod
    def of(cls, stage: Stage) -> "Work":
        """The work of a planned stage."""
        known: dict[str, Work] = {}  # a stage is needed in many ways
        for one in in_order([stage]):
            inputs = {name: known[needed.name] for name, needed in one.inputs.items()}
            known[one.name] = cls(one.name, one.operation.name, one.seed, one.config.identity(), inputs)
        return known[stage.name]

    @classmethod
    def of_record(cls, folder: Path, known: "dict[Path, Work] | None" = None) -> "Work":
        """The work of a stored stage, with those of its inputs that are stored beside it; `known`: what was read."""
        known = {} if known is None else known
        if folder not in known:
            record = Record.from_json((folder / RECORD).read_bytes())
            stored = {name: folder.parents[1].glob(f"*/{key}/{RECORD}") for name, key in record.inputs.items()}
            inputs = {name: cls.of_record(path.parent, known) for name, paths in stored.items() for path in paths}
            name = f"{record.operation}-{record.key}"
            known[folder] = cls(name, record.operation, record.seed, record.config, inputs)
        return known[folder]


class Setting(NamedTuple):
    """A setting that differs, as text."""

    name: str
    first: str
    second: str


class Parting(NamedTuple):
    """A stage of each side: same place in the plan, same inputs, other work. One side may have none."""

    first: str  # name of the stage; "": there is none
    second: str
    settings: tuple[Setting, ...]  # in which they differ
    what: str = ""  # what only one of them has


def differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Setting]:
    """The settings of two nested mappings that differ, by dotted name, in their order."""
    ours, theirs = flattened(first), flattened(second)
    names = dict.fromkeys([*ours, *theirs])
    return [
        Setting(name, _text(ours.get(name, UNSET)), _text(theirs.get(name, UNSET)))
        for name in names
        if ours.get(name, UNSET) != theirs.get(name, UNSET)
    ]


def flattened(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested settings by dotted name."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= flattened(value, f"{before}{name}.") if isinstance(value, Mapping) else {f"{before}{name}": value}
    return flat


def settings_that_differ(first: Candidate, second: Candidate) -> list[Setting]:
    """Method, settings and seeds in which two candidates differ."""
    ours, theirs = ({"method": one.method, **one.config.model_dump(mode="json")} for one in (first, second))
    found = differing(ours, theirs)
    if first.plans.keys() != second.plans.keys():
        found.append(Setting("seeds", *(", ".join(map(str, one.plans)) for one in (first, second))))
    return found


def partings(first: Work, second: Work) -> list[Parting]:
    """The first pieces of work at which two stages part: those that differ although all of their inputs are the same.

    Returns:
        Each once, in the order of the plan; none for the same stage. Where the inputs that are the same have other
        names, or none of them is known any more, it is the stage itself.
    """
    return list(dict.fromkeys(_partings(first, second, set())))


def _partings(first: Work, second: Work, seen: set[tuple[str, str]]) -> Iterator[Parting]:
    if first.name == second.name or (first.name, second.name) in seen:
        return
    seen.add((first.name, second.name))
    same_kind = first.operation == second.operation
    pairs = [(first.inputs[name], second.inputs[name]) for name in first.inputs if name in second.inputs]
    deeper = [pair for pair in pairs if pair[0].name != pair[1].name] if same_kind else []
    for pair in deeper:
        yield from _partings(*pair, seen)
    if not deeper:
        seeds = ({"seed": first.seed}, {"seed": second.seed})
        own = [*differing(*seeds), *(differing(first.config, second.config) if same_kind else ())]
        yield Parting(first.name, second.name, tuple(own))


def of_plans(first: Plan, second: Plan) -> tuple[list[Parting], int]:
    """Where two plans part, rung by rung and model by model, and how many stages they have in common.

    A model that only one of them has is a parting with an empty name on the other side; its training is named.
    """
    common = len(set(first.stages()) & set(second.stages()))
    alone = dict[str, Parting]()
    for rung in range(max(len(first.rungs), len(second.rungs))):
        ours, theirs = (plan.rungs[rung] if rung < len(plan.rungs) else {} for plan in (first, second))
        for side in dict.fromkeys([*ours, *theirs]):
            if (side in ours) != (side in theirs):
                stage = (ours.get(side) or theirs[side]).inputs["model"].name
                what = f"model {side} at rung {rung} of the {'first' if side in ours else 'second'} alone"
                alone.setdefault(side, Parting(*((stage, "") if side in ours else ("", stage)), (), what))
        both = [side for side in ours if side in theirs]
        found = [one for side in both for one in partings(Work.of(ours[side]), Work.of(theirs[side]))]
        if found or (not both and alone):
            return list(dict.fromkeys([*found, *alone.values()])), common
    return list(alone.values()), common


def _text(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(_text, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)
