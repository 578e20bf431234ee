"""Looks together err as often as they say, and a row's seeds end at the first look that decides it."""

import numpy as np
import pytest

from dmt_ray.errors import ConfigError
from dmt_ray.results.sequential import (
    LOOKS,
    chances,
    check_looks,
    decided_at,
    error_of_a_look,
    pairs_needed,
    smallest_p,
    stops,
)
from dmt_ray.results.statistics import paired_interval, power


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
    pairs = sum(n * chance for n, chance in zip(LOOKS, found, strict=True)) + 12 * (1 - sum(found))
    assert sum(found) == pytest.approx(0.983, abs=0.005)
    assert pairs == pytest.approx(7.1, abs=0.1)


def test_a_row_is_decided_at_the_first_look_whose_interval_excludes_0() -> None:
    # 90 %: of 1 2 the interval is 1.5 -+ 6.314 * .707 / sqrt(2) = 1.5 -+ 3.16; of 1 2 3 it is 2 -+ 2.920 / sqrt(3).
    differences = [1.0, 2.0, 3.0, 3.0, 2.5]
    assert paired_interval(differences[:2], 0.1).low < 0 < paired_interval(differences[:3], 0.1).low
    assert decided_at(differences, (2, 3, 5), 0.1) == 1
    assert decided_at(differences, (2, 5), 0.1) == 1
    assert decided_at(differences[:2], (2, 3, 5), 0.1) is None  # the second look has not been reached
    assert decided_at([1.0, -1.0, 1.0, -1.0, 1.0], (2, 3, 5), 0.1) is None


def test_many_rows_at_once_stop_where_one_row_does() -> None:
    drawn = np.random.default_rng(0).normal(1, 1, (50, 12))
    one_by_one = [decided_at(row, LOOKS, 0.0157) for row in drawn]
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


@pytest.mark.parametrize("looks", [(), (1, 5), (3, 3), (5, 3)])
def test_looks_that_do_not_rise_from_2_are_refused(looks: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="--looks takes increasing numbers of seeds, the first at least 2"):
        check_looks("--looks", looks)
