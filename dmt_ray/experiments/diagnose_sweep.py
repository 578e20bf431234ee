"""Why trials of a sweep failed, and where: what `dmt why` prints."""

import textwrap
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from dmt_ray.execution import journal
from dmt_ray.execution.journal import Fault
from dmt_ray.experiments import sweep_file
from dmt_ray.experiments.sweep import Trial, in_words
from dmt_ray.experiments.sweep_file import SweepFile
from dmt_ray.experiments.trials import read_trials
from dmt_ray.search.trial import SHARED

WIDTH = 100
_TITLE = 12  # columns


def explain(folder: Path) -> str:
    """What went wrong in a sweep, for people; commands and paths stand in one line each, the rest is wrapped."""
    file = sweep_file.read(folder)
    trials = read_trials(folder, file.sweep.name) if (folder / "study.db").exists() else []
    found = journal.read(folder)
    counts = Counter(trial.state for trial in trials)
    states = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    blocks = [f"{file.sweep.name}: {file.trials} trials" + (f", {states}" if states else ", none begun")]
    failed = [trial for trial in trials if trial.state == "failed"]
    blocks += [_failed(folder, file, trial, found) for trial in failed]
    others = [_other(folder, fault, trials) for fault in found if fault.who not in {trial.number for trial in failed}]
    if others:
        blocks.append("\n".join(["not the end of a trial:", *others]))
    if not failed:
        blocks.append("No trial failed." if others else "No trial failed, and no worker was lost.")
    return "\n\n".join(blocks)


def _failed(folder: Path, file: SweepFile, trial: Trial, found: Sequence[Fault]) -> str:
    mine = [fault for fault in found if fault.who == trial.number]
    lines = [f"trial {trial.number} failed: {in_words(trial.params)}", wrapped("error", trial.error or "not known")]
    last = next((fault for fault in reversed(mine) if fault.kind == "failed"), None)
    if last is not None:
        lines.append(wrapped("stage", "not in a stage" if last.doing is None else last.doing.told()))
        lines.append(wrapped("node", last.node or "not known"))
        lines.append(wrapped("when", when(last)))
        mine = mine[: mine.index(last)]
    lines += [wrapped("before", sentence(fault)) for fault in mine]
    traceback = folder / "errors" / f"{trial.number}.txt"
    if traceback.exists():
        lines.append(line("traceback", str(traceback)))
    lines.append(line("replay", file.replay.command(file.sweep, trial)))
    return "\n".join(lines)


def _other(folder: Path, fault: Fault, trials: Sequence[Trial]) -> str:
    """A fault of a trial that has not failed, or of a stage that all trials share."""
    state = next((trial.state for trial in trials if trial.number == fault.who), None)
    if state is None:
        traceback = folder / "errors" / f"{SHARED}.txt"
        more = [line("traceback", str(traceback))] if fault.kind == "failed" and traceback.exists() else []
        return "\n".join([wrapped(SHARED, sentence(fault, "shared by all trials")), *more])
    return wrapped(f"trial {fault.who}", f"{sentence(fault)}; now {state}")


def sentence(fault: Fault, shared: str = "") -> str:
    """What happened, when and where; `shared` as in `Doing.told`."""
    what = "a worker was lost" if fault.kind == "lost" else "an attempt failed"
    where = "" if fault.doing is None else f" in {fault.doing.told(shared)}"
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
    return textwrap.fill(
        text, WIDTH, initial_indent=line(title, ""), subsequent_indent=" " * _TITLE, break_on_hyphens=False
    )
