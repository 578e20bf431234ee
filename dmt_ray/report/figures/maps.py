"""Pictures: pseudo labels and their weights (DMT, Fig. 7), and predictions side by side (DMT, Figs. 9 and 10)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from dmt_ray import IGNORE
from dmt_ray.errors import MissingStages
from dmt_ray.plan import Plan
from dmt_ray.plan.files import EXAMPLES
from dmt_ray.report.figures.kit import INK, SMALL, TEXT, legend_below, new_axes, new_figure
from dmt_ray.results.curves import finetunings
from dmt_ray.store import Store

Examples = Mapping[str, NDArray[Any]]
GROUP_GAP = 0.18  # between two images of the weight maps, in widths of a picture


def stored_examples(store: Store, plan: Plan, side: str = "A") -> list[dict[str, NDArray[Any]]]:
    """The examples of a few unlabelled images stored by the fine-tunings of one model, first iteration first.

    Raises:
        MissingStages: If there is no fine-tuning, its examples were evicted, or there are none with masks.
    """
    files = [store.open(stage) / EXAMPLES for stage in finetunings(store, plan, side)]
    if not files or not all(file.exists() for file in files):
        raise MissingStages("no examples of pseudo labels are stored" if not files else "the examples were evicted")
    iterations = []
    for file in files:
        with np.load(file, allow_pickle=False) as content:
            iterations.append(dict(content))
    if iterations[0].get("truth_0", np.empty(0)).size < 2:
        raise MissingStages("images with a single class each have no masks to show")
    return iterations


def weight_maps(
    iterations: Sequence[Examples], palette: NDArray[np.uint8], classes: Sequence[str], *, images: int | None = None
) -> Figure:
    """What a model was taught and what it then predicted, iteration by iteration (like DMT, Fig. 7).

    Each image has three rows: the pseudo labels, their weights, and the student's prediction afterwards. Its first
    column shows the image and its true mask.

    Args:
        iterations: The content of ``examples.npz`` of each fine-tuning, iteration 1 first, all of the same images.
        palette: Colours of the classes, uint8 ``[K, 3]``.
        classes: Their K names.
        images: How many images, counted from the first; None: all.

    Raises:
        ValueError: If there is no iteration, or no image in it.
    """
    ids = [str(name) for name in iterations[0]["ids"]][:images] if iterations else []
    if not ids:
        raise ValueError(f"weight maps need an iteration with an image, but got {len(iterations)} iterations")
    columns = len(iterations) + 1
    aspect = max(iterations[0][f"truth_{e}"].shape[0] / iterations[0][f"truth_{e}"].shape[1] for e in range(len(ids)))
    group = 3 * aspect + GROUP_GAP
    cell = max(1.35, 6.0 / columns)  # inches of a picture's width
    figure, axes = new_axes(cell * (len(ids) * group + 0.25) + 0.6, cell * (columns + 0.44) + 1.2)
    masks = []

    def draw(picture: NDArray[Any], column: int, row: float) -> None:
        extent = (column + 0.02, column + 0.98, row + 0.98 * aspect, row + 0.02 * aspect)
        axes.imshow(picture, extent=extent, interpolation="nearest", cmap="cividis", vmin=0, vmax=1)

    def name_rows(names: Sequence[str], x: float, top: float, side: str) -> None:
        for row, name in enumerate(names):
            at = (x, top + (row + 0.5) * aspect)
            axes.text(*at, name, rotation=90, ha=side, va="center", fontsize=SMALL)

    for e, name in enumerate(ids):
        top = e * group
        truth = iterations[0][f"truth_{e}"]
        masks.append(truth)
        draw(iterations[0][f"image_{e}"], 0, top)
        draw(paint(truth, palette), 0, top + aspect)
        axes.text(0.5, top + 2.5 * aspect, name, fontsize=SMALL, ha="center", va="center")
        for column, examples in enumerate(iterations, start=1):
            label, prediction = examples[f"label_{e}"], examples[f"prediction_{e}"]
            masks += [label, prediction]
            draw(paint(label, palette), column, top)
            draw(np.ma.masked_where(label == IGNORE, examples[f"weight_{e}"] / 255), column, top + aspect)
            draw(paint(prediction, palette), column, top + 2 * aspect)
        name_rows(("image", "truth"), -0.04, top, "right")
        name_rows(("label", "weight", "prediction"), columns + 0.04, top, "left")
    for column in range(1, columns):
        axes.text(column + 0.5, -0.06, f"iteration {column}", ha="center", va="bottom", fontsize=TEXT)
    # Room for the texts inside the axes: the layout would cut what stands beside pictures of a fixed aspect.
    axes.set(xlim=(-0.22, columns + 0.22), ylim=(len(ids) * group - GROUP_GAP, -0.22), aspect="equal")
    axes.axis("off")
    name_classes(figure, masks, palette, classes, int((cell * columns + 1.9) / 1.35))
    bar = figure.colorbar(ScalarMappable(Normalize(0, 1), "cividis"), ax=axes, fraction=0.04, pad=0.05, shrink=0.5)
    bar.set_label("weight of a pseudo label", fontsize=TEXT)
    return figure


def qualitative(rows: Mapping[str, Examples], palette: NDArray[np.uint8], classes: Sequence[str]) -> Figure:
    """The same images as segmented by several models, one row per image, with the truth (DMT, Figs. 9 and 10).

    Args:
        rows: Name of a row -> its examples (`predictions.Predictor.examples`), all of the same images.
        palette: Colours of the classes, uint8 ``[K, 3]``.
        classes: Their K names.

    Raises:
        ValueError: If there is no image, or rows show different ones.
    """
    ids = {name: [str(image) for image in examples["ids"]] for name, examples in rows.items()}
    first = next(iter(rows.values()), {})
    count = len(first.get("ids", ()))
    if not count or len(set(map(tuple, ids.values()))) > 1:
        raise ValueError(f"a qualitative grid needs rows of the same images, but got {ids}")
    titles = ["image", "truth", *rows]
    heights = [first[f"truth_{e}"].shape[0] / first[f"truth_{e}"].shape[1] for e in range(count)]
    cell = max(1.0, 5.2 / len(titles))  # inches of a picture's width
    figure = new_figure(cell * sum(heights) + 0.75, cell * len(titles))
    axes = figure.subplots(count, len(titles), squeeze=False, gridspec_kw={"height_ratios": heights})
    masks = [[first[f"truth_{e}"], *(one[f"prediction_{e}"] for one in rows.values())] for e in range(count)]
    for e in range(count):
        for place, picture in enumerate([first[f"image_{e}"], *(paint(mask, palette) for mask in masks[e])]):
            axes[e][place].imshow(picture, interpolation="nearest")
            axes[e][place].axis("off")
    for place, title in enumerate(titles):
        axes[0][place].set_title(title, fontsize=TEXT, color=INK)
    name_classes(figure, [mask for line in masks for mask in line], palette, classes, int(cell * len(titles) / 1.1))
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.0, hspace=0.0)  # type: ignore[union-attr,call-arg]
    return figure


def paint(mask: NDArray[np.uint8], palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A mask in its classes' colours, uint8 ``[H, W, 3]``; pixels without a class are white."""
    colours = np.full((256, 3), 255, np.uint8)
    colours[: len(palette)] = palette
    return colours[mask]


def name_classes(
    figure: Figure, masks: Iterable[NDArray[Any]], palette: NDArray[np.uint8], classes: Sequence[str], columns: int
) -> None:
    """A legend of the classes that occur in masks, in at most so many columns."""
    present = sorted({int(k) for mask in masks for k in np.unique(mask)})
    named = [("white", "no label") if k == IGNORE else (palette[k] / 255, classes[k]) for k in present]
    handles = [Patch(facecolor=colour, edgecolor="#666666", label=name) for colour, name in named]
    legend_below(figure, handles, max(2, columns))
