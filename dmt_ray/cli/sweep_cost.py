"""What a sweep would do and cost, for people."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from dmt_ray.execution.cost import ABOUT, Estimate, Estimator, Work, cost_settings
from dmt_ray.experiments import reuse
from dmt_ray.experiments.sweep import Sweep, in_words
from dmt_ray.methods import METHODS
from dmt_ray.methods.space import Params
from dmt_ray.plan import Stage
from dmt_ray.plan.words import counted
from dmt_ray.results.sequential import chances, error_of_a_look, mean_seeds
from dmt_ray.store import Store

Row = tuple[str, str]
"""A title, or "" where it is that of the row before, and a text."""


@dataclass(frozen=True)
class StandIn:
    """The point that those are taken to be like which are not known in advance.

    Attributes:
        params: The point.
        what: What it is, for people: "the middle of the space".
    """

    params: Params
    what: str


def describe(
    console: Console,
    sweep: Sweep,
    store: Store,
    work_of: Callable[[Stage], int],
    total: int,
    confirm: Sequence[int] = (),
    bare: Callable[[Sequence[Stage]], float] | None = None,
    looks: tuple[int, ...] = (),
    limit: float | None = None,
    drawn: Callable[[], Params] | None = None,
) -> None:
    """Print name, seeds, trials, what is shared, and what is missing of it and of each trial.

    Args:
        console: Where to print it.
        sweep: The sweep.
        store: What is there already.
        work_of: Steps or images of a stage.
        total: Trials in all.
        confirm: Fresh seeds on which the best trial and the recipe are to be run again.
        bare: Seconds of the trainings among some stages by bare steps, see `calibration`.
        looks: Numbers of the fresh seeds after which it is seen whether the two differ; (): all are run.
        limit: Optimizer steps a seed, beyond which a point is not tried; None: all are.
        drawn: A random point within the limit.
    """
    print_rows(console, _Described(sweep, store, work_of, bare, limit, drawn).rows(total, confirm, looks))


class _Described:
    """The rows that describe a sweep; the arguments are those of `describe`."""

    def __init__(
        self,
        sweep: Sweep,
        store: Store,
        work_of: Callable[[Stage], int],
        bare: Callable[[Sequence[Stage]], float] | None,
        limit: float | None,
        drawn: Callable[[], Params] | None,
    ) -> None:
        self._sweep, self._store, self._limit = sweep, store, limit
        self._work = Work(work_of)
        self._estimate = Estimator(store, self._work, bare)
        self._stand_in = StandIn(sweep.middle(), "the middle of the space")
        if limit is not None and drawn is not None and self._steps(sweep.middle()) > limit:
            self._stand_in = StandIn(drawn(), "a random point within the limit")
        self._common = sweep.common()
        self._alike = _are_alike(sweep)

    def rows(self, total: int, confirm: Sequence[int], looks: tuple[int, ...]) -> Iterator[Row]:
        """All of them."""
        sweep, common, stages = self._sweep, self._common, self._stages(self._stand_in.params)
        there = sum(map(self._store.has, common))
        own = self._own(self._stand_in.params)
        yield "sweep", sweep.name
        yield "asks", sweep.title
        yield "space", ", ".join(f"{name} {values}" for name, values in sweep.space.items())
        yield "seeds", f"{', '.join(map(str, sweep.seeds))} (a trial's score is the mean over its seeds)"
        yield "trials", f"{total}, {self._rungs(len(stages))}"
        yield "shared", f"{counted(len(common), 'stage')}, common to all trials and computed once: {_kinds(common)}"
        yield "", f"{there} of them are already in the store; to do: {self._estimate(self._store.missing(common))}"
        yield "a trial", f"{counted(len(own), 'stage')} of its own: {_kinds(own)}"
        known = list[list[Stage]]()
        yield from self._points(total, known)
        yield from self._total(total, known)
        if confirm:
            yield from self._confirm(confirm, looks)

    def _points(self, total: int, known: list[list[Stage]]) -> Iterator[Row]:
        """The points that are known in advance, and what is left out; the stages of those that are tried go into a
        list."""
        beyond = 0
        for point in self._sweep.points():
            if len(known) == total:
                break
            if self._limit is not None and (steps := self._steps(point)) > self._limit:
                beyond += 1
                yield "point", f"{in_words(point)}, not tried: {steps:,.0f} optimizer steps a seed"
                continue
            plans = self._sweep.plans(point).values()
            known.append([stage for plan in plans for stage in plan.stages()])
            left = self._store.missing(stage for plan in plans for stage in plan.targets())
            yield "point", f"{in_words(point)}, to do: {self._estimate(left)}"
        if beyond and len(known) < total:
            what = f"the limit leaves out {beyond} of {counted(beyond + len(known), 'known point')}"
            instead = (
                "another one, within it, is drawn in its" if beyond == 1 else "others, within it, are drawn in their"
            )
            yield "", f"{what}: {instead} place"

    def _total(self, total: int, known: Sequence[Sequence[Stage]]) -> Iterator[Row]:
        """What all trials cost: a bound where all points are alike, or known; else by what it is assumed."""
        if len(known) > 1:
            yield "sharing", _shared_work(reuse.of(known, self._work), total)
        base = self._store.missing(dict.fromkeys([*self._common, *(stage for one in known for stage in one)]))
        unknown, stand_in = total - len(known), self._stand_in

        def cost(point: Params) -> Estimate:
            return self._estimate([*base, *self._own(point) * unknown])

        at_once = "divide the time by the number of trials that run at once"
        if self._alike or not unknown:
            yield "total", f"at most {cost(stand_in.params)}; {at_once}"
            return
        others = "the point" if unknown == 1 else f"each of the {unknown} points"
        like = f"is like {in_words(stand_in.params)} ({stand_in.what})"
        yet = f"that {'is' if unknown == 1 else 'are'} not known yet"
        yield "total", f"{cost(stand_in.params)}, if {others} {yet} {like}"
        if self._limit is not None:
            each = self._limit * len(self._sweep.seeds) - reuse.compute(self._common, self._work)
            steps = reuse.compute(base, self._work) + unknown * each
            yield "", f"at most {steps:,.0f} optimizer steps, if {others} takes as many as the limit allows"
        elif self._steps(largest := _largest(self._sweep, self._steps)) > self._steps(stand_in.params):
            found = "the most expensive one found at the ends of the ranges"
            yield "", f"{cost(largest)}, if {others} is like {in_words(largest)} ({found})"
        yield "", at_once

    def _confirm(self, confirm: Sequence[int], looks: tuple[int, ...]) -> Iterator[Row]:
        """What the best trial and the recipe cost on fresh seeds."""
        sweep, best = self._sweep, self._stand_in
        recipe = METHODS[sweep.method](sweep.config, sweep.seeds[0]).stages()
        once = list(dict.fromkeys([*sweep.plans(best.params)[sweep.seeds[0]].stages(), *recipe]))
        seeds, most = ", ".join(map(str, confirm)), "at most " if looks else ""
        cost = self._estimate(once * len(confirm))
        like = "" if self._alike else f", if the best trial is like {best.what}"
        yield "confirm", f"the best trial and the recipe on seeds {seeds}: {most}{cost}{like}"
        if looks:
            for effect, which in (
                (1.5, "they differ by 1.5 sd of the paired differences"),
                (0.0, "they do not differ"),
            ):
                found = chances(looks, error_of_a_look(looks, 1), effect)
                mean = mean_seeds(looks, found)
                steps = cost.steps * mean / len(confirm)
                yield "", f"if {which}, {mean:.1f} seeds on average: {steps:,.0f} optimizer steps"

    def _steps(self, point: Params) -> float:
        return reuse.a_seed(self._sweep, point, self._work)

    def _stages(self, point: Params) -> list[Stage]:
        return [stage for plan in self._sweep.plans(point).values() for stage in plan.stages()]

    def _own(self, point: Params) -> list[Stage]:
        """The stages of a point that not all trials share."""
        shared = set(self._common)
        return [stage for stage in self._stages(point) if stage not in shared]

    def _rungs(self, stages: int) -> str:
        if (rungs := self._sweep.always_rungs()) is not None:
            return f"each with {counted(rungs, 'rung')} and {counted(stages, 'stage')}"
        most = counted(self._sweep.rungs(), "rung")
        return f"each with at most {most}; {self._stand_in.what} has {counted(stages, 'stage')}"


def _are_alike(sweep: Sweep) -> bool:
    """Whether all points cost the same: their stages agree in all settings that decide about work and networks."""
    first, *others = (
        [(cost_settings(stage), stage.networks()) for plan in sweep.plans(point).values() for stage in plan.stages()]
        for point in (sweep.middle(), *sweep.probes())
    )
    return all(other == first for other in others)


def _largest(sweep: Sweep, steps: Callable[[Params], float]) -> Params:
    """An expensive point: the middle, moved in one direction after another to the end that takes more steps."""
    point: Params = sweep.middle()
    for name, values in sweep.space.items():
        point = max(point, *({**point, name: end} for end in values.ends()), key=steps)
    return point


def print_rows(console: Console, rows: Iterable[Row]) -> None:
    """Print titles and texts, a line each."""
    rows = list(rows)
    if any(" about " in text for _, text in rows):
        rows.append(("", ABOUT))
    for title, text in rows:
        console.print(Text(f"{title:<8}", "bold"), end=" ")
        console.print(text, markup=False, highlight=False, soft_wrap=True)


def _shared_work(work: reuse.Sharing, total: int) -> str:
    which = f"{work.trials} trials" if work.trials == total else f"the {work.trials} trials known in advance"
    return (
        f"{which} need {work.alone:,} optimizer steps separately, but together only {work.together:,} "
        f"({work.share:.1%})"
    )


def _kinds(stages: Sequence[Stage]) -> str:
    names = [stage.operation.name for stage in stages]
    return ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names)) or "none"
