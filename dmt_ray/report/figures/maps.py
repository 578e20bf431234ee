"""Pictures: pseudo labels and their weights (DMT, Fig. 7), and predictions side by side (DMT, Figs. 9 and 10)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from dmt_ray import IGNORE
from dmt_ray.errors import MissingStages
from dmt_ray.plan import Plan
from dmt_ray.plan.files import EXAMPLES
from dmt_ray.report.figures.kit import panel
from dmt_ray.report.figures.look import INK, SMALL, TEXT
from dmt_ray.results.curves import finetunings
from dmt_ray.store import Store

Examples = Mapping[str, NDArray[Any]]


def stored_examples(store: Store, plan: Plan, side: str = "A") -> list[dict[str, NDArray[Any]]]:
    """What the fine-tunings of one model have kept of a few unlabelled images, first iteration first.

    Raises:
        MissingStages: If there is no fine-tuning on given pseudo labels, or its examples were evicted.
    """
    stages = [stage for stage in finetunings(store, plan, side) if "labels" in stage.inputs]
    files = [store.open(stage) / EXAMPLES for stage in stages]
    if not files or not all(file.exists() for file in files):
        raise MissingStages("no examples of pseudo labels are stored" if not files else "the examples were evicted")
    found = []
    for file in files:
        with np.load(file, allow_pickle=False) as content:
            found.append(dict(content))
    if "truth_0" in found[0] and found[0]["truth_0"].size == 1:
        raise MissingStages("images that have one class each are not shown beside masks")
    return found


def weight_maps(
    iterations: Sequence[Examples], palette: NDArray[np.uint8], classes: Sequence[str], *, images: int = 2
) -> Figure:
    """Pseudo labels, weights and predictions over the iterations, beside image and truth (DMT, Fig. 7).

    Args:
        iterations: As `stored_examples` gives them.
        palette: Colours of the classes, uint8 ``[K, 3]``.
        classes: Their K names.
        images: How many images, counted from the first.
    """
    return panel([{**one, "ids": one["ids"][:images]} for one in iterations], palette, classes)


def qualitative(rows: Mapping[str, Examples], palette: NDArray[np.uint8], classes: Sequence[str]) -> Figure:
    """The same images as several models see them: a line an image, with the truth (DMT, Figs. 9 and 10).

    Args:
        rows: Name of a row -> its examples (`predictions.Predictor.examples`), all of the same images.
        palette: Colours of the classes, uint8 ``[K, 3]``.
        classes: Their K names.

    Raises:
        ValueError: If there is no image, or rows show different ones.
    """
    first = next(iter(rows.values()), {})
    ids = [str(name) for name in first.get("ids", ())]
    if not ids or any([str(name) for name in one["ids"]] != ids for one in rows.values()):
        told = {name: [str(image) for image in one["ids"]] for name, one in rows.items()}
        raise ValueError(f"a qualitative grid needs rows of the same images, but got {told}")
    titles = ["image", "truth", *rows]
    heights = [first[f"truth_{e}"].shape[0] / first[f"truth_{e}"].shape[1] for e in range(len(ids))]
    cell = max(1.0, 5.2 / len(titles))  # inches of a picture's width
    figure = Figure(figsize=(cell * len(titles), cell * sum(heights) + 0.75), layout="constrained")
    axes = figure.subplots(len(ids), len(titles), squeeze=False, gridspec_kw={"height_ratios": heights})
    seen: set[int] = set()
    for e in range(len(ids)):
        masks = [first[f"truth_{e}"], *(one[f"prediction_{e}"] for one in rows.values())]
        pictures = [first[f"image_{e}"], *(_paint(mask, palette) for mask in masks)]
        seen.update(int(k) for mask in masks for k in np.unique(mask))
        for place, picture in enumerate(pictures):
            axes[e][place].imshow(picture, interpolation="nearest")
            axes[e][place].axis("off")
    for place, title in enumerate(titles):
        axes[0][place].set_title(title, fontsize=TEXT, color=INK)
    named = [(palette[k] / 255, classes[k]) for k in sorted(seen - {IGNORE})]
    named += [("white", "no label")] if IGNORE in seen else []
    handles = [Patch(facecolor=colour, edgecolor="#666666", label=name) for colour, name in named]
    fitting = max(2, int(cell * len(titles) / 1.1))
    figure.legend(handles=handles, loc="outside lower center", ncols=fitting, frameon=False, fontsize=SMALL)
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.0, hspace=0.0)  # type: ignore[union-attr,call-arg]
    return figure


def _paint(mask: NDArray[np.uint8], palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A mask in its classes' colours, uint8 ``[H, W, 3]``; what has no class is white."""
    colours = np.full((256, 3), 255, np.uint8)
    colours[: len(palette)] = palette
    return colours[mask]
