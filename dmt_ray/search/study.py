"""A sweep's memory: an Optuna study in a folder of its own, which one process at a time goes on with."""

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dmt_ray.execution import ray_private
from dmt_ray.experiments.sweep import Params, State, Sweep, Trial, score_of
from dmt_ray.experiments.trials import RETRY, SCORES, SEED_BY_SEED, TrialReader, number_of, open_storage, step_scores
from dmt_ray.methods.space import Dimension, Integer, Uniform, Value
from dmt_ray.plan.key import key_of

if TYPE_CHECKING:
    import optuna

# With fewer other trials than this there is nothing to compare with: the median pruner keeps everything.
LEAST_TRIALS = 4
# Rungs that are never pruned: rung 0 is before any pseudo label, rung 1 after the most confident ones only.
WARMUP_RUNGS = 2


def newest_attempt(sweeps: Path, sweep: Sweep, *, fresh: bool) -> Sweep:
    """The sweep under the number of its newest attempt, or of a new one.

    Args:
        sweeps: The folder of all sweeps.
        sweep: What is searched.
        fresh: Begin anew where there is a study already; the old ones stay.
    """
    while (sweeps / replace(sweep, attempt=sweep.attempt + 1).name / "study.db").exists():
        sweep = replace(sweep, attempt=sweep.attempt + 1)
    if fresh and (sweeps / sweep.name / "study.db").exists():
        return replace(sweep, attempt=sweep.attempt + 1)
    return sweep


class Study:
    """The trials of a sweep, begun and finished, in `<folder>/study.db`.

    A trial that was interrupted is taken up in place. A trial that failed is tried again under its own number when the
    study is opened the next time; Optuna keeps the failed attempt.

    Args:
        folder: The sweep's folder; hold its lock (`journal.locked`).
        sweep: What the trials are about.
        total: Trials in all, counting those of earlier starts.
        sampler: What proposes points, a name in `samplers.SAMPLERS`. A search may go on with another one.
        pruner: "median" or "none"; a sweep that goes seed by seed is pruned by the Wilcoxon test, a grid never.
        compute: What the second objective is of a point, where the sweep has one.

    Raises:
        ConfigError: If there is no such sampler.
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
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.folder = folder
        self.sweep = sweep
        self.total = total
        self._compute = compute
        self._steps = _Steps(sweep)
        self._optuna = self._open(sampler, pruner)
        self._reader = TrialReader(self._optuna, folder)
        trials = self._optuna.get_trials(deepcopy=False)
        # The points are the first trials. Each waits for its turn here: Optuna would read all that wait, every time.
        self._points = sweep.points()[sum(RETRY not in trial.user_attrs for trial in trials) :]
        states = optuna.trial.TrialState
        self._enqueued = sum(trial.state == states.WAITING for trial in trials) + self._enqueue_failed(trials)
        self._interrupted = [ray_private.attempt_id(trial) for trial in trials if trial.state == states.RUNNING]
        self._begun = {trial.number for trial in self.trials() if trial.state in ("complete", "pruned")}
        self._taken: dict[str, optuna.trial.Trial] = {}
        self._pruned: set[str] = set()

    def _open(self, sampler: str, pruner: str) -> "optuna.Study":
        import optuna

        from dmt_ray.search import samplers

        storage, sweep = open_storage(self.folder), self.sweep
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
            study.set_user_attr(SEED_BY_SEED, True)
        return study

    def _pruner(self, name: str) -> "optuna.pruners.BasePruner":
        import optuna

        from dmt_ray.search.pruning import P_THRESHOLD, MedianAtRung

        if self.sweep.grid or self.sweep.second or name == "none":
            return optuna.pruners.NopPruner()
        if self.sweep.seed_by_seed:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                return optuna.pruners.WilcoxonPruner(p_threshold=P_THRESHOLD)
        return MedianAtRung(
            least_trials=LEAST_TRIALS,
            first_rung=WARMUP_RUNGS,
            alike=None if self._steps.always else lambda trial: self._steps(trial.params),
        )

    def _enqueue_failed(self, trials: "list[optuna.trial.FrozenTrial]") -> int:
        attempts: dict[int, optuna.trial.FrozenTrial] = {}
        for trial in trials:
            attempts[number_of(trial)] = trial
        failed = {number: last for number, last in attempts.items() if last.state.name == "FAIL"}
        for number, last in failed.items():
            self._optuna.enqueue_trial(last.params, user_attrs={RETRY: number})
        return len(failed)

    @property
    def remaining(self) -> int:
        """Trials that are still to be begun or taken up again."""
        return max(0, self.total - len(self._begun))

    def take(self, token: str) -> tuple[int, Params] | None:
        """The next trial to perform: number and params, or None when all trials have begun.

        Args:
            token: Any name by which the caller speaks of this trial from now on.
        """
        if not self.remaining:
            return None
        if self._interrupted:
            trial = ray_private.reopened(self._optuna, self._interrupted.pop(0))
        else:
            if self._enqueued:
                self._enqueued -= 1
            elif self._points:
                self._optuna.enqueue_trial(self._points.pop(0))
            trial = self._optuna.ask()
        self._taken[token] = trial
        number = int(trial.user_attrs.get(RETRY, trial.number))
        self._begun.add(number)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Fixed parameter")  # a known point may lie between two steps
            exact = bool(self.sweep.grid)
            params = {name: _suggested(trial, name, values, exact) for name, values in self.sweep.space.items()}
        return number, params

    def report(self, token: str, step: int, score: float) -> bool:
        """Write down the score of a step, which is a rung or a seed, once; whether the trial should be pruned there."""
        trial = self._taken[token]
        frozen = self._frozen(token)
        known = step_scores(frozen)
        if self.sweep.second:
            trial.set_user_attr(SCORES, {str(at): value for at, value in (known | {step: score}).items()})
            return False
        if step not in known:
            trial.report(score, step)
        # A trial that is taken up again reports its old steps once more: they were decided on before.
        if step == self._last(frozen) or step < max(known, default=0):
            return False
        if trial.should_prune():
            self._pruned.add(token)
            return True
        return False

    def _last(self, frozen: "optuna.trial.FrozenTrial") -> int:
        return self._steps(frozen.params) - 1

    def finish(self, token: str, error: str | None = None) -> State:
        """Close a trial; one that neither failed, nor was pruned, nor reached its last step stays to be taken up."""
        from optuna.trial import TrialState

        trial, frozen = self._taken[token], self._frozen(token)
        scores = step_scores(frozen)
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
                assert self._compute is not None
                values.append(self._compute(frozen.params))
            self._optuna.tell(trial, values)
            return "complete"
        return "running"

    def _frozen(self, token: str) -> "optuna.trial.FrozenTrial":
        return ray_private.frozen(self._optuna, ray_private.attempt_id(self._taken[token]))

    def trials(self) -> list[Trial]:
        """All trials that have begun, by number; of a trial that was tried again, the last attempt."""
        return self._reader.trials()


def _suggested(trial: "optuna.Trial", setting: str, values: Dimension, exact: bool) -> Value:
    """A trial's value; `exact`: a given one between two steps is taken as it is."""
    match values:
        case Uniform(low, high, step):
            return float(trial.suggest_float(setting, low, high, step=None if exact else step or None))
        case Integer(low, high):
            return int(trial.suggest_int(setting, low, high))
    chosen = trial.suggest_categorical(setting, values.values)
    assert chosen is not None
    return chosen


class _Steps:
    """Number of steps of a trial; a plan is made for it only where trials differ in it."""

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep
        self._known: dict[str, int] = {}
        self.always = len(sweep.seeds) if sweep.seed_by_seed else sweep.always_rungs()

    def __call__(self, params: Params) -> int:
        if self.always is not None:
            return self.always
        point = json.dumps(dict(params), sort_keys=True)
        if point not in self._known:
            self._known[point] = self._sweep.steps_of(params)
        return self._known[point]
