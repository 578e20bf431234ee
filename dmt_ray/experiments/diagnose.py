"""What failed in a sweep or an ablation, why and where: what `dmt why` prints."""

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from dmt_ray.execution import journal
from dmt_ray.execution.journal import SHARED, Activity, Fault
from dmt_ray.experiments import reproduce
from dmt_ray.experiments.ablation import Member
from dmt_ray.experiments.experiment_file import ExperimentFile, read, read_failed
from dmt_ray.experiments.sweep import Trial, in_words
from dmt_ray.experiments.trials import read_trials
from dmt_ray.plan import Stage
from dmt_ray.store import Store

WIDTH = 100
MANY = 6  # rows that are named
_TITLE = 12  # columns


def diagnose(folder: Path) -> str:
    """What failed, for people; commands and paths stand in one line each, the rest is wrapped."""
    file, faults = read(folder), journal.read_faults(folder)
    return _sweep(folder, file, faults) if file.kind == "sweep" else _ablation(folder, file, faults)


def _report(head: str, failures: Sequence[str], others: Sequence[str], member: str, part: str) -> str:
    """Everything in order: the counts, each failure, and what another attempt has made good."""
    blocks = [head, *failures]
    if others:
        blocks.append("\n".join([f"not the end of a {member}:", *others]))
    if not failures:
        blocks.append(f"No {part} failed." if others else f"No {part} failed, and no worker was lost.")
    return "\n\n".join(blocks)


def _states(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))


# ---- sweeps ----------------------------------------------------------------------------------------------------


def _sweep(folder: Path, file: ExperimentFile, faults: Sequence[Fault]) -> str:
    trials = read_trials(folder, file.sweep.name) if (folder / "study.db").exists() else []
    states = _states(Counter(trial.state for trial in trials)) or "none begun"
    failed = [trial for trial in trials if trial.state == "failed"]
    numbers = {trial.number for trial in failed}
    others = [_other_of_sweep(folder, fault, trials) for fault in faults if fault.member not in numbers]
    head = f"{file.sweep.name}: {file.trials} trials, {states}"
    return _report(head, [_failed_trial(folder, file, trial, faults) for trial in failed], others, "trial", "trial")


def _failed_trial(folder: Path, file: ExperimentFile, trial: Trial, faults: Sequence[Fault]) -> str:
    mine = [fault for fault in faults if fault.member == trial.number]
    lines = [f"trial {trial.number} failed: {in_words(trial.params)}", wrapped("error", trial.error or "not known")]
    last = next((fault for fault in reversed(mine) if fault.kind == "failed"), None)
    if last is not None:
        lines.append(wrapped("stage", "not in a stage" if last.activity is None else last.activity.describe()))
        lines += [wrapped("node", last.node or "not known"), wrapped("when", when(last))]
        mine = mine[: mine.index(last)]
    lines += [wrapped("before", sentence(fault)) for fault in mine]
    return "\n".join([*lines, *_traceback(folder, trial.number), line("replay", reproduce.of_trial(file, trial))])


def _other_of_sweep(folder: Path, fault: Fault, trials: Sequence[Trial]) -> str:
    """A fault of a trial that has not failed, or of a stage that all trials have in common."""
    state = next((trial.state for trial in trials if trial.number == fault.member), None)
    if state is not None:
        return wrapped(f"trial {fault.member}", f"{sentence(fault)}; now {state}")
    # Earlier versions had one traceback for all shared stages.
    more = (_traceback(folder, fault.member) or _traceback(folder, SHARED)) if fault.kind == "failed" else []
    return "\n".join([wrapped(SHARED, sentence(fault, "shared by all trials")), *more])


# ---- ablations -------------------------------------------------------------------------------------------------


def _ablation(folder: Path, file: ExperimentFile, faults: Sequence[Fault]) -> str:
    store, failed_by_name = Store(folder.parents[1]), read_failed(folder)
    missing = [(member, _missing(store, member)) for member in file.ablation.members()]
    gone = {stage for _, stages in missing for stage in stages}
    failed = {stage: failed_by_name[stage.name] for stage in gone if stage.name in failed_by_name}
    states = Counter(
        "complete" if not stages else "failed" if not failed.keys().isdisjoint(stages) else "missing"
        for _, stages in missing
    )
    failures, explained = [], list[Fault]()
    for stages in _causes(failed):
        why = failed[stages[0]]
        names = {stage.name for stage, reason in failed.items() if reason == why}
        mine = [fault for fault in faults if fault.member in names]
        costs = [member for member, lacking in missing if not set(stages).isdisjoint(lacking)]
        failures.append(_failed_stages(folder, file, stages, why, mine, costs))
        explained += mine
    others = [
        _other_of_ablation(file, fault, {stage.name for stage in gone}) for fault in faults if fault not in explained
    ]
    return _report(f"{file.ablation.name}: {len(missing)} runs, {_states(states)}", failures, others, "run", "stage")


def _missing(store: Store, member: Member) -> list[Stage]:
    return store.missing(evaluation for rung in member.plan.rungs for evaluation in rung.values())


def _causes(failed: Mapping[Stage, str]) -> list[list[Stage]]:
    """The stages that failed by themselves, not for want of another one; those with the same reason together."""
    causes: dict[str, list[Stage]] = {}
    for stage, why in failed.items():
        if failed.keys().isdisjoint(stage.inputs.values()):
            causes.setdefault(why, []).append(stage)
    return [sorted(stages, key=lambda stage: (stage.seed, stage.name)) for _, stages in sorted(causes.items())]


def _failed_stages(
    folder: Path,
    file: ExperimentFile,
    stages: Sequence[Stage],
    why: str,
    mine: Sequence[Fault],
    costs: Sequence[Member],
) -> str:
    end = next((fault for fault in reversed(mine) if fault.kind == "failed"), mine[-1] if mine else None)
    known = next((fault.activity for fault in reversed(mine) if fault.activity is not None), None)
    what = "; ".join(Activity.of(stage, None).describe() for stage in stages) if known is None else known.describe()
    lines = [f"{' and '.join(stage.name for stage in stages)} failed"]
    lines += [wrapped("error", why), wrapped("stage", what), wrapped("costs", _rows(costs))]
    if end is not None:
        lines += [wrapped("node", end.node or "not known"), wrapped("when", when(end))]
        lines += [wrapped("before", sentence(fault)) for fault in mine if fault is not end]
        lines += _traceback(folder, end.member)
    return "\n".join([*lines, line("replay", reproduce.of_member(file, costs[0]))])


def _other_of_ablation(file: ExperimentFile, fault: Fault, missing: set[str]) -> str:
    """A fault that another attempt has made good, or may."""
    stage = str(fault.member) if fault.activity is None else fault.activity.stage
    users = [one for one in file.ablation.members() if stage in {part.name for part in one.plan.stages()}]
    now = "missing" if stage in missing else "there"
    return wrapped(str(fault.member).partition("-")[0], f"{sentence(fault)}; wanted for {_rows(users)}; now {now}")


def _rows(members: Sequence[Member]) -> str:
    """Cells and seeds: "DMT and DMT-Flip, seed 1"; of many cells the first ones."""
    if not members:
        return "a row that the table no longer has"
    several = len({one.cell.column for one in members}) > 1
    by_seed: dict[int, list[str]] = {}
    for one in members:
        by_seed.setdefault(one.seed, []).append(f"{one.cell.row} ({one.cell.column})" if several else one.cell.row)
    cells: dict[tuple[str, ...], list[int]] = {}
    for seed, rows in by_seed.items():
        cells.setdefault(tuple(rows), []).append(seed)
    return "; ".join(
        f"{_listed(rows)}, seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}" for rows, seeds in cells.items()
    )


def _listed(rows: Sequence[str]) -> str:
    shown = [f"{row!r}" if "," in row else row for row in rows]
    if len(shown) > MANY:
        return f"{', '.join(shown[:MANY])} and {len(shown) - MANY} more"
    return " and ".join(part for part in (", ".join(shown[:-1]), shown[-1]) if part)


# ---- text ------------------------------------------------------------------------------------------------------


def sentence(fault: Fault, shared: str = "") -> str:
    """What happened, when and where; `shared` as in `Activity.describe`."""
    what = "a worker was lost" if fault.kind == "lost" else "an attempt failed"
    where = "" if fault.activity is None else f" in {fault.activity.describe(shared)}"
    node = "" if fault.node is None else f" on {fault.node}"
    return f"{what} at {when(fault)}{node}{where}: {fault.error}"


def when(fault: Fault) -> str:
    """As people write it."""
    return fault.when.replace("T", " ").replace("+00:00", " UTC")


def line(title: str, text: str) -> str:
    """A line that can be copied, however long it is."""
    return f"  {title:<{_TITLE - 2}}{text}"


def wrapped(title: str, text: str) -> str:
    """Lines that can be read."""
    indent = line(title, "")
    return textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=" " * _TITLE, break_on_hyphens=False)


def _traceback(folder: Path, who: int | str) -> list[str]:
    path = folder / "errors" / f"{who}.txt"
    return [line("traceback", str(path))] if path.exists() else []
