"""Which trials are hopeless: those below the median of the others at the same rung."""

from statistics import median

import optuna


class MedianAtRung(optuna.pruners.BasePruner):
    """Prunes a trial whose score at a rung lies below the median of the other trials there.

    Optuna's own median pruner takes the best score that a trial has had so far. Here that would often be rung 0, which
    is the same for all trials of a sweep over gamma, and far above what many have left of it later: nothing would ever
    be pruned.

    Args:
        least_trials: Other trials that must have come as far before anything is pruned.
        first_rung: The first rung at which anything is pruned.
    """

    def __init__(self, *, least_trials: int, first_rung: int) -> None:
        self._least_trials = least_trials
        self._first_rung = first_rung

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        """Whether to stop the trial at the last rung that it has reported."""
        rung = trial.last_step
        if rung is None or rung < self._first_rung:
            return False
        others = [
            other.intermediate_values[rung]
            for other in study.get_trials(deepcopy=False)
            if other.number != trial.number and rung in other.intermediate_values
        ]
        return len(others) >= self._least_trials and trial.intermediate_values[rung] < median(others)
