"""Looks together err as often as they say, and a row's seeds end at the first look that decides it."""

from collections.abc import Set

import numpy as np
import pytest

from dmt_ray.experiments.looks import LOOKS
from dmt_ray.results.sequential import (
    Outcome,
    chances,
    error_of_a_look,
    mean_seeds,
    outcome,
    pairs_needed,
    reached,
    smallest_p,
    stops,
)
from dmt_ray.results.statistics import power


@pytest.mark.parametrize("rows", [2, 9])
def test_a_table_without_differences_is_decided_in_4_to_5_5_percent(rows: int) -> None:
    rng = np.random.default_rng(7)
    scores = rng.standard_normal((40_000, rows, 12)) + 3 * rng.standard_normal((40_000, 1, 12))
    decided = stops(scores[:, 1:] - scores[:, :1], LOOKS, error_of_a_look(LOOKS, rows - 1)) < len(LOOKS)
    assert 0.04 <= decided.any(axis=1).mean() <= 0.055


def test_95_percent_intervals_at_every_look_err_in_14_percent() -> None:
    drawn = np.random.default_rng(8).standard_normal((40_000, 12))
    assert (stops(drawn, LOOKS, 0.05) < len(LOOKS)).mean() == pytest.approx(0.142, abs=0.006)


def test_the_error_of_a_look_falls_with_looks_and_rows() -> None:
    assert error_of_a_look(LOOKS, 1) == pytest.approx(0.0158, abs=0.0003)
    assert error_of_a_look((5,), 1) == 0.05
    assert error_of_a_look((5,), 2) == 0.025
    assert error_of_a_look(LOOKS, 8) == pytest.approx(error_of_a_look(LOOKS, 1) / 8, rel=0.15)


def test_a_difference_of_one_and_a_half_sd_is_found_in_98_percent_with_7_pairs() -> None:
    found = chances(LOOKS, error_of_a_look(LOOKS, 1), 1.5)
    assert sum(found) == pytest.approx(0.983, abs=0.005)
    assert mean_seeds(LOOKS, found) == pytest.approx(7.1, abs=0.1)


def test_seeds_on_average_are_those_of_the_looks_that_are_reached() -> None:
    # Half of the rows stop at 3; of the others half stop at 5, and half go on to 8: 3 / 2 + 5 / 4 + 8 / 4 = 4.75
    assert reached([0.5, 0.25, 0.0]) == [1, 0.5, 0.25]
    assert mean_seeds((3, 5, 8), [0.5, 0.25, 0.0]) == 4.75


def at_looks(differences: list[float], looks: tuple[int, ...], error: float, failed: Set[int] = frozenset()) -> Outcome:
    """The outcome for the seeds 0, 1, ..., of which some failed."""
    there = {seed: difference for seed, difference in enumerate(differences) if seed not in failed}
    return outcome(there, set(range(len(differences))), range(looks[-1]), looks, error)


def test_a_row_is_decided_at_the_first_look_whose_interval_excludes_0() -> None:
    # 90 %: of 1 2 the interval is 1.5 -+ 6.314 * .707 / sqrt(2) = 1.5 -+ 3.16; of 1 2 3 it is 2 -+ 2.920 / sqrt(3).
    differences = [1.0, 2.0, 3.0, 3.0, 2.5]
    found = at_looks(differences, (2, 3, 5), 0.1)
    assert (found.look, found.seeds, found.needed) == (1, (0, 1, 2), None)
    assert found.interval == pytest.approx((2, 2 - 2.92 / 3**0.5, 2 + 2.92 / 3**0.5), abs=0.001)
    assert at_looks(differences, (2, 5), 0.1).look == 1


def test_a_look_that_has_not_been_reached_decides_nothing() -> None:
    found = at_looks([1.0, 2.0, 3.0, 3.0], (2, 5), 0.1)
    assert (found.look, found.seeds) == (None, (0, 1))
    assert not at_looks([1.0], (2, 5), 0.1).interval.known


def test_a_run_that_failed_does_not_hold_up_a_look() -> None:
    assert at_looks([9.0, 1.0, 2.0, 3.0], (2, 4), 0.1, failed={0}).seeds == (1, 2, 3)
    assert at_looks([9.0, 1.0, 2.0, 3.0], (2, 4), 0.1, failed={0}).look == 1


def test_after_a_look_at_which_all_runs_have_failed_the_next_one_counts() -> None:
    found = at_looks([9.0, 9.0, 1.0, 2.0, 3.0], (2, 5), 0.1, failed={0, 1})
    assert (found.look, found.seeds) == (1, (2, 3, 4))


def test_many_rows_at_once_stop_where_one_row_does() -> None:
    drawn = np.random.default_rng(0).normal(1, 1, (50, 12))
    one_by_one = [at_looks(row.tolist(), LOOKS, 0.0157).look for row in drawn]
    assert stops(drawn, LOOKS, 0.0157).tolist() == [len(LOOKS) if look is None else look for look in one_by_one]


def test_the_smallest_p_belongs_to_the_look_that_is_surest() -> None:
    # 1 2 3: t = 2 / (1 / sqrt(3)) = 3.46 with 2 degrees of freedom, p = .0742, not below .06; with 2 behind, t = 4.90
    # = 2 / (sqrt(2 / 3) / 2) with 3, p = .0163
    assert smallest_p(np.array([1.0, 2.0, 3.0, 2.0]), (3,)) == 1
    assert smallest_p(np.array([1.0, 2.0, 3.0, 2.0]), (3, 4)) == pytest.approx(0.0163, abs=0.0001)


def test_pairs_that_an_open_row_needs_have_a_power_of_four_fifths() -> None:
    needed = pairs_needed(-0.5, 1.0, 0.0157)
    assert needed == 46
    assert power(0.5, 1.0, needed - 1, 0.0157) < 0.8 <= power(0.5, 1.0, needed, 0.0157)
    assert pairs_needed(0.01, 1.0, 0.0157) is None
    assert pairs_needed(0.5, 0.0, 0.0157) is None
