"""Figures are made of the points they are given, and are written whole."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from PIL import Image

from dmt_ray.experiments.sweep import Trial
from dmt_ray.report.figures import curves, landscape, save, training_curves, weight_maps
from dmt_ray.report.figures.landscape import _surface
from dmt_ray.report.figures.maps import paint

GRID = [(float(a), float(b), {2: 0.6 + 0.01 * a}, "complete") for a in range(3) for b in range(3)]
PALETTE = np.array([[0, 0, 0], [0, 114, 178], [230, 159, 0]], np.uint8)
CLASSES = ("background", "disc", "square")


def examples(images: int = 2, width: int = 8) -> dict[str, np.ndarray]:
    content: dict[str, np.ndarray] = {"ids": np.array([f"train_{e:04}" for e in range(images)])}
    for e in range(images):
        content[f"image_{e}"] = np.full((8, width, 3), 200, np.uint8)
        for name in ("truth", "label", "confidence", "weight", "prediction"):
            content[f"{name}_{e}"] = np.ones((8, width), np.uint8)
        content[f"label_{e}"][0] = 255
    return content


def drawn(figure: Figure) -> np.ndarray:
    """The pixels of a figure, which must draw without a warning."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return np.asarray(Image.open(file).convert("RGB"))


def labels(figure: Figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_every_trial_is_a_point_of_the_landscape() -> None:
    others = [(1.0, 7.0, {0: 0.4, 1: 0.5}, "pruned"), (2.0, 7.0, {0: 0.4}, "failed"), (3.0, 7.0, {}, "running")]
    figure = landscape([*GRID, *others], (5, 5))
    scatters = [one for one in figure.axes[0].collections if isinstance(one, PathCollection)]
    drawn_points = [len(one.get_offsets()) for one in scatters]
    assert sorted(drawn_points) == [1, 1, 1, 1, 1, 9]  # of each state, the best, the recipe; and the complete ones
    assert labels(figure) == [
        "best: γ₁ = 2, γ₂ = 0, mIoU 62.00 %",
        "finished trial (9)",
        "pruned trial (1), its last rung beside it",
        "failed trial (1), its last rung beside it",
        "without a score yet (1)",
        "recipe: γ₁ = 5, γ₂ = 5",
    ]
    assert [text.get_text() for text in figure.axes[0].texts] == ["1", "0"]
    assert drawn(figure).std() > 0


def test_a_pruned_trial_is_never_the_best() -> None:
    figure = landscape([*GRID, (7.0, 7.0, {1: 0.99}, "pruned")])
    assert any("mIoU 62.00 %" in label for label in labels(figure))


@pytest.mark.parametrize(
    ("trials", "expected"),
    [
        pytest.param(GRID, True, id="nine points"),
        pytest.param(GRID[:5], False, id="too few points"),
        pytest.param([(a, a, {2: 0.5}, "complete") for a in range(9)], False, id="all on one line"),
        pytest.param([(a, 5.0, {2: 0.5}, "complete") for a in range(9)], False, id="one value of gamma2"),
        pytest.param([(a, b, s, "pruned") for a, b, s, _ in GRID], True, id="pruned trials only"),
        pytest.param([*GRID[:4], (2.0, 1.0, {1: 0.6}, "pruned"), (2.0, 2.0, {1: 0.6}, "pruned")], False, id="rungs"),
    ],
)
def test_a_surface_needs_six_trials_at_one_rung_that_span_an_area(trials: list, expected: bool) -> None:
    from matplotlib.contour import QuadContourSet

    figure = landscape(trials)
    assert any(isinstance(child, QuadContourSet) for child in figure.axes[0].get_children()) == expected
    drawn(figure)


def test_the_surface_is_that_of_the_latest_rung_that_enough_trials_have_come_to() -> None:
    trials = [(a, b, {1: 0.3 + 0.1 * a} | ({2: 0.9} if a == b else {}), "complete" if a == b else "pruned")
              for a, b, _, _ in GRID]  # fmt: skip
    figure = landscape(trials)
    assert figure.axes[0].get_title(loc="left") == "9 trials; surface: scores of 9 at rung 1"
    [bar] = figure.axes[1:]
    assert bar.get_ylim()[1] <= 50.0  # the scores of rung 1, which are at most .5, and not those of rung 2


def test_the_surface_keeps_within_the_scores_and_the_hull() -> None:
    done = np.array([(a, b, 100 * s[2]) for a, b, s, _ in GRID])
    _, _, heights, corners = _surface(done)
    assert heights.min() >= 60.0
    assert heights.max() <= 62.0
    assert {tuple(corner) for corner in corners} >= {(0, 0), (2, 0), (0, 2), (2, 2)}


@pytest.mark.parametrize("trials", [[], [(5.0, 5.0, {}, "running")], GRID[:1], [*GRID, GRID[0]]])
def test_a_landscape_can_be_drawn_at_any_time(trials: list) -> None:
    assert drawn(landscape(trials)).std() > 0


def test_the_best_of_the_curves_has_the_highest_last_score() -> None:
    trials = [
        Trial(1, {}, "complete", {0: 0.5, 1: 0.7, 2: 0.6}),
        Trial(2, {}, "complete", {0: 0.5, 1: 0.6, 2: 0.65}),
        Trial(3, {}, "pruned", {0: 0.5, 1: 0.9}),
        Trial(4, {}, "running", {}),
    ]
    figure = curves(trials)
    assert labels(figure) == ["best: trial 2, mIoU 65.00 %", "other trials", "pruned here (1)"]
    best = next(line for line in figure.axes[0].lines if str(line.get_label()).startswith("best"))
    assert best.get_ydata() == pytest.approx([50, 60, 65])
    drawn(figure)


def test_curves_without_trials() -> None:
    drawn(curves([]))


def test_one_chart_for_each_thing_that_a_history_knows() -> None:
    history = pd.DataFrame({"step": [2, 4, 6], "rung": [0, 1, 1], "loss": [1.0, 0.5, 0.4]})
    history["agreement"] = [np.nan, 0.8, 0.9]
    figure = training_curves({"A": history, "B": history})
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["Loss", "Student and pseudo label agree"]
    assert figure.axes[1].lines[0].get_ydata()[1:] == pytest.approx([80, 90])  # in percent
    assert labels(figure) == ["model A", "model B"]
    drawn(figure)


def test_weight_maps_have_a_picture_for_every_map_of_every_iteration() -> None:
    figure = weight_maps([examples(), examples(), examples()], PALETTE, CLASSES)
    assert len(figure.axes[0].images) == 2 * (2 + 3 * 3)
    assert labels(figure) == ["disc", "no label"]
    drawn(figure)


def test_weight_maps_of_one_wide_image() -> None:
    assert drawn(weight_maps([examples(1, width=24)], PALETTE, CLASSES)).std() > 0


def test_weight_maps_of_nothing_are_an_error() -> None:
    with pytest.raises(ValueError, match="need an iteration with an image"):
        weight_maps([], PALETTE, CLASSES)


def test_a_pixel_without_a_label_is_white() -> None:
    assert paint(np.array([[1, 255]], np.uint8), PALETTE).tolist() == [[[0, 114, 178], [255, 255, 255]]]


def test_a_saved_figure_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    first = save(landscape(GRID), tmp_path / "new" / "one.png").read_bytes()
    second = save(landscape(GRID), tmp_path / "new" / "two.png").read_bytes()
    assert first == second
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["one.png", "two.png"]
