"""What a sweep would do and cost, said without doing it."""

from collections.abc import Callable, Sequence

from rich.console import Console

from dmt_ray.estimate import Estimator
from dmt_ray.plan import Stage
from dmt_ray.search.effort import Work
from dmt_ray.search.summary import in_words
from dmt_ray.search.sweep import Sweep
from dmt_ray.store import Store


def describe(console: Console, sweep: Sweep, store: Store, work_of: Callable[[Stage], int], total: int) -> None:
    """Print name, seeds, trials, what is shared, and what is missing of it and of each trial."""
    estimate = Estimator(store, Work(work_of))
    common = sweep.common()
    shared = set(common)
    middle = {setting: (values.low + values.high) / 2 for setting, values in sweep.space.items()}
    stages = [stage for plan in sweep.plans(middle).values() for stage in plan.stages()]
    own = [stage for stage in stages if stage not in shared]
    there = sum(map(store.has, common))
    rows = [
        ("sweep", sweep.name),
        ("asks", sweep.title),
        ("space", ", ".join(f"{name} in [{v.low:g}, {v.high:g}]" for name, v in sweep.space.items())),
        ("seeds", f"{', '.join(map(str, sweep.seeds))}: every trial is the mean over them"),
        ("trials", f"{total}, each of {sweep.rungs()} rungs, {len(stages)} stages"),
        ("shared", f"{len(common)} stages by all trials, computed once: {_kinds(common)}"),
        ("", f"{there} of them are in the store, to do: {estimate(store.missing(common))}"),
        ("a trial", f"{len(own)} stages of its own: {_kinds(own)}"),
    ]
    points = sweep.points()[:total]
    known: list[Stage] = []
    for point in points:
        plans = sweep.plans(point).values()
        known += [stage for plan in plans for stage in plan.stages()]
        left = store.missing(stage for plan in plans for rung in plan.rungs for stage in rung.values())
        rows.append(("point", f"{in_words(point)}, to do: {estimate(left)}"))
    # Points that are not known yet are like the one in the middle of the space.
    unknown = [stage for _ in range(total - len(points)) for stage in own]
    missing = [*store.missing(dict.fromkeys([*common, *known])), *unknown]
    rows.append(("in all", f"at most {estimate(missing)}, divided by the trials at a time"))
    for title, text in rows:
        console.print(f"[bold]{title:<8}[/bold]", end=" ")
        console.print(text, markup=False, highlight=False, soft_wrap=True)


def _kinds(stages: Sequence[Stage]) -> str:
    names = [stage.operation.name for stage in stages]
    return ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names)) or "none"
