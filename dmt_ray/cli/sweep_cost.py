"""What a sweep would do and cost, for people."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from dmt_ray.execution.cost import Estimate, Estimator, Work, cost_settings, footnote
from dmt_ray.experiments import reuse
from dmt_ray.experiments.sweep import Sweep, Trial, in_words
from dmt_ray.experiments.trials import ended
from dmt_ray.methods import METHODS
from dmt_ray.methods.space import Params
from dmt_ray.plan import Stage
from dmt_ray.plan.words import be, counted, numbered, spanned
from dmt_ray.results.sequential import chances, error_of_a_look, mean_seeds
from dmt_ray.store import Store

Row = tuple[str, str]
"""A title, or "" where it is that of the row before, and a text."""
_STATES = {"complete": "done", "pruned": "done", "running": "begun", "failed": "failed"}


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
    bare: Callable[[Stage], float] | None = None,
    looks: tuple[int, ...] = (),
    limit: float | None = None,
    drawn: Callable[[], Params] | None = None,
    trials: Sequence[Trial] = (),
    further: Iterable[Row] = (),
) -> None:
    """Print name, seeds, trials, what is shared, and what is missing of it and of each trial that is to be performed.

    Args:
        console: Where to print it.
        sweep: The sweep.
        store: What is there already.
        work_of: Steps or images of a stage.
        total: Trials in all.
        confirm: Fresh seeds on which the best trial and the recipe are to be run again.
        bare: Seconds of a bare step of a training, see `calibration.BareSteps`.
        looks: Numbers of the fresh seeds after which it is seen whether the two differ; (): all are run.
        limit: Optimizer steps a seed, beyond which a point is not tried; None: all are.
        drawn: A random point within the limit.
        trials: The trials that have begun; those that are complete or pruned are not performed again.
        further: Rows that come last.
    """
    described = _Described(sweep, store, work_of, bare, limit, drawn)
    print_rows(console, [*described.rows(total, trials, confirm, looks), *further])


def all_done(sweep: Sweep, total: int) -> str:
    """What there is to say of a sweep whose trials have all come to their end."""
    done = f"{'the trial' if total == 1 else f'all {total:,} trials'} {be(total)} done"
    return done if sweep.grid else f"{done}; a larger --trials continues the search"


class _Described:
    """The rows that describe a sweep; the arguments are those of `describe`."""

    def __init__(
        self,
        sweep: Sweep,
        store: Store,
        work_of: Callable[[Stage], int],
        bare: Callable[[Stage], float] | None,
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

    def rows(
        self, total: int, trials: Sequence[Trial], confirm: Sequence[int], looks: tuple[int, ...]
    ) -> Iterator[Row]:
        """All of them."""
        sweep = self._sweep
        states = Counter(_STATES[trial.state] for trial in trials)
        remaining = max(0, total - ended(trials))
        yield "sweep", sweep.name
        yield "space", ", ".join(f"{name} {values}" for name, values in sweep.space.items())
        title, _, seeds = numbered(sweep.seeds, "seed").partition(" ")
        yield title, seeds if len(sweep.seeds) == 1 else f"{seeds} (a trial's score is the mean over its seeds)"
        states["not begun"] = max(0, total - len(trials))
        counts = ", ".join(f"{number:,} {state}" for state, number in states.items() if number)
        yield "trials", f"{total:,}{f' ({counts})' if trials else ''}, {self._rungs()}"
        if remaining:
            yield from self._to_do(remaining, trials)
        else:
            yield "to do", f"no trial: {all_done(sweep, total)}"
        if confirm and remaining:
            yield from self._confirm(confirm, looks)
        elif confirm:
            yield from self._confirm_known(trials, confirm, looks)

    def _to_do(self, remaining: int, trials: Sequence[Trial]) -> Iterator[Row]:
        """What is shared, what a trial has of its own, the points that are known, and what all of it costs."""
        common, own = self._common, self._own(self._stand_in.params)
        there = sum(map(self._store.has, common))
        yield "shared", f"{counted(len(common), 'stage')}, common to all trials and computed once: {_kinds(common)}"
        yield "", f"{there:,} of them are already in the store; to do: {self._estimate(self._store.missing(common))}"
        yield "a trial", f"{counted(len(own), 'stage')} of its own: {_kinds(own)}"
        known = list[list[Stage]]()
        yield from self._points(remaining, trials, known)
        yield from self._total(remaining, known)

    def _points(self, total: int, trials: Sequence[Trial], known: list[list[Stage]]) -> Iterator[Row]:
        """The points that are known in advance, and what is left out; the stages of those that are tried go into a
        list. Trials that were interrupted or failed come first, and points that were tried do not come again."""
        beyond, tried = 0, {frozenset(trial.params.items()) for trial in trials}
        again = [trial for trial in trials if _STATES[trial.state] != "done"]
        points = [
            (trial.params, f" (trial {trial.number}, {_STATES[trial.state]})")
            for trial in again
            if trial.params.keys() == self._sweep.space.keys()
        ]
        points += [(point, "") for point in self._sweep.points() if frozenset(point.items()) not in tried]
        for point, what in points:
            if len(known) == total:
                break
            if not what and self._limit is not None and (steps := self._steps(point)) > self._limit:
                beyond += 1
                yield "point", f"{in_words(point)}, not tried: {steps:,.0f} optimizer steps a seed"
                continue
            plans = self._sweep.plans(point).values()
            known.append([stage for plan in plans for stage in plan.stages()])
            left = self._store.missing(stage for plan in plans for stage in plan.targets())
            yield "point", f"{in_words(point)}{what}, to do: {self._estimate(left)}"
        if beyond and len(known) < total:
            what = f"the limit leaves out {beyond:,} of {counted(beyond + len(known), 'known point')}"
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
        others = "the point" if unknown == 1 else f"each of the {unknown:,} points"
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
        most = "at most " if looks else ""
        cost = self._estimate(once * len(confirm))
        like = "" if self._alike else f", if the best trial is like {best.what}"
        yield "confirm", f"the best trial and the recipe on {numbered(confirm, 'seed')}: {most}{cost}{like}"
        if looks:
            for effect, which in (
                (1.5, "they differ by 1.5 sd of the paired differences"),
                (0.0, "they do not differ"),
            ):
                found = chances(looks, error_of_a_look(looks, 1), effect)
                mean = mean_seeds(looks, found)
                steps = cost.steps * mean / len(confirm)
                yield "", f"if {which}, {mean:.1f} seeds on average: {steps:,.0f} optimizer steps"

    def _confirm_known(self, trials: Sequence[Trial], confirm: Sequence[int], looks: tuple[int, ...]) -> Iterator[Row]:
        """What is left of the confirmation of a search that has come to its end."""
        from dmt_ray.search.confirm import confirmation  # imports pandas

        known = confirmation(self._sweep, trials, confirm, looks, self._store)
        if known is None:
            yield "confirm", "nothing: no trial is complete"
            return
        names = " and the ".join(one.name for one in known.candidates())
        left = self._store.missing(known.stages())
        to_do = f"to do: {self._estimate(left)}" if left else "done"
        yield "confirm", f"the {names} on {numbered(known.seeds, 'seed')}: {to_do}"

    def _steps(self, point: Params) -> float:
        return reuse.a_seed(self._sweep, point, self._work)

    def _stages(self, point: Params) -> list[Stage]:
        return [stage for plan in self._sweep.plans(point).values() for stage in plan.stages()]

    def _own(self, point: Params) -> list[Stage]:
        """The stages of a point that not all trials share."""
        shared = set(self._common)
        return [stage for stage in self._stages(point) if stage not in shared]

    def _rungs(self) -> str:
        fewest, most = self._sweep.last_rungs()
        stages = counted(len(self._stages(self._stand_in.params)), "stage")
        if fewest == most:
            return f"each with {spanned(most, 'rung')} and {stages}"
        return f"each with {spanned(most, 'rung')} at most; {self._stand_in.what} has {stages}"


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
    if note := footnote(text for _, text in rows):
        rows.append(("", note))
    for title, text in rows:
        console.print(Text(f"{title:<8}", "bold"), end=" ")
        console.print(text, markup=False, highlight=False, soft_wrap=True)


def _shared_work(work: reuse.Sharing, total: int) -> str:
    which = f"{work.trials:,} trials" if work.trials == total else f"the {work.trials:,} trials known in advance"
    return (
        f"{which} need {work.alone:,} optimizer steps separately, but together only {work.together:,} "
        f"({work.share:.1%})"
    )


def _kinds(stages: Sequence[Stage]) -> str:
    names = [stage.operation.name for stage in stages]
    return ", ".join(f"{names.count(name):,} {name}" for name in dict.fromkeys(names)) or "none"
