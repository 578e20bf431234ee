"""What a dry run says of the cost of a sweep: a bound where there is one, and else what it assumes.

A training counts as many steps here as it has epochs, so that the pretraining of a point is as many steps as its value.
"""

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from dmt_ray.cli.sweep_cost import describe
from dmt_ray.experiments.sweep import Sweep, Trial
from dmt_ray.methods.space import Choice, Integer, Uniform
from dmt_ray.plan import Stage
from dmt_ray.recipes import load
from dmt_ray.store import Store

EPOCHS = "pretrain.epochs"
Lines = Callable[..., list[str]]


def epochs(stage: Stage) -> int:
    return stage.config.training.epochs if stage.config.trains else 1


@pytest.fixture
def said(tmp_path) -> Lines:
    """The lines about a search among 1 to 9 epochs of pretraining, some of which are known points."""

    def lines(*known: int, total: int, method: str = "baseline", space=None, seeds=(0,), **further) -> list[str]:
        points = tuple({EPOCHS: value} for value in known)
        sweep = Sweep("s", "?", load("shapes"), method, space or {EPOCHS: Integer(1, 9)}, seeds, points)
        console = Console(record=True, width=400, file=io.StringIO())
        describe(console, sweep, Store(tmp_path / "runs"), epochs, total, **further)
        return [" ".join(line.split()) for line in console.export_text().splitlines()]

    return lines


def total_of(lines: list[str]) -> list[str]:
    """The lines about the total."""
    return lines[next(i for i, line in enumerate(lines) if line.startswith("total")) :]


def test_points_that_are_not_known_count_like_the_one_in_the_middle_and_like_the_largest(said):
    lines = said(8, 1, total=4)
    middle, largest, *_ = total_of(lines)
    assert " 19 optimizer steps," in middle  # 8 + 1 + 2 x 5
    assert middle.endswith("if each of the 2 points that are not known yet is like epochs=5 (the middle of the space)")
    assert " 27 optimizer steps," in largest  # 8 + 1 + 2 x 9
    assert largest.endswith("is like epochs=9 (the most expensive one found at the ends of the ranges)")
    assert not any("at most" in line for line in total_of(lines))


def test_the_total_of_known_points_is_a_bound(said):
    assert total_of(said(8, 1, total=2))[0].startswith("total at most 4 stages, 9 optimizer steps,")


def test_the_total_of_points_that_cost_the_same_is_a_bound(said):
    gammas = {"weight.gamma1": Uniform(0, 8), "weight.gamma2": Uniform(0, 8)}
    assert total_of(said(total=3, method="dst", space=gammas))[0].startswith("total at most ")


def test_networks_that_differ_cost_different_times(said):
    encoders = {"model.encoder": Choice("resnet18", "resnet50")}
    assert "if each of the 3 points that are not known yet" in total_of(said(total=3, space=encoders))[0]


def test_a_limit_bounds_the_steps_of_points_that_are_not_known(said):
    middle, bound, *_ = total_of(said(8, 1, total=3, limit=6))
    assert " 11 optimizer steps, " in middle  # 1 + 2 x 5
    assert bound == "at most 13 optimizer steps, if each of the 2 points takes as many as the limit allows"  # 1 + 2 x 6


def test_a_point_within_the_limit_stands_in_for_a_middle_beyond_it(said):
    lines = said(8, 1, total=2, limit=3, drawn=lambda: {EPOCHS: 2}, confirm=(5,))
    one, bound, *_ = total_of(lines)
    assert " 3 optimizer steps, " in one  # 1 + 2
    assert one.endswith("if the point that is not known yet is like epochs=2 (a random point within the limit)")
    assert bound.startswith("at most 4 optimizer steps, ")  # 1 + 3
    assert any(line.endswith("if the best trial is like a random point within the limit") for line in lines)


def test_a_limit_takes_the_known_points_that_come_next(said):
    lines = said(8, 7, 1, 2, total=2, limit=3)
    assert [line.split(",")[:2] for line in lines if line.startswith("point")] == [
        ["point epochs=8", " not tried: 8 optimizer steps a seed"],
        ["point epochs=7", " not tried: 7 optimizer steps a seed"],
        ["point epochs=1", " to do: 2 stages"],
        ["point epochs=2", " to do: 2 stages"],
    ]
    assert total_of(lines)[0].startswith("total at most 4 stages, 3 optimizer steps,")
    assert not any("drawn" in line for line in lines)


@pytest.mark.parametrize(
    ("known", "words"),
    [
        pytest.param((8, 1), "leaves out 1 of 2 known points: another one, within it, is drawn in its place", id="1"),
        pytest.param((8, 9), "leaves out 2 of 2 known points: others, within it, are drawn in their place", id="2"),
    ],
)
def test_a_dry_run_says_that_other_points_are_drawn_in_place_of_those_beyond_the_limit(said, known, words):
    assert f"the limit {words}" in said(*known, total=3, limit=6, drawn=lambda: {EPOCHS: 2})


def tried(*states: str) -> list[Trial]:
    """Trials of 1, 2, ... epochs in these states."""
    return [Trial(i, {EPOCHS: i + 1}, state, {0: 0.5} if state == "complete" else {}) for i, state in enumerate(states)]


def starts(lines: list[str], *titles: str) -> list[str]:
    return [line for line in lines if line.startswith(titles)]


def test_where_all_trials_are_done_nothing_is_to_be_done(said):
    lines = said(1, total=2, trials=tried("complete", "pruned"))
    assert starts(lines, "trials")[0].startswith("trials 2 (2 done), ")
    assert "to do no trial: all 2 trials are done; a larger --trials continues the search" in lines
    assert not starts(lines, "shared", "a trial", "point", "total")


def test_only_trials_that_are_left_count(said):
    lines = said(1, 3, 4, total=5, trials=tried("complete", "failed", "running"))
    assert starts(lines, "trials")[0].startswith("trials 5 (1 done, 1 failed, 1 begun, 2 not begun), ")
    points = [line.partition(", to do")[0] for line in starts(lines, "point")]
    assert points == ["point epochs=2 (trial 1, failed)", "point epochs=3 (trial 2, begun)", "point epochs=4"]
    assert " 14 optimizer steps, " in total_of(lines)[0]  # 2 + 3 + 4, and 5 for the one that is not known


def test_a_search_that_is_done_has_its_confirmation_left(said):
    lines = said(total=2, trials=tried("complete", "pruned"), confirm=(5,))
    (line,) = starts(lines, "confirm")
    assert line.startswith("confirm the winner and the recipe on seed 5: to do: 4 stages, ")
    assert said(total=1, trials=tried("pruned"), confirm=(5,))[-1] == "confirm nothing: no trial is complete"


def test_rungs_are_counted_from_0_as_tables_and_progress_count_them(said):
    gammas = {"weight.gamma1": Uniform(0, 8)}
    assert starts(said(total=3, method="dst", space=gammas), "trials")[0] == (
        "trials 3, each with rungs 0 to 5 and 17 stages"  # 6 evaluations, and 1 pretrain, 5 label, 5 finetune
    )
    assert "each with rung 0 and 2 stages" in starts(said(total=3), "trials")[0]
    iterations = {"schedule.iterations": Integer(1, 9)}
    assert (
        "each with rungs 0 to 9 at most; the middle "
        in starts(said(total=3, method="dst", space=iterations), "trials")[0]
    )


def test_one_seed_is_no_mean_of_seeds(said):
    assert "seed 0" in said(total=1)
    assert "seeds 0, 1 (a trial's score is the mean over its seeds)" in said(total=1, seeds=(0, 1))


def test_numbers_above_999_have_commas(said):
    lines = said(8, total=1500)
    assert starts(lines, "trials")[0].startswith("trials 1,500, ")
    assert " if each of the 1,499 points " in total_of(lines)[0]
