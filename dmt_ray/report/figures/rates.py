"""What students log over their optimizer steps: disagreement with their teachers, and how far two teachers differ.

How often student and teacher disagree, and which of them is more confident: DMT, Sec. 3.2. How far apart two teachers
stay while they teach, and how right their labels are: RML, Figs. 2 and 4.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dmt_ray.errors import MissingStages
from dmt_ray.experiments.ablation import Member
from dmt_ray.report.figures.kit import GREY, calm, legend_below, name_axes, new_figure, styles
from dmt_ray.results.curves import histories
from dmt_ray.store import Store

DISAGREEMENT = {  # column -> label of the axis, and title
    "negative": ("pseudo labels (%)", "negative disagreement: the teacher is more confident"),
    "positive": ("pseudo labels (%)", "positive disagreement: the student is more confident"),
}
COUPLING = {
    "total_variation": ("total variation", "how far the two teachers are apart"),
    "pseudo_accuracy": ("right labels (%)", "labels above their confidence threshold"),
}
MOST_BANDS = 3  # more of them lie over each other
PARTS = 10  # points of a line in every iteration
KEYS = ["row", "seed", "model", "step", "iteration"]


def disagreements(store: Store, runs: Iterable[Member]) -> pd.DataFrame:
    """Shares of agreement and disagreement over the optimizer steps of the fine-tunings, where they are stored.

    Returns:
        One line for a row of a history: row, seed, model, step (of this model, counted from its first fine-tuning),
        iteration, agreement, negative, positive (shares of the pseudo labels in the steps before).

    Raises:
        MissingStages: If no fine-tuning on pseudo labels of an earlier model is stored.
    """
    columns = [*KEYS, "agreement", *DISAGREEMENT]
    known = [history for history in _after_pretraining(store, runs) if "agreement" in history]
    pieces = [history[history["agreement"].notna()][columns] for history in known]
    if not pieces:
        raise MissingStages("no history of a fine-tuning on pseudo labels is stored, such as those of DST and DMT")
    return pd.concat(pieces, ignore_index=True)


def coupling(store: Store, runs: Iterable[Member]) -> pd.DataFrame:
    """What co-training teachers predict, over the optimizer steps.

    Returns:
        One line for a row of a history and a student: row, seed, model, step (of this student, counted from the end of
        its pretraining), iteration (the stage, from 1 on), total_variation (between the two teachers, in ``[0, 1]``;
        NaN where there is one) and pseudo_accuracy (of the student's own teacher, a fraction).

    Raises:
        MissingStages: If no such training is stored.
    """
    coupled = [one for one in runs if one.plan.rungs[-1]["A"].inputs["model"].config.joint]
    types = dict.fromkeys(COUPLING, float)
    pieces = [h.reindex(columns=[*KEYS, *COUPLING]).astype(types) for h in _after_pretraining(store, coupled)]
    if not pieces:
        raise MissingStages("no training of students by teachers that change with them is stored, such as RML")
    return pd.concat(pieces, ignore_index=True)


def _after_pretraining(store: Store, runs: Iterable[Member]) -> Iterator[pd.DataFrame]:
    """The histories of every model after its pretraining, with the columns `KEYS`."""
    for one in runs:
        for model, history in histories(store, {one.seed: one.plan}).items():
            before = history[history["rung"] == 0]["step"].max()
            after = history[history["rung"] > 0]
            of_run = after.assign(row=one.cell.row, seed=one.seed, model=model)
            yield of_run.assign(step=after["step"] - before, iteration=after["rung"])


def disagreement_rates(rates: pd.DataFrame) -> Figure:
    """Negative and positive disagreement over the optimizer steps of the fine-tunings.

    Lines are means over seeds, models and a tenth of an iteration; bands, of up to three rows, are the
    range over seeds and models.

    Args:
        rates: As `disagreements` gives them. Rows with other numbers of steps have lines of other lengths.
    """
    banded = rates["row"].nunique() <= MOST_BANDS
    figure = _draw(rates, DISAGREEMENT, "optimizer steps of one model since pretraining", banded)
    bands = ", bands: their range" if banded else ""
    legend_below(figure, columns=4, title=f"means over seeds and models{bands}; thin lines: iterations")
    return figure


def coupling_plot(rates: pd.DataFrame) -> Figure:
    """Total variation between the teachers, and the accuracy of their labels, over the optimizer steps.

    Lines are means over seeds, students and a tenth of a stage.

    Args:
        rates: As `coupling` gives them; rows of one student have no total variation.
    """
    figure = _draw(rates, COUPLING, "optimizer steps of one student since pretraining", banded=False)
    legend_below(figure, columns=3, title="means over seeds and students; thin lines: stages")
    return figure


def _draw(rates: pd.DataFrame, panels: Mapping[str, tuple[str, str]], x: str, banded: bool) -> Figure:
    figure = new_figure(4.6)
    look, means = styles(dict.fromkeys(rates["row"])), _binned(rates, tuple(panels))
    both = figure.subplots(len(panels), 1, sharex=True)
    for axes, (column, (label, title)) in zip(both, panels.items(), strict=True):
        factor = 100 if "%" in label else 1
        for row, lines in means.groupby("row", sort=False):
            color = look[str(row)].color
            line = factor * lines.groupby("step")[column].agg(["mean", "min", "max"])
            if banded:
                axes.fill_between(line.index, line["min"], line["max"], color=color, alpha=0.15, linewidth=0)
            axes.plot(line.index, line["mean"], color=color, linewidth=1.6, label=row)
        axes.set_xlim(left=0)
        if column != "pseudo_accuracy" and np.isfinite(rates[column]).any():
            axes.set_ylim(bottom=0)
        calm(axes)
        name_axes(axes, x if axes is both[-1] else "", label, title)
        _mark_iterations(axes, rates)
    return figure


def _binned(rates: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Means of columns over tenths of every iteration, as single steps scatter too much to be compared."""
    by_iteration = rates.groupby(["row", "iteration"])["step"]
    low, high = by_iteration.transform("min"), by_iteration.transform("max")
    part = ((rates["step"] - low) / (high - low + 1) * PARTS).astype(int)
    keys = ["row", "seed", "model", "iteration", "part"]
    means = rates.assign(part=part).groupby(keys, sort=False)[["step", *columns]].mean().reset_index()
    # The same parts of all seeds and models stand at one place.
    return means.assign(step=means.groupby(["row", "iteration", "part"])["step"].transform("mean"))


def _mark_iterations(axes: Axes, rates: pd.DataFrame) -> None:
    """Where the iterations of most rows begin."""
    ends = rates.groupby(["row", "iteration"])["step"].max().unstack("row")
    for step in ends.mode(axis="columns")[0].iloc[:-1]:
        axes.axvline(step, color=GREY, linewidth=0.7, zorder=1)
