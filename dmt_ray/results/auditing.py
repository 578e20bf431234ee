"""What an audit says of a table: in a sentence, by operation, and of each cell."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dmt_ray.experiments import audit_file
from dmt_ray.experiments.ablation import Member
from dmt_ray.experiments.audit_file import AuditFile, Recomputed
from dmt_ray.plan import Stage
from dmt_ray.plan.words import counted
from dmt_ray.results.statistics import at_most
from dmt_ray.store import Store


def in_words(content: AuditFile, digests: Mapping[Stage, str]) -> str:
    """The outcome: "17 of 603 stages recomputed, 17 agree: with 95 % confidence at most 16 % differ".

    Args:
        content: The audit.
        digests: Each recorded stage of the table -> the digest in its record.
    """
    drawn, total = [one for _, one in audit_file.sample(content, digests)], len(digests)
    if not drawn:
        return f"0 of {counted(total, 'stage')} recomputed"
    agree = sum(one.agrees for one in drawn)
    begin = f"{len(drawn):,} of {counted(total, 'stage')} recomputed, {agree:,} agree{'s' * (agree == 1)}"
    if len(drawn) == total:
        differ = f"{total - agree or 'none'} differ{'s' * (total - agree < 2)}"
        return f"{begin}: {differ}"
    share = at_most(len(drawn), len(drawn) - agree, total)
    return f"{begin}: with 95 % confidence at most {math.ceil(100 * share - 1e-9)} % differ"


def by_operation(stages: Iterable[Stage], digests: Mapping[Stage, str]) -> str:
    """How many stages of each operation were recomputed: "pretrain 2 of 4, evaluate 3 of 8"."""
    done, all_of = (Counter(stage.operation.name for stage in each) for each in (stages, digests))
    return ", ".join(f"{operation} {done[operation]:,} of {count:,}" for operation, count in all_of.items())


def of_cells(folder: Path, store: Store, members: Sequence[Member]) -> dict[str, Any]:
    """What the audit of an ablation says of its table; {} where there was none.

    Returns:
        "sentence"; "compared", how; "agrees": [row, column] of each cell all of whose stages were recomputed and
        agree; "differs": those of cells of which a stage does not.
    """
    content = audit_file.read(folder / audit_file.NAME)
    if not content.stages:
        return {}
    plans = {member.name: member.plan.stages() for member in members}
    digests = {
        stage: store.record(stage).digest
        for stage in dict.fromkeys(stage for stages in plans.values() for stage in stages)
        if store.has(stage)
    }
    known = {stage: one for stage, digest in digests.items() if (one := content.of(stage, digest)) is not None}
    found: dict[tuple[str, str], set[bool | None]] = {}
    for member in members:
        agree = {_agrees(known.get(stage)) for stage in plans[member.name]}
        found.setdefault((member.cell.row, member.cell.column), set()).update(agree)
    exact = all(one.exact for one in known.values())
    return {
        "sentence": in_words(content, digests),
        "compared": "byte by byte" if exact else "byte by byte, or within a stated bound on another machine",
        "agrees": [list(cell) for cell, agree in found.items() if agree == {True}],
        "differs": [list(cell) for cell, agree in found.items() if False in agree],
    }


def _agrees(outcome: Recomputed | None) -> bool | None:
    return None if outcome is None else outcome.agrees
