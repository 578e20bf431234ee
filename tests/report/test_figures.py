"""Figures say what the numbers they are given say; readers find these numbers in tables."""

import io
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from dmt_ray.errors import MissingStages
from dmt_ray.experiments.sweep import Sweep, Trial
from dmt_ray.methods.space import Choice, Integer, Uniform
from dmt_ray.recipes import named
from dmt_ray.report import figures
from dmt_ray.report.figures.best_of import chosen_among
from dmt_ray.report.figures.fractions import _tick_labels
from dmt_ray.report.figures.kit import KNOWN, over_seeds, spread_out, styles

Records = Callable[..., pd.DataFrame]
PALETTE = np.array([[0, 0, 0], [0, 114, 178], [230, 159, 0]], np.uint8)
SPACE = {"gamma1": Uniform(0, 8), "finetune.epochs": Integer(1, 4), "method": Choice("cbst", "dst", "dmt")}


def drawn(figure: Figure) -> np.ndarray:
    """The pixels of a figure, which must draw without a warning."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=60)
    return np.asarray(Image.open(file).convert("RGB"))


def texts(figure: Figure) -> list[str]:
    """All that is written in a figure."""
    drawn(figure)
    found = [text.get_text() for axes in figure.axes for text in (*axes.texts, axes.title, axes.xaxis.label)]
    found += [axes.get_title(loc="left") for axes in figure.axes]
    found += [tick.get_text() for axes in figure.axes for tick in (*axes.get_xticklabels(), *axes.get_yticklabels())]
    return [*found, *(text.get_text() for legend in figure.legends for text in legend.get_texts())]


def trial(number: int, score: float | None, state: str = "complete", compute: float | None = None) -> Trial:
    params = {"gamma1": float(number), "finetune.epochs": 1 + number % 4, "method": ("cbst", "dst", "dmt")[number % 3]}
    return Trial(number, params, state, {} if score is None else {0: score}, compute=compute)  # type: ignore[arg-type]


def test_a_figure_needs_neither_torch_nor_ray_nor_optuna_to_be_imported() -> None:
    told = "import sys, dmt_ray.report.figures.drawing; print({'torch', 'ray', 'optuna', 'mlflow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# ---- best of k -------------------------------------------------------------------------------------------------


def test_the_best_of_two_of_three_trials_is_two_thirds_of_the_time_the_best_of_all() -> None:
    curve = figures.best_of_k([0.1, 0.3, 0.2])  # pairs: (.1 .3), (.1 .2), (.3 .2)
    assert curve["best"].tolist() == pytest.approx([0.2, 0.8 / 3, 0.3])
    assert curve["k"].tolist() == [1, 2, 3]


def test_the_chosen_trial_brings_its_own_test_score() -> None:
    # The best on the validation images, .3, has .1 on the test images; .2 has .5.
    curve = figures.best_of_k([0.1, 0.3, 0.2], [0.0, 0.1, 0.5])
    assert curve["chosen"].tolist() == pytest.approx([0.2, (0.1 + 0.1 + 0.5) / 3, 0.1])


def test_the_best_of_k_agrees_with_draws() -> None:
    scores, random = np.arange(12.0) ** 2, np.random.default_rng(0)
    draws = [random.choice(scores, 5, replace=False).max() for _ in range(4000)]
    curve = figures.best_of_k(scores)
    assert curve["best"][4] == pytest.approx(np.mean(draws), abs=1.5)
    assert (curve["low"][4], curve["high"][4]) == tuple(np.quantile(draws, (0.1, 0.9), method="inverted_cdf"))


def test_as_many_trials_as_there_are_leave_no_choice() -> None:
    assert chosen_among(3, 3).tolist() == [0, 0, 1]
    with pytest.raises(ValueError, match="from 1 to the number of trials, 3, but got 4"):
        chosen_among(4, 3)


def test_the_curve_says_how_many_trials_it_is_about() -> None:
    figure = figures.best_of_k_plot(figures.best_of_k([0.1, 0.3, 0.2], [0.0, 0.1, 0.5]))
    assert "expected best of k of 3 trials; band: middle 80 %" in texts(figure)
    assert "the same trial on the test images" in texts(figure)
    assert "the same trial on the test images" not in texts(figures.best_of_k_plot(figures.best_of_k([0.1, 0.2])))


# ---- compute ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("costs", "scores", "front"),
    [
        pytest.param([1, 2, 3], [1, 2, 3], [True, True, True], id="more expensive and better"),
        pytest.param([1, 2, 3], [2, 1, 3], [True, False, True], id="more expensive and worse"),
        pytest.param([1, 1, 2], [1, 2, 2], [False, True, False], id="as expensive or as good"),
        pytest.param([1, 1], [2, 2], [True, True], id="equal"),
    ],
)
def test_the_front_holds_what_nothing_beats(costs: list[float], scores: list[float], front: list[bool]) -> None:
    assert figures.pareto(costs, scores).tolist() == front


def test_what_a_row_costs_is_read_from_the_records(records: Records) -> None:
    scores = {"Baseline": {0: 0.5, 1: 0.6}, "DMT": {0: 0.7, 1: None}, "Oracle": {0: 0.9}}
    frame = records({"last": scores}, methods={"Oracle": "oracle"})
    baseline, dmt = figures.costs(frame, "1/8")  # nobody competes with the oracle
    assert (baseline.cost, baseline.scores, baseline.models) == (1000, (0.5, 0.6), 1)
    assert (dmt.name, dmt.cost, dmt.scores, dmt.models) == ("DMT", 2000, (0.7,), 2)
    assert figures.costs(frame, "1/8", unit="hours")[1].cost == pytest.approx(0.2)


def test_models_and_names_stand_beside_what_they_cost(records: Records) -> None:
    frame = records({"last": {"Baseline": {0: 0.5, 1: 0.6}, "DMT": {0: 0.7, 1: 0.7}}})
    found = texts(figures.score_against_compute(figures.costs(frame, "1/8")))
    assert {"Baseline", "DMT", "one model", "two models", "mean of 2 seeds, bars: 95 % t interval"} <= set(found)


def test_of_many_trials_those_on_the_front_are_named() -> None:
    trials = [trial(n, 0.5 - 0.01 * n, compute=100 + n) for n in range(20)]  # the cheapest is the best
    found = texts(figures.score_against_compute(figures.trial_costs(trials), images="selection"))
    assert [text for text in found if text.startswith("trial ")] == ["trial 0"]
    assert "20 complete trials" in found


def test_a_search_without_compute_has_no_costs() -> None:
    with pytest.raises(MissingStages, match="compute is minimised"):
        figures.trial_costs([trial(0, 0.5)])


# ---- forest ----------------------------------------------------------------------------------------------------


def test_differences_are_paired_by_seed(records: Records) -> None:
    scores = {"Baseline": {0: 0.5, 1: 0.6, 2: 0.7}, "DMT": {0: 0.51, 1: 0.62, 2: None}, "Oracle": {0: 0.9}}
    frame = records({"last": scores}, methods={"Oracle": "oracle"})
    (only,) = figures.paired_differences(frame, "1/8")
    assert (only.row, only.wins) == ("DMT", 2)
    assert only.values == pytest.approx((0.01, 0.02))
    assert only.paired.mean == pytest.approx(0.015)
    # t[0.975; 1] = 12.706, sd = 0.01 / sqrt 2, n = 2.
    assert only.paired.high - only.paired.mean == pytest.approx(12.706 * 0.005, rel=1e-4)


def test_a_forest_names_rows_and_says_their_differences(records: Records) -> None:
    frame = records({"last": {"Baseline": {0: 0.5, 1: 0.6}, "DMT": {0: 0.51, 1: 0.63}, "DST": {0: 0.4, 1: 0.6}}})
    found = texts(figures.forest_plot(figures.paired_differences(frame, "1/8"), "Baseline"))
    assert {"DMT", "DST"} <= set(found)
    assert any(text.startswith("+2.00 [") and text.endswith("2/2") for text in found)
    assert any(text.startswith("-5.00 [") and text.endswith("0/2") for text in found)


def test_one_seed_has_a_difference_without_an_interval(records: Records) -> None:
    frame = records({"last": {"Baseline": {0: 0.5}, "DMT": {0: 0.51}}})
    assert "+1.00  1/1" in texts(figures.forest_plot(figures.paired_differences(frame, "1/8"), "Baseline"))


def test_without_the_reference_there_is_no_forest(records: Records) -> None:
    frame = records({"last": {"Baseline": {0: None}, "DMT": {0: 0.51}}})
    with pytest.raises(MissingStages, match="in common with the reference 'Baseline'"):
        figures.paired_differences(frame, "1/8")


# ---- iterations ------------------------------------------------------------------------------------------------


def by_rung(records: Records, scores: dict[str, list[list[float]]]) -> pd.DataFrame:
    """Tidy records: row -> rung -> scores of the seeds 0, 1, ..."""
    pieces = []
    for row, rungs in scores.items():
        for rung, values in enumerate(rungs):
            piece = records({"each": {row: dict(enumerate(values))}})
            pieces.append(piece.assign(rung=rung))
    return pd.concat(pieces, ignore_index=True)


def test_scores_are_read_iteration_by_iteration(records: Records) -> None:
    frame = by_rung(records, {"Baseline": [[0.4, 0.5]], "DMT": [[0.4, 0.5], [0.45, 0.6]]})
    b = frame[frame["row"] == "DMT"].assign(model="B", value=lambda lines: lines["value"] + 0.02)
    (name, table), *others = figures.iteration_scores(pd.concat([frame, b]), "1/8").items()
    assert (name, others) == ("DMT", [])
    assert table.loc[1].tolist() == pytest.approx([0.51, 0.61])  # mean of A and B


def test_a_gain_is_the_difference_to_the_same_seed(records: Records) -> None:
    frame = by_rung(records, {"DMT": [[0.4, 0.5], [0.45, 0.55]]})
    figure = figures.score_by_iteration(figures.iteration_scores(frame, "1/8"), gain=True)
    line = figure.axes[0].lines[0]
    assert np.asarray(line.get_ydata(), float).tolist() == pytest.approx([0, 5])
    assert "DMT" in texts(figure)


def test_rows_without_iterations_have_no_curve(records: Records) -> None:
    with pytest.raises(MissingStages, match="no row with iterations"):
        figures.iteration_scores(by_rung(records, {"Baseline": [[0.4]]}), "1/8")


# ---- pseudo labels ---------------------------------------------------------------------------------------------


def errors(values: dict[tuple[str, int, float, str], float]) -> pd.DataFrame:
    lines = [(row, seed, 1, "A", share, name, share, error) for (row, seed, share, name), error in values.items()]
    return pd.DataFrame(lines, columns=["row", "seed", "iteration", "teacher", "share", "class", "kept", "error"])


def test_errors_among_the_most_confident_are_means_over_seeds() -> None:
    frame = errors({("DMT", 0, 0.2, ""): 0.02, ("DMT", 1, 0.2, ""): 0.04, ("DMT", 0, 1.0, ""): 0.1})
    table = figures.errors_by_share(frame)["DMT"]
    figure = figures.error_of_most_confident({"DMT": table}, one_teacher=True)
    line = figure.axes[0].lines[0]
    assert line.get_xydata().tolist() == pytest.approx(np.array([[20, 3], [100, 10]]))  # type: ignore[union-attr]
    assert {"20 %", "100 %", "most confident fraction of the pixels"} <= set(texts(figure))


def test_the_hardest_class_stands_on_top() -> None:
    frame = errors(
        {
            ("DMT", 0, 0.2, "cat"): 0.01,
            ("DMT", 0, 1.0, "cat"): 0.05,
            ("DMT", 0, 1.0, "dog"): 0.4,
            ("DMT", 0, 1.0, ""): 0,
        }
    )
    figure = figures.error_by_class(frame)
    found = texts(figure)
    assert [name for name in found if name in ("cat", "dog")] == ["dog", "cat"]
    assert {"40", "5.0", "1.0", "–"} <= set(found)


def test_errors_of_no_class_cannot_be_drawn_by_class() -> None:
    with pytest.raises(ValueError, match="nothing about the classes"):
        figures.error_by_class(errors({("DMT", 0, 1.0, ""): 0.1}))


# ---- disagreement ----------------------------------------------------------------------------------------------


def test_disagreement_is_averaged_over_seeds_models_and_tenths_of_an_iteration() -> None:
    steps = range(1, 21)  # two in every tenth
    lines = [
        ("DMT", seed, "A", step, 1, 0.7, 0.1 * (seed + 1) + 0.01 * (step % 2), 0.1) for seed in (0, 1) for step in steps
    ]
    rates = pd.DataFrame(
        lines, columns=["row", "seed", "model", "step", "iteration", "agreement", "negative", "positive"]
    )
    figure = figures.disagreement_rates(rates)
    line = figure.axes[0].lines[0]
    assert np.asarray(line.get_ydata(), float).tolist() == pytest.approx([15.5] * 10)
    assert np.asarray(line.get_xdata(), float).tolist() == pytest.approx([1.5 + 2 * part for part in range(10)])
    assert "DMT" in texts(figure)


# ---- one setting -----------------------------------------------------------------------------------------------


def epochs_swept(**reported: float) -> figures.SweepTrials:
    """A sweep over the epochs between two reversals with a trial for each of n5, n10, ..."""
    sweep = Sweep("reversal_sweep", "?", named("shapes"), "dmt", {"finetune.epochs": Choice(10, 5, 20)}, (0, 1), grid=5)
    trials = tuple(
        Trial(number, {"finetune.epochs": int(name[1:])}, "complete", {0: 0.5}) for number, name in enumerate(reported)
    )
    return figures.SweepTrials(sweep, trials, {i: (value, value + 0.02) for i, value in enumerate(reported.values())})


def test_scores_of_a_setting_stand_in_the_order_of_its_values() -> None:
    found = figures.setting_scores(epochs_swept(n10=0.6, n5=0.5))
    assert list(found.items()) == [(5, (0.5, 0.52)), (10, (0.6, 0.62))]


def test_a_single_value_is_no_curve() -> None:
    with pytest.raises(MissingStages, match="fewer than two values"):
        figures.setting_scores(epochs_swept(n10=0.6))


def test_a_curve_over_a_setting_says_what_it_is_over() -> None:
    found = figures.setting_scores(epochs_swept(n10=0.6, n5=0.5, n20=0.55))
    figure = figures.score_by_setting(found, "finetune.epochs", measure="accuracy")
    assert {"5", "10", "20", "finetune: epochs", "mean of 2 seeds, bars: 95 % t interval"} <= set(texts(figure))
    assert figure.axes[0].get_ylabel() == "test accuracy after the last iteration (%)"
    assert figure.axes[0].lines[0].get_ydata() == pytest.approx([51, 61, 56])


# ---- label fraction --------------------------------------------------------------------------------------------


def test_score_against_the_labelled_share() -> None:
    scores = {"DMT": {0.05: (0.5, 0.6), 0.5: (0.7, 0.7)}, "Oracle": {0.05: (0.9,), 0.5: (0.9,)}}
    figure = figures.score_by_fraction(scores)
    assert {"5 %", "50 %", "DMT", "Oracle", "mean of 1 to 2 seeds, bars: 95 % t interval"} <= set(texts(figure))
    assert np.asarray(figure.axes[0].lines[0].get_ydata(), float).tolist() == pytest.approx([55, 70])


def test_amounts_that_lie_too_close_have_no_number_on_the_axis() -> None:
    assert _tick_labels([0.01, 0.1, 0.8, 0.95]) == ["1 %", "10 %", "80 %", ""]
    assert _tick_labels([100, 530]) == ["100", "530"]


# ---- searches --------------------------------------------------------------------------------------------------


def test_the_setting_that_rules_the_score_is_the_most_important() -> None:
    trials = [trial(n % 8, (n % 8) / 10) for n in range(16)]
    found = figures.importances({"gamma1": SPACE["gamma1"], "method": SPACE["method"]}, trials, repeats=2)
    assert found.groupby(["evaluator", "repeat"])["importance"].sum().tolist() == pytest.approx([1, 1, 1, 1])
    fanova = found[found["evaluator"] == "fANOVA"].groupby("setting")["importance"].min()
    assert fanova["gamma1"] > 0.5 > fanova["method"]
    assert {"gamma1", "method", "fANOVA", "PED-ANOVA"} <= set(texts(figures.importance_plot(found)))


def test_importances_of_a_handful_of_trials_are_refused() -> None:
    with pytest.raises(MissingStages, match="at least 8 complete trials, but there are 2"):
        figures.importances(SPACE, [trial(0, 0.1), trial(1, 0.2), trial(2, 0.3, "pruned")])


def test_a_trial_is_a_line_across_its_settings_to_its_score() -> None:
    trials = [trial(0, 0.40), trial(4, 0.50), trial(5, 0.3, "pruned")]
    figure = figures.parallel_coordinates(SPACE, trials)
    # gamma1 4 of 0..8; 1 epoch, the least; dst, the middle one; the best score.
    best = [line.get_ydata() for line in figure.axes[0].lines if len(line.get_ydata()) == 4][-1]  # type: ignore[arg-type]
    assert np.asarray(best, float).tolist() == pytest.approx([0.5, 0.0, 0.5, 1.0])
    assert {"gamma1", "epochs", "method", "mIoU (%)", "cbst"} <= set(texts(figure))


# ---- pictures --------------------------------------------------------------------------------------------------


def examples(prediction: int, ids: tuple[str, ...] = ("one", "two")) -> dict[str, np.ndarray]:
    content: dict[str, np.ndarray] = {"ids": np.array(ids)}
    for e in range(len(ids)):
        content[f"image_{e}"] = np.full((8, 12, 3), 200, np.uint8)
        content[f"truth_{e}"] = np.full((8, 12), 255, np.uint8)
        content[f"prediction_{e}"] = np.full((8, 12), prediction, np.uint8)
    return content


def test_models_are_compared_on_the_same_images() -> None:
    figure = figures.qualitative({"Baseline": examples(0), "DMT": examples(2)}, PALETTE, ("sky", "cat", "dog"))
    assert len(figure.axes) == 2 * 4
    assert {"image", "truth", "Baseline", "DMT", "sky", "dog", "no label"} <= set(texts(figure))
    assert "cat" not in texts(figure)
    picture = figure.axes[3].images[0].get_array()
    assert picture is not None
    assert (picture == PALETTE[2]).all()


def test_other_images_are_refused() -> None:
    with pytest.raises(ValueError, match="rows of the same images"):
        figures.qualitative({"Baseline": examples(0), "DMT": examples(2, ("one", "three"))}, PALETTE, ("a", "b", "c"))


# ---- the look --------------------------------------------------------------------------------------------------


def test_rows_look_alike_in_all_figures_and_never_like_each_other() -> None:
    names = [*KNOWN, *(f"DMS {n} %" for n in range(20))]
    found = styles(names)
    assert styles(["DMT"])["DMT"] == found["DMT"] == KNOWN["DMT"]
    assert len(set(found.values())) == len(names)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        pytest.param([0, 5, 9], [0, 5, 9], id="far enough apart"),
        pytest.param([1, 1], [0.5, 1.5], id="on one place"),
        pytest.param([9, 2, 2, 2], [9, 1, 2, 3], id="in their order"),
        pytest.param([0, 0.9, 1.8], [-0.1, 0.9, 1.9], id="pushing each other"),
    ],
)
def test_names_keep_apart(wanted: list[float], found: list[float]) -> None:
    assert spread_out(wanted, 1.0) == pytest.approx(found)


def test_how_many_seeds_a_mean_is_over() -> None:
    assert over_seeds([1, 1]) == "one seed"
    assert over_seeds([3, 5]) == "mean of 3 to 5 seeds, bars: 95 % t interval"
