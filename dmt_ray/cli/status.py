"""`dmt status`: the state of experiments."""

import argparse

from dmt_ray.experiments.commands import runnable
from dmt_ray.plan.words import counted
from dmt_ray.report.status import Status, all_statuses, find


def show_status(options: argparse.Namespace) -> None:
    """Print the state of one experiment, or one line about each experiment in a storage folder."""
    one = options.name is not None
    statuses = [find(options.storage, options.name)] if one else list(all_statuses(options.storage))
    if options.json:
        from dmt_ray.cli.documents import StatusDocument

        StatusDocument.of(statuses).show()
    elif one:
        print(_in_full(statuses[0]))
    else:
        width = max((len(status.name) for status in statuses), default=0)
        for status in statuses:
            print(f"{status.name:<{width}}  {status.state:10}  {', '.join(_parts(status))}")
        if not statuses:
            print(runnable(f"nothing in {options.storage} yet: start with `dmt sweep`, `dmt ablate` or `dmt run`"))


def _parts(status: Status) -> list[str]:
    return [status.counts(), *([_best(status)] if status.best is not None else [])]


def _stages(status: Status) -> str:
    """How many of the stages are stored, and of what these are all stages: points of trials are known as they begin."""
    stored, missing = (status.stages[name] for name in ("stored", "missing"))
    begun, rest = status.begun, sum(status.members.values()) - status.begun
    if status.kind != "sweep" or not rest:
        return f"stages: {stored:,} of {stored + missing:,} stored"
    if not begun:
        return "stages: not known before a trial begins"
    return (
        f"stages: {stored:,} of {stored + missing:,} stored, of the {counted(begun, 'trial')} that "
        f"{'has' if begun == 1 else 'have'} begun; those of {rest:,} more are not known yet"
    )


def _best(status: Status) -> str:
    assert status.best is not None
    best = "best" if status.state == "complete" else "best so far"
    return f"{best}: {status.best.what}, validation {status.best.measure} {status.best.score:.2%}"


def _in_full(status: Status) -> str:
    lines = [f"{status.name}: {status.state}", *_parts(status), _stages(status)]
    lines += [f"numbers: {status.gaps}"] if status.gaps else []
    lines += [f"failed: {text}" for text in status.failed]
    if status.failed and status.kind != "run":
        lines.append(f"why:    {runnable(f'dmt why {status.name} --storage {status.folder.parents[1]}')}")
    if status.command and status.state != "complete":
        lines.append(f"resume: {runnable(status.command)}")
    return "\n".join(lines)
