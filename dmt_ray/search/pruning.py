"""Pruning: of trials below the median of the others at the same rung, or of trials that lose seed by seed."""

import math
from collections import defaultdict
from collections.abc import Callable, Hashable
from statistics import median

import optuna
from optuna.trial import FrozenTrial

from dmt_ray.experiments.trials import number_of

P_THRESHOLD = 0.1  # of the Wilcoxon test: Optuna's own


class MedianAtRung(optuna.pruners.BasePruner):
    """Prunes a trial whose score at a rung lies below the median of the other trials there.

    Optuna's own median pruner takes the best score that a trial has had so far. Here that would often be rung 0, which
    is the same for all trials of a sweep over gamma, and far above what many have left of it later: nothing would ever
    be pruned.

    The study is read once: to read hundreds of running trials anew at every rung takes long, and as one process at a
    time goes on with a sweep, the pruner itself is given every rung after that.

    Args:
        least_trials: Other trials that must have come as far before anything is pruned.
        first_rung: The first rung at which anything is pruned.
        alike: Trials are compared that give the same here, such as the same number of rungs.
    """

    def __init__(
        self, *, least_trials: int, first_rung: int, alike: Callable[[FrozenTrial], Hashable] = lambda trial: None
    ) -> None:
        self._least_trials, self._first_rung, self._alike = least_trials, first_rung, alike
        # (what is alike, rung) -> number of the trial, which all its attempts share -> score
        self._scores: dict[tuple[Hashable, int], dict[int, float]] | None = None

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether to stop the trial at the last rung that it has reported."""
        if self._scores is None:
            self._scores = defaultdict(dict)
            for known in study.get_trials(deepcopy=False):
                for step, score in known.intermediate_values.items():
                    self._scores[self._alike(known), step][number_of(known)] = score
        if (rung := trial.last_step) is None:
            return False
        there, own = self._scores[self._alike(trial), rung], number_of(trial)
        score = there[own] = trial.intermediate_values[rung]
        if rung < self._first_rung:
            return False
        others = [other for number, other in there.items() if number != own]
        return len(others) >= self._least_trials and score < median(others)


def least_seeds(p_threshold: float = P_THRESHOLD) -> int:
    """Seeds with which the Wilcoxon pruner can stop a trial before its last one.

    A trial that loses on all of n seeds has p = 1 / 2^n in the one-sided signed-rank test. With a threshold of 0.1 that
    takes four seeds, and a fifth one that is then left out.
    """
    return math.floor(math.log2(1 / p_threshold)) + 2
