"""What a sweep would do and cost, said without doing it."""

from collections.abc import Callable, Sequence

from rich.console import Console
from rich.text import Text

from dmt_ray.execution.cost import Estimator, Work
from dmt_ray.experiments import reuse
from dmt_ray.experiments.sweep import Sweep, in_words
from dmt_ray.methods import METHODS
from dmt_ray.plan import Stage
from dmt_ray.store import Store


def describe(
    console: Console,
    sweep: Sweep,
    store: Store,
    work_of: Callable[[Stage], int],
    total: int,
    confirm: Sequence[int] = (),
) -> None:
    """Print name, seeds, trials, what is shared, and what is missing of it and of each trial.

    Args:
        console: Where to print it.
        sweep: The sweep.
        store: What is there already.
        work_of: Steps or images of a stage.
        total: Trials in all.
        confirm: Fresh seeds on which the best trial and the recipe are to be run again.
    """
    work = Work(work_of)
    estimate = Estimator(store, work)
    common = sweep.common()
    shared = set(common)
    stages = [stage for plan in sweep.plans(sweep.middle()).values() for stage in plan.stages()]
    own = [stage for stage in stages if stage not in shared]
    there = sum(map(store.has, common))
    rows = [
        ("sweep", sweep.name),
        ("asks", sweep.title),
        ("space", ", ".join(f"{name} {values}" for name, values in sweep.space.items())),
        ("seeds", f"{', '.join(map(str, sweep.seeds))}: every trial is the mean over them"),
        ("trials", f"{total}, {_rungs(sweep, len(stages))}"),
        ("shared", f"{len(common)} stages by all trials, computed once: {_kinds(common)}"),
        ("", f"{there} of them are in the store, to do: {estimate(store.missing(common))}"),
        ("a trial", f"{len(own)} stages of its own: {_kinds(own)}"),
    ]
    points = sweep.points()[:total]
    known: list[list[Stage]] = []
    for point in points:
        plans = sweep.plans(point).values()
        known.append([stage for plan in plans for stage in plan.stages()])
        left = store.missing(stage for plan in plans for rung in plan.rungs for stage in rung.values())
        rows.append(("point", f"{in_words(point)}, to do: {estimate(left)}"))
    # Points that are not known yet are like the one in the middle of the space.
    unknown = [stage for _ in range(total - len(points)) for stage in own]
    missing = [*store.missing(dict.fromkeys([*common, *(stage for stages in known for stage in stages)])), *unknown]
    if len(points) > 1:
        rows.append(("sharing", _shared_work(reuse.of(known, work), total)))
    rows.append(("in all", f"at most {estimate(missing)}, divided by the trials at a time"))
    if confirm:
        recipe = METHODS[sweep.method](sweep.config, sweep.seeds[0]).stages()
        once = list(dict.fromkeys([*sweep.plans(sweep.middle())[sweep.seeds[0]].stages(), *recipe]))
        seeds = ", ".join(map(str, confirm))
        rows.append(("confirm", f"the best trial and the recipe on seeds {seeds}: {estimate(once * len(confirm))}"))
    for title, text in rows:
        console.print(Text(f"{title:<8}", "bold"), end=" ")
        console.print(text, markup=False, highlight=False, soft_wrap=True)


def _rungs(sweep: Sweep, stages: int) -> str:
    if (rungs := sweep.always_rungs()) is not None:
        return f"each of {rungs} rungs, {stages} stages"
    return f"each of at most {sweep.rungs()} rungs; in the middle of the space {stages} stages"


def _shared_work(work: reuse.Sharing, total: int) -> str:
    which = f"{work.trials} trials" if work.trials == total else f"the {work.trials} trials that are known now"
    return (
        f"{which} need {work.alone:,} optimizer steps one by one, the union of their plans {work.together:,} "
        f"({work.share:.1%})"
    )


def _kinds(stages: Sequence[Stage]) -> str:
    names = [stage.operation.name for stage in stages]
    return ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names)) or "none"
