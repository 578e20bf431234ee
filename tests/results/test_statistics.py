"""Intervals cover the truth as often as they say, tests are exact, and nothing is made up where there is one run."""

import importlib.util
import itertools
import math
import sys
from types import ModuleType

import numpy as np
import pytest
from scipy import stats

from dmt_ray.results import statistics
from dmt_ray.results.statistics import (
    common,
    half_width,
    holm,
    mean_and_sd,
    paired_interval,
    pooled_error,
    pooled_interval,
    power,
    sign_flip,
    visible,
    wins,
)
from tests.helpers.paths import ROOT

# t[0.975] with 2 and with 4 degrees of freedom, from a printed table
T2, T4 = 4.302653, 2.776445


@pytest.fixture(scope="module")
def coverage() -> ModuleType:
    """The simulation of benchmarks/coverage.py."""
    file = ROOT / "benchmarks" / "coverage.py"
    spec = importlib.util.spec_from_file_location("coverage_of_intervals", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look up the module that they are in
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("n", [3, 5])
def test_intervals_cover_the_truth_in_94_to_96_percent_of_20000_tables(coverage: ModuleType, n: int) -> None:
    scores = coverage.simulated(20_000, n, coverage.ERRORS["normal"], np.random.default_rng(n))
    covered = {kind: inside[:, 0].mean() for kind, inside in coverage.covered(scores).items()}
    assert 0.94 <= covered["paired t"] <= 0.96
    assert 0.94 <= covered["pooled"] <= 0.96
    assert covered["1.96 SE"] < 0.89


def test_pooled_interval_covers_too_rarely_where_one_row_scatters_more(coverage: ModuleType) -> None:
    uneven = coverage.ERRORS["normal; row 1 scatters three times as much"]
    scores = coverage.simulated(5000, 5, uneven, np.random.default_rng(0))
    covered = {kind: inside[:, 0].mean() for kind, inside in coverage.covered(scores).items()}
    assert 0.94 <= covered["paired t"] <= 0.96
    assert covered["pooled"] < 0.85


def test_simulated_intervals_are_those_of_the_tables(coverage: ModuleType) -> None:
    scores = coverage.simulated(3, 4, coverage.ERRORS["normal"], np.random.default_rng(0))
    halves = coverage.halves(scores)
    for number, table in enumerate(scores):
        differences = table[1] - table[0]
        paired = paired_interval(differences)
        pooled = pooled_interval(differences, *pooled_error(table))
        assert paired.high - paired.mean == pytest.approx(halves["paired t"][number, 0])
        assert pooled.high - pooled.mean == pytest.approx(halves["pooled"][number, 0])


def test_paired_interval_of_three_differences() -> None:
    # 2, 3, 4: mean 3, sd 1
    interval = paired_interval([2.0, 3.0, 4.0])
    assert (interval.mean, interval.low, interval.high) == pytest.approx((3, 3 - T2 / 3**0.5, 3 + T2 / 3**0.5))
    assert interval.excludes_zero


def test_an_effect_of_the_split_drops_out_of_paired_differences() -> None:
    splits = np.array([0.0, 10.0, -7.0])
    first, second = np.array([1.0, 2.0, 3.5]), np.array([0.5, 0.0, 1.0])
    moved, still = paired_interval((first + splits) - (second + splits)), paired_interval(first - second)
    assert (moved.low, moved.high) == pytest.approx((still.low, still.high))


def test_one_difference_has_no_interval() -> None:
    interval = paired_interval([3.0])
    assert interval.mean == 3
    assert not interval.known
    assert not interval.excludes_zero


def test_sample_deviation_divides_by_n_minus_1() -> None:
    assert mean_and_sd([1.0, 2.0, 3.0]) == pytest.approx((2, 1))
    assert math.isnan(mean_and_sd([1.0])[1])


def test_pooled_error_of_a_table_of_three_rows() -> None:
    # Minus the rows' means: -2 0 2, -2 -1 3, -3 1 2. Minus the pairs' means, -7/3 0 7/3: the residuals in thirds are
    # 1 0 -1, 1 -3 2, -2 3 -1, their squares add up to 30/9, and with (3 - 1)(3 - 1) = 4 degrees s^2 = 30/36.
    error, freedom = pooled_error([[60, 62, 64], [63, 64, 68], [65, 69, 70]])
    assert (error, freedom) == (pytest.approx((30 / 36) ** 0.5), 4)
    interval = pooled_interval([3, 2, 4], error, freedom)
    assert interval.high - 3 == pytest.approx(T4 * (30 / 36) ** 0.5 * (2 / 3) ** 0.5)


def test_with_two_rows_the_pooled_interval_is_the_paired_one() -> None:
    table = np.array([[1.0, 2.5, 3.0, 2.0], [0.5, 2.0, 3.5, 0.0]])
    differences = table[0] - table[1]
    pooled = pooled_interval(differences, *pooled_error(table))
    assert (pooled.low, pooled.high) == pytest.approx(
        (paired_interval(differences).low, paired_interval(differences).high)
    )


@pytest.mark.parametrize("table", [[[1.0, 2.0]], [[1.0], [2.0]]])
def test_one_row_or_one_run_has_no_pooled_error(table: list[list[float]]) -> None:
    error, freedom = pooled_error(table)
    assert math.isnan(error)
    assert freedom == 0
    assert not pooled_interval([1.0], error, freedom).known


def test_pooled_error_refuses_gaps() -> None:
    with pytest.raises(ValueError, match="without gaps"):
        pooled_error([[1.0, float("nan")], [2.0, 3.0]])


def test_rows_are_paired_on_what_both_have() -> None:
    keys, differences = common({("s", 0): 5.0, ("s", 1): 7.0}, {("s", 1): 4.0, ("s", 2): 1.0})
    assert keys == (("s", 1),)
    assert differences.tolist() == [3.0]


@pytest.mark.parametrize(("n", "floor"), [(1, 1.0), (3, 0.25), (5, 0.0625), (10, 2 / 1024)])
def test_floor_of_the_sign_flip_test_is_reached_when_all_differences_have_one_sign(n: int, floor: float) -> None:
    test = sign_flip(np.arange(1.0, n + 1))
    assert test.p == test.floor == floor


def test_sign_flip_counts_every_pattern() -> None:
    # 3 2 -1 adds up to 4. Of +-3 +-2 +-1 the sums 6, 4, -4, -6 are as far from 0 and 2, 0, -0, -2 are not: 4 of 8.
    assert sign_flip([3.0, 2.0, -1.0]).p == 0.5
    differences = np.random.default_rng(1).normal(0.4, 1, 9)
    sums = [np.dot(signs, differences) for signs in itertools.product((-1, 1), repeat=9)]
    assert sign_flip(differences).p == np.mean(np.abs(sums) >= abs(differences.sum()) - 1e-9)


def test_sign_flip_of_no_difference_is_1() -> None:
    assert sign_flip([0.0, 0.0, 0.0]).p == 1


def test_rounding_does_not_hide_equal_sums() -> None:
    # 5 3 -2 -1 adds up to 5, as 5 -3 2 1 does: 11 9 7 5 5 of the eight sums with +5 are as far from 0, 3 1 -1 are not.
    # In tenths the two fives differ in their last digit.
    assert sign_flip([0.5, 0.3, -0.2, -0.1]).p == sign_flip([5.0, 3.0, -2.0, -1.0]).p == 5 / 8


def test_many_differences_are_sampled_and_agree_with_the_exact_test(monkeypatch: pytest.MonkeyPatch) -> None:
    differences = np.random.default_rng(3).normal(0.5, 1, 16)
    exact = sign_flip(differences)
    monkeypatch.setattr(statistics, "EXACT", 15)
    monkeypatch.setattr(statistics, "RESAMPLES", 9_999)
    sampled = sign_flip(differences)
    assert sampled.p == pytest.approx(exact.p, abs=0.01)
    assert sampled.p == sign_flip(differences).p
    assert sampled.floor == 2 / 10_000


def test_holm_steps_down() -> None:
    # In order .01 .02 .03 .04, times 4, 3, 2, 1, is .04 .06 .06 .04; the last may not be below the one before it.
    assert holm([0.01, 0.04, 0.02, 0.03]) == pytest.approx((0.04, 0.06, 0.06, 0.06))
    assert holm([0.5, 0.25]) == (0.5, 0.5)
    assert holm([0.7, 0.6]) == (1, 1)


def test_holm_does_not_count_what_has_no_p() -> None:
    adjusted = holm([0.03, float("nan"), 0.02])
    assert adjusted[0] == pytest.approx(0.04)
    assert math.isnan(adjusted[1])


def test_wins_and_ties_are_counted_apart() -> None:
    counted = wins([0.5, 0.0, -0.1, 0.2])
    assert (counted.wins, counted.ties, counted.pairs) == (2, 1, 4)


@pytest.mark.parametrize(("n", "half"), [(3, 2.48), (5, 1.24), (10, 0.72)])
def test_half_width_in_standard_deviations(n: int, half: float) -> None:
    assert half_width(n) == pytest.approx(half, abs=0.005)


def test_power_of_five_pairs() -> None:
    # A true difference of 1 with a run error of 0.36, that is 0.51 for differences: nine times of ten it is seen.
    assert power(1.0, 0.36 * 2**0.5, 5) == pytest.approx(0.90, abs=0.01)
    assert power(0.0, 1.0, 5) == pytest.approx(0.05)


def test_power_is_the_share_of_simulated_intervals_that_exclude_0() -> None:
    differences = np.random.default_rng(0).normal(1.5, 1.0, (20_000, 4))
    sd = differences.std(axis=1, ddof=1)
    seen = np.abs(differences.mean(axis=1)) > stats.t.ppf(0.975, 3) * sd / 2
    assert power(1.5, 1.0, 4) == pytest.approx(seen.mean(), abs=0.01)


def test_what_n_runs_can_show_is_said_in_words() -> None:
    assert "smallest difference you can see is about 2.5 sd" in visible(3)
    assert "cannot fall below 0.25, so no row can get a star" in visible(3)
    assert "star" not in visible(6)
    assert "no difference can be told from chance" in visible(1)


@pytest.mark.parametrize("values", [[], [1.0, float("nan")], [[1.0, 2.0]]])
def test_what_is_no_row_of_numbers_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="finite numbers"):
        paired_interval(values)
