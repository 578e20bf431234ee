"""A search's trials, and all settings of each of them side by side: parallel coordinates."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dmt_ray.errors import MissingStages
from dmt_ray.experiments import experiment_file
from dmt_ray.experiments.sweep import Sweep, Trial, short
from dmt_ray.experiments.trials import STUDY, complete, read_trials
from dmt_ray.methods.space import Choice, Space, Uniform, Value, as_text
from dmt_ray.plan.words import counted
from dmt_ray.report.figures.kit import BLACK, FRAME, INK, PALE, SCORES, SMALL, TEXT, name_axes, new_axes
from dmt_ray.results.scores import rung_score
from dmt_ray.store import Store


@dataclass(frozen=True)
class SweepTrials:
    """A sweep and its trials, as they are now."""

    sweep: Sweep  # the sweep
    trials: tuple[Trial, ...]  # all trials that have begun
    # number of a complete trial -> score on the test images after its last rung, mean over models, a fraction for
    # every seed of the sweep; without those whose evaluations are not stored.
    test_scores: Mapping[int, tuple[float, ...]]

    @property
    def complete(self) -> list[Trial]:
        """The complete trials, by number."""
        return complete(self.trials)

    def test_mean(self, trial: Trial) -> float:
        """The score of a complete trial on the test images, averaged over its seeds."""
        return statistics.fmean(self.test_scores[trial.number])


def read_sweep(folder: Path) -> SweepTrials:
    """Read a sweep's folder, as `<storage>/sweeps/<name>`; test scores come from the storage around it.

    Raises:
        StoreError: If the folder holds no sweep.
        MissingStages: If the sweep has not begun.
    """
    sweep = experiment_file.read(folder).sweep
    if not (folder / STUDY).is_file():
        raise MissingStages(f"the sweep {folder.name} has no trials yet")
    trials = tuple(read_trials(folder, sweep.name))
    store = Store(folder.parents[1])
    test_scores = {}
    for trial in trials:
        if trial.state == "complete":
            last = [plan.rungs[-1] for plan in sweep.plans(trial.params).values()]
            if all(store.has(evaluation) for rung in last for evaluation in rung.values()):
                test_scores[trial.number] = tuple(rung_score(store, rung, "reported") for rung in last)
    return SweepTrials(sweep, trials, test_scores)


def parallel_coordinates(space: Space, trials: Sequence[Trial], measure: str = "mIoU") -> Figure:
    """One line per trial across all settings to its score: colours are scores, the best is black.

    Args:
        space: What is searched.
        trials: The trials; those that are not complete are pale and end before the score.

    Raises:
        MissingStages: If no trial is complete.
    """
    done = complete(trials)
    if not done:
        raise MissingStages("no trial is complete yet")
    figure, axes = new_axes(3.6, max(5.2, 1.3 * (len(space) + 1)))
    scores = np.array([100 * (trial.score or 0.0) for trial in done])
    low, high = float(scores.min()), float(scores.max())
    norm = Normalize(low, high if high > low else low + 1e-6)
    names = list(space)
    others = [trial for trial in trials if trial.state != "complete" and all(name in trial.params for name in names)]
    pale = [[(i, _place(space, name, trial.params[name])) for i, name in enumerate(names)] for trial in others]
    axes.add_collection(LineCollection(pale, colors=PALE, linewidths=0.8, linestyles=(0, (3, 2)), zorder=1))
    thin = 1.4 if len(done) <= 20 else 0.9
    order = np.argsort(scores, kind="stable")
    for i in order:
        y = [*(_place(space, name, done[i].params[name]) for name in names), float(norm(scores[i]))]
        best = i == order[-1]
        # The rim keeps the pale yellow of good scores apart from the paper.
        axes.plot(y, color=BLACK if best else "#777777", linewidth=4.4 if best else 1.7 * thin, zorder=3)
        axes.plot(y, color=SCORES(norm(scores[i])), linewidth=2.6 if best else thin, zorder=3)
    for i, name in enumerate(names):
        _draw_axis(axes, i, [(_place(space, name, value), as_text(value)) for value in _ticks(space, name)])
    ticks = MaxNLocator(5).tick_values(low, high)
    _draw_axis(axes, len(names), [(float(norm(t)), f"{t:g}") for t in ticks if low <= t <= high])
    axes.set_xticks(range(len(names) + 1), [*map(short, names), f"{measure} (%)"], fontsize=TEXT, color=INK)
    axes.set_xlim(-0.12, len(names) + 0.25)
    axes.set_ylim(-0.04, 1.04)
    axes.tick_params(length=0, labelleft=False)
    axes.spines[:].set_visible(False)
    name_axes(axes, title=f"{counted(len(done), 'complete trial')}, score on the validation images; black: the best")
    return figure


def _place(space: Space, name: str, value: Value) -> float:
    """Where a value stands on its axis, from 0 to 1."""
    values = space[name]
    if isinstance(values, Choice):
        return values.values.index(value) / (len(values.values) - 1)
    return (float(value) - values.low) / (values.high - values.low)


def _ticks(space: Space, name: str) -> list[Value]:
    values = space[name]
    if isinstance(values, Choice):
        return list(values.values)
    locator = MaxNLocator(5, steps=[1, 2, 5, 10], integer=not isinstance(values, Uniform))
    return [float(t) for t in locator.tick_values(values.low, values.high) if values.low <= t <= values.high]


def _draw_axis(axes: Axes, x: float, ticks: Sequence[tuple[float, str]]) -> None:
    axes.axvline(x, color=FRAME, linewidth=0.9, zorder=2)
    box = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8}
    for y, text in ticks:
        axes.plot([x, x + 0.025], [y, y], color=FRAME, linewidth=0.9, zorder=2)
        axes.text(x + 0.04, y, text, va="center", fontsize=SMALL, color=INK, zorder=5, bbox=box)
