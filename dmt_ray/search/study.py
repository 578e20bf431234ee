"""A sweep's memory: an Optuna study in a folder of its own, which one process at a time goes on with."""

import fcntl
import functools
import os
import socket
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmt_ray.errors import StoreError, UserError
from dmt_ray.key import key_of
from dmt_ray.search.sweep import State, Sweep, Trial

if TYPE_CHECKING:
    import optuna

# With fewer trials than this there is nothing to compare with: TPE draws at random, the pruner keeps everything.
STARTUP_TRIALS = 4
# Rungs that are never pruned: rung 0 is before any pseudo label, rung 1 after the surest ones only.
WARMUP_RUNGS = 2
RETRY = "retry_of"
STATES: dict[str, State] = {"RUNNING": "running", "COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Keep other processes from going on with the sweep in this folder; the lock ends with the process.

    Raises:
        UserError: If another process holds it.
        StoreError: If the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("a+", encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot write to {folder}: {error.strerror}; choose another folder with --storage") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise UserError(f"{holder} is running this sweep ({folder}); wait for it, or stop it first") from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield


def is_running(folder: Path) -> bool:
    """Whether a process goes on with the sweep in this folder now."""
    try:
        with only_one(folder):
            return False
    except UserError:
        return True


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
        folder: The sweep's folder; hold `only_one` of it.
        sweep: What the trials are about.
        total: Trials in all, counting those of earlier starts.
    """

    def __init__(self, folder: Path, sweep: Sweep, total: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.folder = folder
        self.sweep = sweep
        self.total = total
        self.last_rung = sweep.rungs() - 1
        self._optuna = self._open()
        self._reader = _Reader(self._optuna, folder)
        trials = self._optuna.get_trials(deepcopy=False)
        # The points are the first trials. Each waits for its turn here: Optuna would read all that wait, every time.
        self._points = sweep.points()[sum(RETRY not in trial.user_attrs for trial in trials) :]
        states = optuna.trial.TrialState
        self._enqueued = sum(trial.state == states.WAITING for trial in trials) + self._enqueue_failed(trials)
        self._interrupted = [trial._trial_id for trial in trials if trial.state == states.RUNNING]
        self._begun = {trial.number for trial in self.trials() if trial.state in ("complete", "pruned")}
        self._taken: dict[str, optuna.trial.Trial] = {}
        self._pruned: set[str] = set()

    def _open(self) -> "optuna.Study":
        import optuna

        from dmt_ray.search.pruning import MedianAtRung

        storage = _storage(self.folder)
        # A constant seed would propose the same points again after every start.
        done = sum(study.n_trials for study in optuna.get_all_study_summaries(storage))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.TPESampler(
                seed=int(key_of([self.sweep.name, done])[:8], 16),
                n_startup_trials=STARTUP_TRIALS,
                multivariate=True,
                constant_liar=True,
            )
        pruner = MedianAtRung(least_trials=STARTUP_TRIALS, first_rung=WARMUP_RUNGS)
        return optuna.create_study(
            study_name=self.sweep.name,
            storage=storage,
            sampler=sampler,
            pruner=optuna.pruners.NopPruner() if self.sweep.grid else pruner,
            direction="maximize",
            load_if_exists=True,
        )

    def _enqueue_failed(self, trials: "list[optuna.trial.FrozenTrial]") -> int:
        attempts: dict[int, optuna.trial.FrozenTrial] = {}
        for trial in trials:
            attempts[_number(trial)] = trial
        failed = {number: last for number, last in attempts.items() if last.state.name == "FAIL"}
        for number, last in failed.items():
            self._optuna.enqueue_trial(last.params, user_attrs={RETRY: number})
        return len(failed)

    @property
    def remaining(self) -> int:
        """Trials that are still to be begun or taken up again."""
        return max(0, self.total - len(self._begun))

    def take(self, token: str) -> tuple[int, dict[str, float]] | None:
        """The next trial to perform: number and params, or None when all trials have begun.

        Args:
            token: Any name by which the caller speaks of this trial from now on.
        """
        import optuna

        if not self.remaining:
            return None
        if self._interrupted:
            trial = optuna.trial.Trial(self._optuna, self._interrupted.pop(0))
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
            params = {
                setting: float(
                    trial.suggest_float(
                        setting, values.low, values.high, step=None if self.sweep.grid else values.step or None
                    )
                )
                for setting, values in self.sweep.space.items()
            }
        return number, params

    def report(self, token: str, rung: int, score: float) -> bool:
        """Write down a rung's score, once; whether the trial should be pruned there."""
        trial = self._taken[token]
        known = self._frozen(token).intermediate_values
        if rung not in known:
            trial.report(score, rung)
        # A trial that is taken up again reports its old rungs once more: they were decided on before.
        if rung == self.last_rung or rung < max(known, default=0):
            return False
        if trial.should_prune():
            self._pruned.add(token)
            return True
        return False

    def finish(self, token: str, error: str | None = None) -> State:
        """Close a trial; one that neither failed, nor was pruned, nor reached its last rung stays to be taken up."""
        from optuna.trial import TrialState

        trial, scores = self._taken[token], self._frozen(token).intermediate_values
        if self._frozen(token).state != TrialState.RUNNING:
            raise ValueError(f"trial {trial.number} of {self.sweep.name} is finished already")
        if error is not None:
            trial.set_user_attr("error", error)
            self._optuna.tell(trial, state=TrialState.FAIL)
            return "failed"
        if token in self._pruned:
            self._optuna.tell(trial, state=TrialState.PRUNED)
            return "pruned"
        if self.last_rung in scores:
            self._optuna.tell(trial, scores[self.last_rung])
            return "complete"
        return "running"

    def _frozen(self, token: str) -> "optuna.trial.FrozenTrial":
        storage: Any = self._optuna._storage
        return storage.get_trial(self._taken[token]._trial_id)  # type: ignore[no-any-return]

    def trials(self) -> list[Trial]:
        """All trials that have begun, by number; of a trial that was tried again, the last attempt."""
        return self._reader.trials()


def read_trials(folder: Path, name: str) -> list[Trial]:
    """The trials of the sweep of this name, as they are now; its study is only read."""
    return _reader(folder, name, (folder / "study.db").stat().st_ino).trials()


@functools.lru_cache(maxsize=4)
def _reader(folder: Path, name: str, file: int) -> "_Reader":
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return _Reader(optuna.load_study(study_name=name, storage=_storage(folder)), folder)


def _storage(folder: Path) -> "optuna.storages.RDBStorage":
    import optuna

    return optuna.storages.RDBStorage(
        f"sqlite:///{(folder / 'study.db').resolve()}", engine_kwargs={"connect_args": {"timeout": 30}}
    )


class _Reader:
    """Reads the trials of a study, again and again; one that has ended is read once."""

    def __init__(self, study: "optuna.Study", folder: Path) -> None:
        self._optuna = study
        self._folder = folder
        self._ended: dict[int, Trial] = {}  # by the id of the attempt, as a trial may be tried again

    def trials(self) -> list[Trial]:
        found: dict[int, Trial] = {}
        for frozen in self._optuna.get_trials(deepcopy=False):
            if frozen.state.name in STATES:
                trial = self._ended.get(frozen._trial_id) or self._trial(frozen)
                if frozen.state.is_finished():
                    self._ended[frozen._trial_id] = trial
                found[trial.number] = trial
        return [found[number] for number in sorted(found)]

    def _trial(self, frozen: "optuna.trial.FrozenTrial") -> Trial:
        number = _number(frozen)
        return Trial(
            number=number,
            params=dict(frozen.params),
            state=STATES[frozen.state.name],
            scores={int(rung): float(score) for rung, score in sorted(frozen.intermediate_values.items())},
            error=frozen.user_attrs.get("error"),
            executed=executed(self._folder, number),
        )


def _number(trial: "optuna.trial.FrozenTrial") -> int:
    return int(trial.user_attrs.get(RETRY, trial.number))


def note_executed(folder: Path, who: int | str, keys: Iterable[str]) -> None:
    """Write down who computed these stages: a trial's number, or "shared"; lasts even if it is killed right after.

    What is written down already is not written again: the worker does it at once, and the driver once more, whose disk
    may be another one.
    """
    new = set(keys).difference(executed(folder, who))
    if new:
        (folder / "executed").mkdir(parents=True, exist_ok=True)
        with (folder / "executed" / f"{who}.txt").open("a", encoding="utf-8") as file:
            file.writelines(f"{key}\n" for key in keys if key in new)


def executed(folder: Path, who: int | str) -> tuple[str, ...]:
    """Keys of the stages that a trial computed itself over all its attempts; "shared": for all trials."""
    file = folder / "executed" / f"{who}.txt"
    return tuple(file.read_text(encoding="utf-8").split()) if file.exists() else ()
