"""Why stages of an ablation failed, and what of the table that costs: what `dmt why` prints of ablations."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from dmt_ray.execution import journal
from dmt_ray.execution.journal import Activity, Fault
from dmt_ray.experiments import ablation_file, reproduce_ablation
from dmt_ray.experiments.ablation import Wanted
from dmt_ray.experiments.ablation_file import AblationFile
from dmt_ray.experiments.diagnose_sweep import line, sentence, when, wrapped
from dmt_ray.plan import Stage
from dmt_ray.store import Store

MANY = 6  # rows that are named


def explain(folder: Path) -> str:
    """What went wrong in an ablation, for people; commands and paths stand in one line each, the rest is wrapped."""
    file, store, found = ablation_file.read(folder), Store(folder.parents[1]), journal.read_faults(folder)
    missing = [(wanted, _missing(store, wanted)) for wanted in file.ablation.wanted()]
    gone = {stage for _, stages in missing for stage in stages}
    said = ablation_file.read_failed(folder)
    failed = {stage: said[stage.name] for stage in gone if stage.name in said}
    causes = _causes(failed)
    counts = Counter(
        "complete" if not stages else "failed" if not failed.keys().isdisjoint(stages) else "missing"
        for _, stages in missing
    )
    states = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    blocks = [f"{file.ablation.name}: {len(missing)} runs, {states}"]
    told: list[Fault] = []
    for stages in causes:
        names = {stage.name for stage, why in failed.items() if why == failed[stages[0]]}
        mine = [fault for fault in found if fault.member in names]
        costs = [wanted for wanted, lacking in missing if not set(stages).isdisjoint(lacking)]
        blocks.append(_failed(folder, file, stages, failed[stages[0]], mine, costs))
        told += mine
    others = [_other(file, fault, {stage.name for stage in gone}) for fault in found if fault not in told]
    if others:
        blocks.append("\n".join(["not the end of a run:", *others]))
    if not causes:
        blocks.append("No stage failed." if others else "No stage failed, and no worker was lost.")
    return "\n\n".join(blocks)


def _missing(store: Store, wanted: Wanted) -> list[Stage]:
    return store.missing(evaluation for rung in wanted.plan.rungs for evaluation in rung.values())


def _causes(failed: Mapping[Stage, str]) -> list[list[Stage]]:
    """The stages that failed by themselves, not for want of another one; those with the same reason together."""
    found: dict[str, list[Stage]] = {}
    for stage, why in failed.items():
        if failed.keys().isdisjoint(stage.inputs.values()):
            found.setdefault(why, []).append(stage)
    return [sorted(stages, key=lambda stage: (stage.seed, stage.name)) for _, stages in sorted(found.items())]


def _failed(
    folder: Path, file: AblationFile, stages: Sequence[Stage], why: str, mine: Sequence[Fault], costs: Sequence[Wanted]
) -> str:
    end = next((fault for fault in reversed(mine) if fault.kind == "failed"), mine[-1] if mine else None)
    known = next((fault.activity for fault in reversed(mine) if fault.activity is not None), None)
    lines = [f"{' and '.join(stage.name for stage in stages)} failed", wrapped("error", why)]
    at = [Activity.of(stage, None) for stage in stages] if known is None else [known]
    lines.append(wrapped("stage", "; ".join(map(str, at))))
    lines.append(wrapped("costs", _rows(costs)))
    if end is not None:
        lines += [wrapped("node", end.node or "not known"), wrapped("when", when(end))]
        lines += [wrapped("before", sentence(fault)) for fault in mine if fault is not end]
        traceback = folder / "errors" / f"{end.member}.txt"
        if traceback.exists():
            lines.append(line("traceback", str(traceback)))
    lines.append(line("replay", reproduce_ablation.command(file, costs[0])))
    return "\n".join(lines)


def _other(file: AblationFile, fault: Fault, missing: set[str]) -> str:
    """A fault that another attempt has made good, or may."""
    stage = str(fault.member) if fault.activity is None else fault.activity.stage
    for_whom = [wanted for wanted in file.ablation.wanted() if stage in {one.name for one in wanted.plan.stages()}]
    now = "missing" if stage in missing else "there"
    return wrapped(str(fault.member).partition("-")[0], f"{sentence(fault)}; wanted for {_rows(for_whom)}; now {now}")


def _rows(wanted: Sequence[Wanted]) -> str:
    """Cells and seeds: "DMT and DMT-Flip, seed 1"; of many cells the first ones."""
    if not wanted:
        return "a row that the table no longer has"
    several = len({one.cell.column for one in wanted}) > 1
    by_seed: dict[int, list[str]] = {}
    for one in wanted:
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
