"""How much two teachers agree on the images that come first, and on the others (RWMS, Fig. 4)."""

from collections.abc import Iterable

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from dmt_ray.errors import MissingStages
from dmt_ray.experiments.ablation import Member
from dmt_ray.plan.files import ORDER
from dmt_ray.plan.words import counted
from dmt_ray.report.figures.kit import BLUE, INK, ORANGE, SMALL, Look, calm, legend_below, name_axes, new_axes
from dmt_ray.store import Store

COLUMNS = ("row", "seed", "id", "agreement", "first")
GROUPS = ((True, BLUE, "first phase"), (False, ORANGE, "second phase"))


def reliability(store: Store, runs: Iterable[Member]) -> pd.DataFrame:
    """The agreement of two teachers on every unlabelled image, and in which phase it comes.

    Returns:
        One line for an image: row, seed, id, agreement (mIoU between both teachers' labels, a fraction) and first
        (whether it is among the images of the first phase).

    Raises:
        MissingStages: If no row has two phases.
    """
    pieces = []
    for one in runs:
        phases = [stage for stage in one.plan.stages() if ORDER in stage.config.writes and store.has(stage)]
        if len(phases) > 1:
            table = pd.read_csv(store.open(phases[0]) / ORDER, dtype={"id": str, "first": bool})
            pieces.append(table.assign(row=one.cell.row, seed=one.seed)[list(COLUMNS)])
    if not pieces:
        raise MissingStages("no row whose images come in phases, such as RWMS, is complete yet")
    return pd.concat(pieces, ignore_index=True)


def reliability_plot(images: pd.DataFrame) -> Figure:
    """Box plots of the images' agreement (see `reliability`), for those that come first and for the others, with means.

    A box holds the middle half of the images of all seeds, the line in it is their median, whiskers end at the 5th and
    95th percentile.
    """
    rows = list(dict.fromkeys(images["row"]))
    figure, axes = new_axes(1.5 + 0.62 * len(rows))
    for place, row in enumerate(rows):
        for first, color, _ in GROUPS:
            values = 100 * images[(images["row"] == row) & (images["first"] == first)]["agreement"]
            at = place + (-0.17 if first else 0.17)
            look: Look = {"boxprops": {"facecolor": color, "alpha": 0.35, "edgecolor": color}, "patch_artist": True}
            look |= {"medianprops": {"color": color, "linewidth": 1.6}, "showfliers": False}
            look |= {"whiskerprops": {"color": color}, "capprops": {"color": color}, "orientation": "horizontal"}
            axes.boxplot(values, positions=[at], widths=0.26, whis=(5, 95), **look)
            axes.plot(values.mean(), at, "D", markersize=5, color=color, markeredgecolor="white", zorder=4)
            beside = axes.get_yaxis_transform()
            axes.text(1.02, at, f"{values.mean():.1f}", transform=beside, va="center", fontsize=SMALL, color=INK)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, 100)
    calm(axes, grid="x")
    axes.tick_params(axis="y", length=0)
    axes.text(1.02, 1.0, "mean", transform=axes.transAxes, va="bottom", fontsize=SMALL, color=INK)
    seeds = images["seed"].nunique()
    title = f"images of {counted(seeds, 'seed')}"
    name_axes(axes, "mIoU between both teachers' labels of an image (%)", title=title)
    handles = [Patch(facecolor=color, alpha=0.35, edgecolor=color, label=label) for _, color, label in GROUPS]
    legend_below(figure, handles)
    return figure
