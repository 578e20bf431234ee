"""A sweep's memory: an Optuna study in a folder of its own, used by one process at a time."""

import functools
import itertools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import optuna
from optuna.trial import FrozenTrial, TrialState

from dmt_ray.execution import ray_private
from dmt_ray.experiments import trials
from dmt_ray.experiments.sweep import Params, State, Sweep, Trial, Value, score_of
from dmt_ray.plan.key import key_of
from dmt_ray.search import samplers
from dmt_ray.search.affordable import Affordable
from dmt_ray.search.owned_storage import OwnedStorage
from dmt_ray.search.pruning import P_THRESHOLD, MedianAtRung
from dmt_ray.search.untried import nearest

LEAST_TRIALS = 4  # with fewer other trials there is nothing to compare with: the median pruner stops none
PROPOSALS = 20  # of the sampler, that may lie beyond the limit before a random point within it is tried
WARMUP_RUNGS = 2  # are never pruned: rung 0 is before any pseudo label, rung 1 after the most confident ones only


Point = frozenset[tuple[str, Value]]


class _Paused(NamedTuple):
    """A trial that waits, and the last step that it has reported; -1: none."""

    step: int
    trial: optuna.trial.Trial
    params: Params


def _point(params: Params) -> Point:
    return frozenset(params.items())


def _number(trial: optuna.trial.Trial) -> int:
    return int(trial.user_attrs.get(trials.RETRY, trial.number))


class Study:
    """The trials of a sweep, begun and finished, in `<folder>/study.db`.

    A trial that was interrupted is taken up in place. A trial that failed is tried again under its own number when the
    study is opened the next time; Optuna keeps the failed attempt.

    Args:
        folder: The sweep's folder; hold its lock (`journal.locked`).
        sweep: What the trials are about.
        total: Trials in all, counting those of earlier starts.
        sampler: What proposes points, a name in `samplers.SAMPLERS`. A search may continue with another one.
        pruner: "median" or "none"; a sweep that goes seed by seed is pruned by the Wilcoxon test, a grid never.
        compute: Optimizer steps of a point, where they are the second objective or limited.
        limit: Points that take more are not tried; None: all are.

    Raises:
        ConfigError: If there is no such sampler, or no point within the limit.
    """

    def __init__(
        self,
        folder: Path,
        sweep: Sweep,
        total: int,
        *,
        sampler: str = "tpe",
        pruner: str = "median",
        compute: Callable[[Params], float] | None = None,
        limit: float | None = None,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.folder, self.sweep, self.total, self._compute, self._limit = folder, sweep, total, compute, limit
        fewest, most = sweep.last_rungs()
        # None: it depends on the point.
        self._steps = len(sweep.seeds) if sweep.seed_by_seed else most + 1 if fewest == most else None
        self._steps_of = functools.cache(lambda point: sweep.steps_of(dict(point)))  # which makes a plan
        self._affordable = None if limit is None else Affordable(sweep, self._steps_for, limit)
        self._optuna = self._open(sampler, pruner)
        self._reader = trials.TrialReader(self._optuna, folder)
        attempts = self._optuna.get_trials(deepcopy=False)
        # The points are the first attempts. Each waits for its turn here: Optuna would read all that wait, every time.
        self._points = sweep.points()[sum(trials.RETRY not in trial.user_attrs for trial in attempts) :]
        self._enqueued = sum(trial.state == TrialState.WAITING for trial in attempts) + self._enqueue_failed(attempts)
        self._interrupted = [
            ray_private.attempt_id(trial)
            for trial in attempts
            if trial.state == TrialState.RUNNING and trials.NOT_TRIED not in trial.user_attrs
        ]
        self._begun = {trial.number for trial in self.trials() if trial.state in ("complete", "pruned")}
        self._tried = {_point(trial.params) for trial in self.trials()}
        self._taken: dict[str, optuna.trial.Trial] = {}
        self._pruned: set[str] = set()
        self._paused: list[_Paused] = []
        self._performed: dict[str, Point] = {}  # what is being performed, by token

    def _open(self, sampler: str, pruner: str) -> optuna.Study:
        storage, sweep = OwnedStorage(trials.open_storage(self.folder)), self.sweep
        # A constant seed would propose the same points again after every start.
        done = sum(study.n_trials for study in optuna.get_all_study_summaries(storage))
        seed = int(key_of([sweep.name, done])[:8], 16)
        study = optuna.create_study(
            study_name=sweep.name,
            storage=storage,
            sampler=samplers.make(sampler, sweep.space, seed),
            pruner=self._pruner(pruner),
            directions=["maximize", "minimize"] if sweep.second else ["maximize"],
            load_if_exists=True,
        )
        if sweep.seed_by_seed:
            study.set_user_attr(trials.SEED_BY_SEED, True)
        return study

    def _pruner(self, name: str) -> optuna.pruners.BasePruner:
        if self.sweep.grid or self.sweep.second or name == "none":
            return optuna.pruners.NopPruner()
        if self.sweep.seed_by_seed:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                return optuna.pruners.WilcoxonPruner(p_threshold=P_THRESHOLD)
        return MedianAtRung(least_trials=LEAST_TRIALS, first_rung=WARMUP_RUNGS, alike=self._last)

    def _enqueue_failed(self, attempts: list[FrozenTrial]) -> int:
        tried = [attempt for attempt in attempts if trials.NOT_TRIED not in attempt.user_attrs]
        last = {trials.number_of(attempt): attempt for attempt in tried}
        failed = {number: attempt for number, attempt in last.items() if attempt.state == TrialState.FAIL}
        for number, attempt in failed.items():
            self._optuna.enqueue_trial(attempt.params, user_attrs={trials.RETRY: number})
        return len(failed)

    @property
    def interrupted(self) -> bool:
        """Whether a trial of an earlier start waits to be taken up again."""
        return bool(self._interrupted)

    @property
    def remaining(self) -> int:
        """Trials that are still to be begun or taken up again, apart from those that are paused."""
        return max(0, self.total - len(self._begun))

    @property
    def paused(self) -> int:
        """Trials that have made room for others, or wait for one at the same point."""
        return len(self._paused)

    @property
    def ready(self) -> bool:
        """Whether a trial can be begun or go on now."""
        return self.remaining > 0 or self._first_paused() is not None

    def take(self, token: str, *, new: bool = True) -> tuple[int, Params] | None:
        """The next trial to perform: number and params, or None when all trials have begun and none can go on now.

        A trial at a point that another trial is at could only watch that one. It waits until the other one has ended,
        and then finds all its stages. Of the others that are paused, the one goes on first that has come least far.

        Args:
            token: Any name by which the caller speaks of this trial from now on.
            new: Whether trials may begin that have not begun yet.
        """
        twin = self._first_paused()
        while twin is None or twin.step >= 0:
            if not new or not self.remaining:
                break
            trial, params = self._begin()
            if _point(params) in self._performed.values():
                self._paused.append(_Paused(-1, trial, params))
                continue
            return self._perform(token, trial, params)
        if (paused := self._first_paused()) is None:
            return None
        self._paused.remove(paused)
        return self._perform(token, paused.trial, paused.params)

    def _begin(self) -> tuple[optuna.trial.Trial, Params]:
        """One that was interrupted, or a new one."""
        if self._interrupted:
            trial = ray_private.reopened(self._optuna, self._interrupted.pop(0))
            params = self._params(trial)
        else:
            trial, params = self._next()
        self._begun.add(_number(trial))
        self._tried.add(_point(params))
        return trial, params

    def _perform(self, token: str, trial: optuna.trial.Trial, params: Params) -> tuple[int, Params]:
        self._taken[token], self._performed[token] = trial, _point(params)
        return _number(trial), params

    def _first_paused(self) -> "_Paused | None":
        """Of the trials that wait, the one that has come least far and whose point no other one is at."""
        performed = set(self._performed.values())
        free = [paused for paused in self._paused if _point(paused.params) not in performed]
        return min(free, key=lambda paused: (paused.step, paused.trial.number), default=None)

    def _next(self) -> tuple[optuna.trial.Trial, Params]:
        """The next point within the limit that was not tried before, as far as there is one.

        Those that the sampler proposes beyond the limit are noted, so that it learns. In place of one that was tried
        before, which would give the same score again, the nearest one is tried.
        """
        given = False
        for attempt in itertools.count():
            if self._enqueued:
                self._enqueued, given = self._enqueued - 1, True
            elif self._points:
                self._optuna.enqueue_trial(self._points.pop(0))
                given = True
            elif self._affordable is not None and attempt >= PROPOSALS and not given:
                self._optuna.enqueue_trial(dict(self._affordable.draw()))
            trial = self._optuna.ask()
            params = self._params(trial)
            if not self._is_affordable(params):
                trial.set_user_attr(trials.NOT_TRIED, self._steps_for(params))
                self._optuna.tell(trial, state=TrialState.FAIL if self.sweep.second else TrialState.PRUNED)
                given = False
            elif given or self._is_new(params) or (near := nearest(self.sweep.space, params, self._is_new)) is None:
                return trial, params
            else:
                trial.set_user_attr(trials.NOT_TRIED, trials.TRIED_BEFORE)
                self._optuna.tell(trial, state=TrialState.FAIL)  # the sampler takes no notice of it
                self._optuna.enqueue_trial(near)
                given = True
        raise AssertionError("a point within the limit was drawn")

    def _is_new(self, params: Params) -> bool:
        return _point(params) not in self._tried and self._is_affordable(params)

    def _is_affordable(self, params: Params) -> bool:
        return self._limit is None or self._steps_for(params) <= self._limit

    def _params(self, trial: optuna.trial.Trial) -> Params:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Fixed parameter")  # a known point may lie between two steps
            exact = bool(self.sweep.grid)
            return {name: samplers.suggested(trial, name, values, exact) for name, values in self.sweep.space.items()}

    def _steps_for(self, params: Params) -> float:
        assert self._compute is not None
        return self._compute(params)

    def report(self, token: str, step: int, score: float) -> bool:
        """Write down the score of a step, which is a rung or a seed, once; whether the trial should be pruned there."""
        trial = self._taken[token]
        frozen = self._frozen(token)
        known = trials.step_scores(frozen)
        if self.sweep.second:
            trial.set_user_attr(trials.SCORES, {str(at): value for at, value in (known | {step: score}).items()})
            return False
        if step not in known:
            trial.report(score, step)
        # A trial that is taken up again reports its old steps once more: they were decided on before.
        if step == self._last(frozen) or step < max(known, default=0):
            return False
        if prune := trial.should_prune():
            self._pruned.add(token)
        return prune

    def pause(self, token: str, step: int) -> bool:
        """Whether a trial that has reported a step waits while others go on that have come less far, if there are any.

        If so, end it with `finish`; `take` hands it out again.
        """
        if token in self._pruned or step == self._last(self._frozen(token)):
            return False
        first, trial = self._first_paused(), self._taken[token]
        if not self.remaining and (first is None or first.step >= step):
            return False
        self._paused.append(_Paused(step, trial, self._params(trial)))
        return True

    def _last(self, frozen: FrozenTrial) -> int:
        return (self._steps or self._steps_of(frozenset(frozen.params.items()))) - 1

    def finish(self, token: str, error: str | None = None) -> State:
        """Close a trial; one that neither failed, nor was pruned, nor reached its last step stays to be taken up."""
        trial, frozen = self._taken[token], self._frozen(token)
        self._performed.pop(token, None)
        scores = trials.step_scores(frozen)
        if frozen.state != TrialState.RUNNING:
            raise ValueError(f"trial {trial.number} of {self.sweep.name} is finished already")
        if error is not None:
            trial.set_user_attr("error", error)
            self._optuna.tell(trial, state=TrialState.FAIL)
            return "failed"
        if token in self._pruned:
            self._optuna.tell(trial, state=TrialState.PRUNED)
            return "pruned"
        if self._last(frozen) in scores:
            values = [score_of(scores, self.sweep.seed_by_seed)]
            if self.sweep.second:
                values.append(self._steps_for(frozen.params))
            self._optuna.tell(trial, values)
            return "complete"
        return "running"

    def _frozen(self, token: str) -> FrozenTrial:
        return ray_private.frozen(self._optuna, ray_private.attempt_id(self._taken[token]))

    def trials(self) -> list[Trial]:
        """All trials that have begun, by number; of a trial that was tried again, the last attempt."""
        return self._reader.trials()
