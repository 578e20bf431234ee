"""Why trials of a sweep failed, and where: what `dmt why` prints."""

import textwrap
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from dmt_ray.config import nearest
from dmt_ray.errors import ConfigError
from dmt_ray.search import faults, sweep_file
from dmt_ray.search.faults import Fault
from dmt_ray.search.study import read_trials
from dmt_ray.search.summary import in_words
from dmt_ray.search.sweep import Trial
from dmt_ray.search.sweep_file import SweepFile
from dmt_ray.search.trial import SHARED

WIDTH = 100
_TITLE = 12  # columns


def find(storage: Path, name: str) -> Path:
    """The folder of a sweep.

    Args:
        storage: Folder of the results.
        name: The sweep's name, the beginning of it if no other sweep's name begins so, or its folder.

    Raises:
        ConfigError: If there is no such sweep, with the nearest names, or if there are several.
    """
    if (Path(name) / sweep_file.NAME).is_file():
        return Path(name)
    known = {path.parent.name: path.parent for path in (storage / "sweeps").glob(f"*/{sweep_file.NAME}")}
    if not known:
        raise ConfigError(f"there are no sweeps in {storage}. Pass the folder of the results as --storage.")
    if name in known:
        return known[name]
    begun = sorted(one for one in known if one.startswith(name))
    if len(begun) > 1:
        raise ConfigError(f"several sweeps begin with {name!r}: {', '.join(begun)}")
    if not begun:
        raise ConfigError(f"there is no sweep {name!r} in {storage}; {nearest(name, known)}")
    return known[begun[0]]


def explain(folder: Path) -> str:
    """What went wrong in a sweep, for people; commands and paths stand in one line each, the rest is wrapped."""
    file = sweep_file.read(folder)
    trials = read_trials(folder, file.sweep.name) if (folder / "study.db").exists() else []
    found = faults.read(folder)
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
    lines = [f"trial {trial.number} failed: {in_words(trial.params)}", _wrapped("error", trial.error or "not known")]
    last = next((fault for fault in reversed(mine) if fault.kind == "failed"), None)
    if last is not None:
        lines.append(_wrapped("stage", "not in a stage" if last.doing is None else str(last.doing)))
        lines.append(_wrapped("node", last.node or "not known"))
        lines.append(_wrapped("when", _when(last)))
        mine = mine[: mine.index(last)]
    lines += [_wrapped("before", _sentence(fault)) for fault in mine]
    traceback = folder / "errors" / f"{trial.number}.txt"
    if traceback.exists():
        lines.append(_line("traceback", str(traceback)))
    lines.append(_line("replay", file.replay.command(file.sweep, trial)))
    return "\n".join(lines)


def _other(folder: Path, fault: Fault, trials: Sequence[Trial]) -> str:
    """A fault of a trial that has not failed, or of a stage that all trials share."""
    state = next((trial.state for trial in trials if trial.number == fault.who), None)
    if state is None:
        traceback = folder / "errors" / f"{SHARED}.txt"
        more = [_line("traceback", str(traceback))] if fault.kind == "failed" and traceback.exists() else []
        return "\n".join([_wrapped(SHARED, _sentence(fault)), *more])
    return _wrapped(f"trial {fault.who}", f"{_sentence(fault)}; now {state}")


def _sentence(fault: Fault) -> str:
    what = "a worker was lost" if fault.kind == "lost" else "an attempt failed"
    where = "" if fault.doing is None else f" in {fault.doing}"
    node = "" if fault.node is None else f" on {fault.node}"
    return f"{what} at {_when(fault)}{node}{where}: {fault.error}"


def _when(fault: Fault) -> str:
    return fault.when.replace("T", " ").replace("+00:00", " UTC")


def _line(title: str, text: str) -> str:
    return f"  {title:<{_TITLE - 2}}{text}"


def _wrapped(title: str, text: str) -> str:
    return textwrap.fill(
        text, WIDTH, initial_indent=_line(title, ""), subsequent_indent=" " * _TITLE, break_on_hyphens=False
    )
