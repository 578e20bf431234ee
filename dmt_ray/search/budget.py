"""What a search may spend, what it has spent over all its starts, and whether it still gains anything."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from scipy import stats

from dmt_ray.errors import MissingStages, StoreError
from dmt_ray.execution import journal
from dmt_ray.experiments.sweep import Sweep, Trial
from dmt_ray.files import read_json, write_text
from dmt_ray.plan import Stage
from dmt_ray.plan.words import be, counted
from dmt_ray.results.scores import rung_score
from dmt_ray.results.statistics import ERROR, pooled_error
from dmt_ray.store import Store

NAME = "spent.json"
WRITE_SECONDS = 10.0  # between two notes of the time; a kill loses no more


@dataclass(frozen=True)
class Budget:
    """What a search may spend, over all its starts together; None: no limit.

    Attributes:
        hours: Hours during which trials, or the stages that they share, are performed.
        device_hours: Hours of all devices together, of the stages that were computed for it.
    """

    hours: float | None = None
    device_hours: float | None = None


class Account:
    """What a search has spent; a context manager while it spends.

    When hours or device hours are spent, the workers are told: a trial goes no further than the stage that it is at.

    Args:
        folder: The sweep's folder.
        store: Where its stages are.
        budget: What may be spent.
    """

    def __init__(self, folder: Path, store: Store, budget: Budget) -> None:
        self._folder, self._store, self._budget = folder, store, budget
        self._earlier = _seconds(folder)
        self._began: float | None = None
        self._noted = 0.0
        self._counted: set[str] = set()
        self._device_seconds = 0.0
        if budget.device_hours is not None:
            members = [file.stem for file in (folder / "executed").glob("*.txt")]
            self._counted = {key for member in members for key in journal.executed(folder, member)}
            made = [record.made for record in store.records() if record.key in self._counted]
            self._device_seconds = sum(map(_device_seconds, made))

    def __enter__(self) -> "Account":
        journal.go_on(self._folder)
        self._began = self._noted = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self._earlier, self._began = self.seconds, None
        self._note()

    @property
    def seconds(self) -> float:
        """Seconds that were spent."""
        return self._earlier + (0.0 if self._began is None else time.monotonic() - self._began)

    @property
    def device_seconds(self) -> float:
        """Seconds of all devices; counted only where they are limited."""
        return self._device_seconds

    def came(self, stage: Stage) -> None:
        """A stage was computed."""
        if self._budget.device_hours is None or stage.key in self._counted:
            return
        self._counted.add(stage.key)
        try:
            self._device_seconds += _device_seconds(self._store.record(stage).made)
        except (StoreError, MissingStages):  # it is gone again
            return

    def tick(self) -> None:
        """To be called every second or so: notes the time, and tells the workers when it is over."""
        if time.monotonic() - self._noted > WRITE_SECONDS:
            self._noted = time.monotonic()
            self._note()
        if self.spent() is not None:
            journal.halt(self._folder)

    def _note(self) -> None:
        write_text(self._folder / NAME, json.dumps({"seconds": round(self.seconds, 3)}) + "\n")

    def spent(self) -> str | None:
        """A sentence if hours or device hours are spent."""
        hours, device_hours = self._budget.hours, self._budget.device_hours
        if hours is not None and self.seconds >= 3600 * hours:
            return f"its {counted(hours, 'hour')} {be(hours)} spent; a larger --hours continues the search"
        if device_hours is not None and self._device_seconds >= 3600 * device_hours:
            spent = f"its {counted(device_hours, 'device hour')} {be(device_hours)} spent"
            return f"{spent}; a larger --device-hours continues the search"
        return None


def _seconds(folder: Path) -> float:
    """What earlier starts have noted."""
    try:
        return float(read_json(folder / NAME)["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0


def _device_seconds(made: Mapping[str, float]) -> float:
    return float(made.get("seconds", 0)) * int(made.get("workers", 1))


class Gain:
    """Says whether a search still gains anything beyond the noise of its scores.

    The noise is measured on paired seeds: the standard deviation s of a run's error follows from all complete trials on
    all n seeds together (`statistics.pooled_error`), and two trials differ beyond it if their means differ by more than
    t[0.975] s sqrt(2 / n).

    Args:
        sweep: The search, with two seeds or more.
        store: Where the scores are.
        limit: Trials in a row without such a gain.
    """

    def __init__(self, sweep: Sweep, store: Store, limit: int) -> None:
        self._sweep, self._store, self._limit = sweep, store, limit
        self._scores: dict[int, list[float]] = {}

    def flat(self, trials: Sequence[Trial]) -> str | None:
        """A sentence if the last trials have gained nothing."""
        ended = [trial for trial in trials if trial.state in ("complete", "pruned")]
        if len(ended) <= self._limit:
            return None
        scores = [self._by_seed(trial) for trial in ended]
        margin = noise([one for one in scores if one is not None])
        means = [None if one is None else sum(one) / len(one) for one in scores]
        if margin is None or since_gain(means, margin) < self._limit:
            return None
        return (
            f"{counted(self._limit, 'trial')} in a row gained less than the noise of {100 * margin:.2f} points; a "
            "larger --stop-when-flat continues the search"
        )

    def _by_seed(self, trial: Trial) -> list[float] | None:
        """The scores of a complete trial; None of another one, or where they are gone."""
        if trial.number not in self._scores and trial.state == "complete":
            plans = self._sweep.plans(trial.params).values()
            with suppress(StoreError, MissingStages):
                self._scores[trial.number] = [rung_score(self._store, plan.rungs[-1]) for plan in plans]
        return self._scores.get(trial.number)


def noise(table: Sequence[Sequence[float]]) -> float | None:
    """By how much the means of two trials have to differ to differ beyond noise; None: it is not known yet.

    Args:
        table: Scores of the complete trials on all seeds, ``[trials, seeds]``.
    """
    if len(table) < 2:
        return None
    error, freedom = pooled_error(table)
    return float(stats.t.isf(ERROR / 2, freedom)) * error * (2 / len(table[0])) ** 0.5 if freedom else None


def since_gain(scores: Sequence[float | None], margin: float) -> int:
    """How many trials have ended since the last one that was better by more than a margin than the best before it.

    The best is the last one that gained, so that small gains add up. None is a trial that was pruned.
    """
    best, since = None, 0
    for score in scores:
        if score is not None and (best is None or score > best + margin):
            best, since = score, 0
        else:
            since += 1
    return since


Enough = Callable[[], str | None]
"""A sentence that says why a search begins no further trial; None: it goes on."""
