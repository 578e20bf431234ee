"""How often student and teacher disagree while the student learns, and which of them is surer (DMT, Sec. 3.2)."""

from collections.abc import Iterable, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dmt_ray.errors import MissingStages
from dmt_ray.experiments.ablation import Wanted
from dmt_ray.report.figures.look import INK, SMALL, TEXT, calm, name_axes, new_figure, styles
from dmt_ray.results.curves import histories
from dmt_ray.store import Store

RATES = {
    "negative": "negative disagreement: the teacher is surer",
    "positive": "positive disagreement: the student is surer",
}
MOST_BANDS = 3  # more of them lie over each other
PARTS = 10  # points of a line in every iteration
COLUMNS = ("row", "seed", "model", "step", "iteration", "agreement", *RATES)


def disagreements(store: Store, wanted: Iterable[Wanted]) -> pd.DataFrame:
    """Shares of agreement and disagreement over the optimizer steps of the fine-tunings, where they are stored.

    Args:
        store: Where the stages are.
        wanted: Cells and seeds of one column.

    Returns:
        One line for a row of a history: row, seed, model, step (of this model, counted from its first fine-tuning),
        iteration, agreement, negative, positive (shares of the pseudo labels in the steps before).

    Raises:
        MissingStages: If no fine-tuning on pseudo labels of an earlier model is stored.
    """
    pieces = []
    for one in wanted:
        for model, history in histories(store, {one.seed: one.plan}).items():
            if "agreement" not in history:
                continue
            before = history[history["rung"] == 0]["step"].max()
            taught = history[(history["rung"] > 0) & history["agreement"].notna()]
            pieces.append(
                taught.assign(
                    row=one.cell.row, seed=one.seed, model=model, step=taught["step"] - before, iteration=taught["rung"]
                )[list(COLUMNS)]
            )
    if not pieces:
        raise MissingStages("no history of a fine-tuning on pseudo labels is stored, such as those of DST and DMT")
    return pd.concat(pieces, ignore_index=True)


def disagreement_rates(rates: pd.DataFrame) -> Figure:
    """Negative and positive disagreement over the optimizer steps of the fine-tunings.

    Lines are means over seeds, models and a tenth of an iteration; bands, of up to three rows, are the
    range over seeds and models.

    Args:
        rates: As `disagreements` gives them. Rows with other numbers of steps have lines of other lengths.
    """
    figure = new_figure(4.6)
    panels = figure.subplots(2, 1, sharex=True)
    look = styles(dict.fromkeys(rates["row"]))
    means = binned(rates, tuple(RATES))
    banded = len(look) <= MOST_BANDS
    for axes, (rate, title) in zip(panels, RATES.items(), strict=True):
        for row, lines in means.groupby("row", sort=False):
            said = 100 * lines.groupby("step")[rate].agg(["mean", "min", "max"])
            style = look[str(row)]
            if banded:
                axes.fill_between(said.index, said["min"], said["max"], color=style.color, alpha=0.15, linewidth=0)
            axes.plot(said.index, said["mean"], color=style.color, linewidth=1.6, label=row)
        axes.set_ylim(bottom=0)
        axes.set_xlim(left=0)
        calm(axes)
        name_axes(axes, y="pseudo labels (%)", title=title)
        mark_iterations(axes, rates)
    panels[-1].set_xlabel("optimizer steps of one model since pretraining", fontsize=TEXT, color=INK)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(
        handles,
        names,
        loc="outside lower center",
        ncols=min(4, len(names)),
        frameon=False,
        fontsize=SMALL,
        title=f"means over seeds and models{', bands: their range' if banded else ''}; thin lines: iterations",
        title_fontsize=SMALL,
    )
    return figure


def binned(rates: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Means of columns over tenths of every iteration, as single steps scatter too much to be compared.

    Args:
        rates: row, seed, model, step, iteration, and the columns.
        columns: Which.
    """
    by_iteration = rates.groupby(["row", "iteration"])["step"]
    low, high = by_iteration.transform("min"), by_iteration.transform("max")
    part = ((rates["step"] - low) / (high - low + 1) * PARTS).astype(int)
    keys = ["row", "seed", "model", "iteration"]
    found = rates.assign(part=part).groupby([*keys, "part"], sort=False)[["step", *columns]].mean().reset_index()
    # The same parts of all seeds and models stand at one place.
    return found.assign(step=found.groupby(["row", "iteration", "part"])["step"].transform("mean"))


def mark_iterations(axes: Axes, rates: pd.DataFrame) -> None:
    """Where the iterations of most rows begin."""
    ends = rates.groupby(["row", "iteration"])["step"].max().unstack("row")
    for step in ends.mode(axis="columns")[0].iloc[:-1]:
        axes.axvline(step, color="#999999", linewidth=0.7, zorder=1)
