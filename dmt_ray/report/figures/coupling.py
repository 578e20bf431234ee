"""How far apart two teachers stay while they teach, and how right their labels are (RML, Figs. 2 and 4)."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dmt_ray.errors import MissingStages
from dmt_ray.experiments.ablation import Wanted
from dmt_ray.report.figures.disagreement import binned, mark_iterations
from dmt_ray.report.figures.look import INK, SMALL, TEXT, calm, name_axes, new_figure, styles
from dmt_ray.results.curves import histories
from dmt_ray.store import Store

PANELS = {
    "total_variation": ("total variation", "how far the two teachers are apart"),
    "pseudo_accuracy": ("right labels (%)", "their labels, of which they are sure enough"),
}
COLUMNS = ("row", "seed", "model", "step", "iteration", *PANELS)


def coupling(store: Store, wanted: Iterable[Wanted]) -> pd.DataFrame:
    """What the teachers of students that change with them say, over the optimizer steps.

    Args:
        store: Where the stages are.
        wanted: Cells and seeds of one column.

    Returns:
        One line for a row of a history and a student: row, seed, model, step (of this student, counted from the end of
        its pretraining), iteration (the stage, from 1 on), total_variation (between the two teachers, in ``[0, 1]``;
        NaN where there is one) and pseudo_accuracy (of the student's own teacher, a fraction).

    Raises:
        MissingStages: If no such training is stored.
    """
    pieces = []
    for one in wanted:
        if not one.plan.rungs[-1]["A"].inputs["model"].config.joint:
            continue
        for model, history in histories(store, {one.seed: one.plan}).items():
            before = history[history["rung"] == 0]["step"].max()
            taught = history[history["rung"] > 0]
            known = taught.assign(
                row=one.cell.row, seed=one.seed, model=model, step=taught["step"] - before, iteration=taught["rung"]
            )
            pieces.append(known.reindex(columns=list(COLUMNS)))
    if not pieces:
        raise MissingStages("no training of students by teachers that change with them is stored, such as RML")
    return pd.concat([piece.astype({name: float for name in PANELS}) for piece in pieces], ignore_index=True)


def coupling_plot(rates: pd.DataFrame) -> Figure:
    """Total variation between the teachers, and the accuracy of their labels, over the optimizer steps.

    Lines are means over seeds, students and a tenth of a stage.

    Args:
        rates: As `coupling` gives them; rows of one student have no total variation.
    """
    figure = new_figure(4.6)
    panels = figure.subplots(2, 1, sharex=True)
    look, means = styles(dict.fromkeys(rates["row"])), binned(rates, tuple(PANELS))
    for axes, (column, (label, title)) in zip(panels, PANELS.items(), strict=True):
        factor = 100 if "%" in label else 1
        for row, lines in means.groupby("row", sort=False):
            said = factor * lines.groupby("step")[column].mean()
            axes.plot(said.index, said, color=look[str(row)].color, linewidth=1.6, label=row)
        axes.set_xlim(left=0)
        if column == "total_variation" and np.isfinite(rates[column]).any():
            axes.set_ylim(bottom=0)
        calm(axes)
        name_axes(axes, y=label, title=title)
        mark_iterations(axes, rates)
    panels[-1].set_xlabel("optimizer steps of one student since pretraining", fontsize=TEXT, color=INK)
    handles, names = panels[-1].get_legend_handles_labels()
    figure.legend(
        handles,
        names,
        loc="outside lower center",
        ncols=min(3, len(names)),
        frameon=False,
        fontsize=SMALL,
        title="means over seeds and students; thin lines: stages",
        title_fontsize=SMALL,
    )
    return figure
