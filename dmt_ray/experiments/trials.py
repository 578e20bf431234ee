"""The trials of a sweep, read from its Optuna study, and in the order of their scores."""

import functools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dmt_ray.errors import StoreError, UserError
from dmt_ray.execution import ray_private
from dmt_ray.execution.journal import executed, is_running
from dmt_ray.experiments.experiment_file import kind_of
from dmt_ray.experiments.sweep import State, Sweep, Trial
from dmt_ray.files import sqlite_url, system_error
from dmt_ray.plan.words import listed

if TYPE_CHECKING:
    import optuna

STUDY = "study.db"  # file of the study in a sweep's folder
RETRY = "retry_of"  # attribute of a trial that is another attempt: the number of the first one
# Attribute of a point that was proposed and not tried, and why: its optimizer steps, a number, which are beyond the
# limit, or the words TRIED_BEFORE. Studies hold it under this name because the limit was once the only reason.
NOT_TRIED, TRIED_BEFORE = "compute", "tried before"
# Attributes of a study whose steps are seeds, and of a trial with two objectives, whose scores on the way Optuna drops.
SEED_BY_SEED, SCORES = "seed_by_seed", "scores"
MOST_NUMBERS = 8  # of trials in a line
Some = TypeVar("Some")
STATES: dict[str, State] = {"RUNNING": "running", "COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}


def newest_attempt(sweeps: Path, sweep: Sweep, *, fresh: bool) -> Sweep:
    """The sweep under the number of its newest attempt in the folder of all sweeps, or of a new one if `fresh`.

    An attempt counts once it is registered: a study of which no trial could begin, for lack of room, does not.
    """
    while kind_of(sweeps / (after := replace(sweep, attempt=sweep.attempt + 1)).name) is not None:
        sweep = after
    return after if fresh and kind_of(sweeps / sweep.name) is not None else sweep


def read_trials(folder: Path, name: str) -> list[Trial]:
    """The trials of the sweep of this name in its folder, by number; none before it starts. Only reads the study.

    Raises:
        StoreError: If the study's file holds something else.
    """
    return _read(folder, name, TrialReader.trials, [])


def read_gaps(folder: Path, name: str) -> dict[int, str]:
    """The numbers that no trial of a sweep has, and why; as `read_trials` reads it.

    A proposed point takes a number also where it is not tried, and so does another attempt at a trial.
    """
    return _read(folder, name, TrialReader.gaps, {})


def gaps_in_words(gaps: Mapping[int, str]) -> str:
    """Why numbers of trials are missing, in one line: "no trial has number 3 or 7 (tried before)"; "" if none is."""
    by_reason: dict[str, list[str]] = {}
    for number, reason in gaps.items():
        by_reason.setdefault(reason, []).append(str(number))
    parts = []
    for reason, numbers in by_reason.items():
        shown, more = numbers[:MOST_NUMBERS], len(numbers) - MOST_NUMBERS
        parts.append(f"{listed([*shown, f'{more} more'] if more > 0 else shown, 'or')} ({reason})")
    return f"no trial has number {', '.join(parts)}" if parts else ""


def _read(folder: Path, name: str, what: "Callable[[TrialReader], Some]", without: Some) -> Some:
    file = folder / STUDY
    if not file.is_file():
        return without
    try:
        return what(_reader(folder, name, file.stat().st_ino))
    except UserError:
        raise
    except Exception as error:  # of Optuna, SQLAlchemy or the database
        raise _unreadable(file, error) from None


@functools.lru_cache(maxsize=4)
def _reader(folder: Path, name: str, inode: int) -> "TrialReader":
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return TrialReader(optuna.load_study(study_name=name, storage=open_storage(folder)), folder)


def open_storage(folder: Path) -> "optuna.storages.RDBStorage":
    """Optuna's storage in a sweep's folder.

    Raises:
        StoreError: If its file holds something else.
    """
    import optuna
    from sqlalchemy import NullPool

    file = (folder / STUDY).resolve()
    # Without a pool a connection is closed after use: nobody would close those of a pool, of which Python 3.13 warns.
    options = {"connect_args": {"timeout": 30}, "poolclass": NullPool}
    try:
        return optuna.storages.RDBStorage(sqlite_url(file), engine_kwargs=options)
    except Exception as error:  # of Optuna, SQLAlchemy or the database
        raise _unreadable(file, error) from None


def _unreadable(file: Path, error: Exception) -> Exception:
    """What to raise for an error while a study is read; one of the operating system says itself what to do."""
    if system_error(error) is not None:
        return error
    cause = error.__cause__ or error
    reason = str(getattr(cause, "orig", None) or cause).partition("\n")[0]
    return StoreError(
        f"{file} cannot be read as a study of Optuna ({reason}). Move it away: the sweep then starts over, and "
        "reuses the stages that are already in the store"
    )


class TrialReader:
    """Reads the trials of the study in a sweep's folder repeatedly, but each finished trial only once."""

    def __init__(self, study: "optuna.Study", folder: Path) -> None:
        self._optuna, self._folder = study, folder
        self._seed_by_seed = bool(study.user_attrs.get(SEED_BY_SEED))
        self._ended: dict[int, Trial] = {}  # by the id of the attempt, as a trial may be tried again

    def trials(self) -> list[Trial]:
        """All trials that have begun, by number; of a trial that was tried again, the last attempt."""
        by_number: dict[int, Trial] = {}
        for frozen in self._optuna.get_trials(deepcopy=False):
            if frozen.state.name in STATES and NOT_TRIED not in frozen.user_attrs:
                attempt = ray_private.attempt_id(frozen)
                trial = self._ended.get(attempt) or self._trial(frozen)
                if frozen.state.is_finished():
                    self._ended[attempt] = trial
                by_number[trial.number] = trial
        return [by_number[number] for number in sorted(by_number)]

    def gaps(self) -> dict[int, str]:
        """The numbers that no trial has, and why."""
        found = {}
        for frozen in self._optuna.get_trials(deepcopy=False):
            reason = frozen.user_attrs.get(NOT_TRIED)
            if reason is not None:
                found[frozen.number] = TRIED_BEFORE if reason == TRIED_BEFORE else "beyond --limit"
            elif (first := number_of(frozen)) != frozen.number:
                found[frozen.number] = f"trial {first} again"
        return found

    def _trial(self, frozen: "optuna.trial.FrozenTrial") -> Trial:
        number = number_of(frozen)
        return Trial(
            number=number,
            params=dict(frozen.params),
            state=STATES[frozen.state.name],
            scores=step_scores(frozen),
            error=frozen.user_attrs.get("error"),
            executed=executed(self._folder, number),
            seed_by_seed=self._seed_by_seed,
            compute=frozen.values[1] if frozen.values and len(frozen.values) > 1 else None,
        )


def number_of(frozen: "optuna.trial.FrozenTrial") -> int:
    """Number of a trial, which all its attempts share."""
    return int(frozen.user_attrs.get(RETRY, frozen.number))


def step_scores(frozen: "optuna.trial.FrozenTrial") -> dict[int, float]:
    """Step, which is a rung or a seed -> score, in the order of the steps."""
    scores = frozen.intermediate_values or frozen.user_attrs.get(SCORES, {})
    return {int(step): float(score) for step, score in sorted(scores.items(), key=lambda item: int(item[0]))}


def states_of(folder: Path, trials: Sequence[Trial]) -> Counter[str]:
    """How many trials are in each state; where no process works on the sweep, "interrupted" in place of "running"."""
    states = Counter[str](trial.state for trial in trials)
    if "running" in states and not is_running(folder):
        states["interrupted"] = states.pop("running")
    return states


def ended(trials: Sequence[Trial]) -> int:
    """How many trials have come to their end, and are not performed again."""
    return sum(trial.state in ("complete", "pruned") for trial in trials)


def complete(trials: Sequence[Trial]) -> list[Trial]:
    """The complete trials, in the order given."""
    return [trial for trial in trials if trial.state == "complete" and trial.score is not None]


def ranked(trials: Sequence[Trial]) -> list[Trial]:
    """Complete trials by score, then pruned ones by how far they got and how well they scored, then the others."""
    order = {"complete": 0, "pruned": 1, "running": 2, "failed": 3}

    # Complete trials have come to their ends, which may be different numbers of rungs.
    far = {trial.number: len(trial.scores) if trial.state != "complete" else 0 for trial in trials}
    return sorted(trials, key=lambda t: (order[t.state], -far[t.number], -(t.score or 0.0), t.number))


def best(trials: Sequence[Trial]) -> Trial | None:
    """The complete trial with the highest score, or None; a pruned trial can never be the best."""
    return next(iter(ranked(complete(trials))), None)


def front(trials: Sequence[Trial]) -> list[Trial]:
    """The complete trials that no other trial beats in both score and compute, the cheapest first."""
    found: list[Trial] = []
    costed = [trial for trial in complete(trials) if trial.compute is not None]
    for trial in sorted(costed, key=lambda t: (t.compute or 0.0, -(t.score or 0.0), t.number)):
        if not found or (trial.score or 0.0) > (found[-1].score or 0.0):
            found.append(trial)
    return found
