"""What failed in a sweep or an ablation, why and where: what `dmt why` prints."""

import textwrap
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dmt_ray.execution import journal
from dmt_ray.execution.journal import SHARED, Activity, Fault
from dmt_ray.experiments import reproduce
from dmt_ray.experiments.ablation import Member
from dmt_ray.experiments.experiment_file import ExperimentFile, Kind, read, read_failed
from dmt_ray.experiments.sweep import Trial, in_words
from dmt_ray.experiments.trials import read_trials, states_of
from dmt_ray.plan import Stage
from dmt_ray.plan.words import counted, listed
from dmt_ray.store import Store

WIDTH = 100
MANY = 6  # rows that are named
_TITLE = 12  # columns


@dataclass(frozen=True)
class Failure:
    """Something that failed, why and where.

    Attributes:
        what: What it is, in a few words.
        parts: "error", and where they are known "stage" and "costs" -> a sentence about it.
        node: The machine of the last fault; None where no fault was written down.
        when: When that was.
        before: Earlier faults, one sentence each.
        traceback: File that says where the error came from.
        command: The `dmt` command that reproduces it.
    """

    what: str
    parts: Mapping[str, str]
    node: str | None
    when: str | None
    before: tuple[str, ...]
    traceback: Path | None
    command: str

    def text(self, command: Callable[[str], str]) -> str:
        """As text for people; `command` says how commands are printed."""
        lines = [self.what, *(wrapped(title, text) for title, text in self.parts.items())]
        if self.when is not None:
            lines += [wrapped("node", self.node or "not known"), wrapped("when", self.when)]
        lines += [wrapped("before", sentence) for sentence in self.before]
        lines += _traceback_line(self.traceback)
        return "\n".join([*lines, line("replay", command(self.command))])


@dataclass(frozen=True)
class Note:
    """A fault that did not end a member: a later attempt succeeded, or still may."""

    what: str
    text: str
    traceback: Path | None = None

    def __str__(self) -> str:
        return "\n".join([wrapped(self.what, self.text), *_traceback_line(self.traceback)])


@dataclass(frozen=True)
class Diagnosis:
    """What failed in an experiment."""

    name: str
    kind: Kind
    members: int  # how many there are to be
    states: Mapping[str, int]  # state -> how many of them
    failures: tuple[Failure, ...]
    notes: tuple[Note, ...]
    resume: str = ""  # the command that computes what is not complete; "": everything is, or the records do not know it

    def text(self, command: Callable[[str], str] = str) -> str:
        """As text for people; commands and paths are on one line each, the rest is wrapped."""
        member, part = ("trial", "trial") if self.kind == "sweep" else ("run", "stage")
        counts = ", ".join(f"{count:,} {state}" for state, count in sorted(self.states.items())) or "none started"
        blocks = [f"{self.name}: {counted(self.members, member)}, {counts}"]
        blocks += [failure.text(command) for failure in self.failures]
        if self.notes:
            blocks.append("\n".join([f"faults that did not end a {member}:", *map(str, self.notes)]))
        if not self.failures:
            blocks.append(f"No {part} failed{'' if self.notes else ', and no worker was lost'}.")
        if self.resume:
            blocks.append(f"To go on: {command(self.resume)}")
        return "\n\n".join(blocks)


def diagnose(folder: Path) -> Diagnosis:
    """What failed in the sweep or the ablation of a folder."""
    file, faults = replace(read(folder), storage=folder.parents[1]), journal.read_faults(folder)  # it may have moved
    found = _sweep(folder, file, faults) if file.kind == "sweep" else _ablation(folder, file, faults)
    done = found.states.get("complete", 0) + found.states.get("pruned", 0)
    return found if done >= found.members else replace(found, resume=reproduce.again(file))


def _failure(
    what: str, parts: Mapping[str, str], faults: Sequence[Fault], last: Fault | None, traceback: Path | None, again: str
) -> Failure:
    """What failed and why, where and when its `last` fault was, what happened before, and how to reproduce it."""
    before = tuple(sentence(fault) for fault in faults if fault is not last)
    node, at = (None, None) if last is None else (last.node, when(last))
    return Failure(what, parts, node, at, before, traceback, again)


# ---- sweeps ----------------------------------------------------------------------------------------------------


def _sweep(folder: Path, file: ExperimentFile, faults: Sequence[Fault]) -> Diagnosis:
    trials = read_trials(folder, file.sweep.name)
    failed = [trial for trial in trials if trial.state == "failed"]
    numbers = {trial.number for trial in failed}
    notes = tuple(_other_of_sweep(folder, fault, trials) for fault in faults if fault.member not in numbers)
    failures = tuple(_failed_trial(folder, file, trial, faults) for trial in failed)
    states = states_of(folder, trials)
    return Diagnosis(file.experiment.name, file.kind, file.trials, states, failures, notes)


def _failed_trial(folder: Path, file: ExperimentFile, trial: Trial, faults: Sequence[Fault]) -> Failure:
    mine = [fault for fault in faults if fault.member == trial.number]
    last = next((fault for fault in reversed(mine) if fault.kind == "failed"), None)
    parts = {"error": trial.error or "not known"}
    if last is not None:
        parts["stage"] = "not in a stage" if last.activity is None else last.activity.describe()
    head = f"trial {trial.number} failed: {in_words(trial.params)}"
    traceback = _traceback(folder, trial.number)
    return _failure(head, parts, mine, last, traceback, reproduce.of_trial(file, trial))


def _other_of_sweep(folder: Path, fault: Fault, trials: Sequence[Trial]) -> Note:
    """A fault of a trial that has not failed, or of a stage that all trials have in common."""
    state = next((trial.state for trial in trials if trial.number == fault.member), None)
    if state is not None:
        return Note(f"trial {fault.member}", f"{sentence(fault)}; now {state}")
    # Earlier versions had one traceback for all shared stages.
    more = (_traceback(folder, fault.member) or _traceback(folder, SHARED)) if fault.kind == "failed" else None
    return Note(SHARED, sentence(fault, "shared by all trials"), more)


# ---- ablations -------------------------------------------------------------------------------------------------


def _ablation(folder: Path, file: ExperimentFile, faults: Sequence[Fault]) -> Diagnosis:
    store, reasons, members = Store(folder.parents[1]), read_failed(folder), list(file.ablation.members())
    lacking = [store.missing(one.plan.targets()) for one in members]
    missing = {stage.name: stage for stages in lacking for stage in stages}
    failed = {name: stage for name, stage in missing.items() if name in reasons}
    states = Counter(
        "complete" if not stages else "failed" if any(stage.name in failed for stage in stages) else "missing"
        for stages in lacking
    )
    # The stages that failed by themselves, not for want of another one, by their reason.
    causes: dict[str, list[Stage]] = {}
    for name, stage in sorted(failed.items(), key=lambda item: (item[1].seed, item[0])):
        if not any(below.name in failed for below in stage.inputs.values()):
            causes.setdefault(reasons[name], []).append(stage)
    failures, explained = list[Failure](), list[Fault]()
    for reason, stages in sorted(causes.items()):
        mine = [fault for fault in faults if fault.member in failed and reasons[str(fault.member)] == reason]
        costs = [one for one, stages_of in zip(members, lacking) if not set(stages).isdisjoint(stages_of)]
        failures.append(_failed_stages(folder, stages, reason, mine, costs, reproduce.of_member(file, costs[0])))
        explained += mine
    notes = tuple(_other_of_ablation(members, fault, missing.keys()) for fault in faults if fault not in explained)
    return Diagnosis(file.experiment.name, file.kind, len(members), states, tuple(failures), notes)


def _failed_stages(
    folder: Path, stages: Sequence[Stage], reason: str, mine: Sequence[Fault], costs: Sequence[Member], again: str
) -> Failure:
    last = next((fault for fault in reversed(mine) if fault.kind == "failed"), mine[-1] if mine else None)
    known = next((fault.activity for fault in reversed(mine) if fault.activity is not None), None)
    activities = [Activity.of(stage, None) for stage in stages] if known is None else [known]
    what = "; ".join(activity.describe() for activity in activities)
    head = f"{' and '.join(stage.name for stage in stages)} failed"
    traceback = None if last is None else _traceback(folder, last.member)
    return _failure(head, {"error": reason, "stage": what, "costs": _rows(costs)}, mine, last, traceback, again)


def _other_of_ablation(members: Sequence[Member], fault: Fault, missing: Container[str]) -> Note:
    """A fault after which a later attempt succeeded, or still may."""
    stage = str(fault.member) if fault.activity is None else fault.activity.stage
    users = [one for one in members if stage in {part.name for part in one.plan.stages()}]
    now = "missing" if stage in missing else "there"
    return Note(str(fault.member).partition("-")[0], f"{sentence(fault)}; needed for {_rows(users)}; now {now}")


def _rows(members: Sequence[Member]) -> str:
    """Cells and seeds: "DMT and DMT-Flip, seed 1"; of many cells the first ones."""
    several = len({one.cell.column for one in members}) > 1
    by_seed: dict[int, list[str]] = {}
    for one in members:
        by_seed.setdefault(one.seed, []).append(f"{one.cell.row} ({one.cell.column})" if several else one.cell.row)
    cells: dict[tuple[str, ...], list[int]] = {}
    for seed, rows in by_seed.items():
        cells.setdefault(tuple(rows), []).append(seed)
    texts = [f"{_listed(rows)}, seed{'s' * (len(at) > 1)} {', '.join(map(str, at))}" for rows, at in cells.items()]
    return "; ".join(texts) or "a row that the table no longer has"


def _listed(rows: Sequence[str]) -> str:
    shown = [f"{row!r}" if "," in row else row for row in rows]
    return listed([*shown[:MANY], f"{len(shown) - MANY:,} more"] if len(shown) > MANY else shown)


# ---- text ------------------------------------------------------------------------------------------------------


def sentence(fault: Fault, shared: str = "") -> str:
    """What happened, when and where; `shared` as in `Activity.describe`."""
    what = "a worker was lost" if fault.kind == "lost" else "an attempt failed"
    where = "" if fault.activity is None else f" in {fault.activity.describe(shared)}"
    node = "" if fault.node is None else f" on {fault.node}"
    return f"{what} at {when(fault)}{node}{where}: {fault.error}"


def when(fault: Fault) -> str:
    """The time as text for people."""
    return fault.when.replace("T", " ").replace("+00:00", " UTC")


def line(title: str, text: str) -> str:
    """A line that can be copied, however long it is."""
    return f"  {title:<{_TITLE - 2}}{text}"


def wrapped(title: str, text: str) -> str:
    """Lines that can be read."""
    indent = line(title, "")
    return textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=" " * _TITLE, break_on_hyphens=False)


def _traceback_line(path: Path | None) -> list[str]:
    return [] if path is None else [line("traceback", str(path))]


def _traceback(folder: Path, member: int | str) -> Path | None:
    path = folder / "errors" / f"{member}.txt"
    return path if path.exists() else None
