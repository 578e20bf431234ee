"""Which trials are hopeless: those below the median of the others at the same rung."""

from collections import defaultdict
from statistics import median

import optuna


class MedianAtRung(optuna.pruners.BasePruner):
    """Prunes a trial whose score at a rung lies below the median of the other trials there.

    Optuna's own median pruner takes the best score that a trial has had so far. Here that would often be rung 0, which
    is the same for all trials of a sweep over gamma, and far above what many have left of it later: nothing would ever
    be pruned.

    The study is read once. After that the pruner goes by the rungs that it is asked about, which are all there are: one
    process at a time goes on with a sweep, and to read hundreds of running trials anew at every rung takes long.

    Args:
        least_trials: Other trials that must have come as far before anything is pruned.
        first_rung: The first rung at which anything is pruned.
    """

    def __init__(self, *, least_trials: int, first_rung: int) -> None:
        self._least_trials = least_trials
        self._first_rung = first_rung
        self._scores: dict[int, dict[int, float]] | None = None  # rung -> number of the trial -> score

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        """Whether to stop the trial at the last rung that it has reported."""
        rung = trial.last_step
        if self._scores is None:
            self._scores = defaultdict(dict)
            for known in study.get_trials(deepcopy=False):
                for step, score in known.intermediate_values.items():
                    self._scores[step][known.number] = score
        if rung is None:
            return False
        score = self._scores[rung][trial.number] = trial.intermediate_values[rung]
        if rung < self._first_rung:
            return False
        others = [other for number, other in self._scores[rung].items() if number != trial.number]
        return len(others) >= self._least_trials and score < median(others)
