"""With how much confidence what, by numbers that a reader can check by hand."""

import pytest

from dmt_ray.results.statistics import at_most


def test_of_very_many_seventeen_that_agree_bound_the_share_as_clopper_and_pearson_do() -> None:
    """1 - 0.05 ** (1 / 17) = 16.2 %."""
    assert at_most(17, 0, 10**7) == pytest.approx(1 - 0.05 ** (1 / 17), abs=1e-5) == pytest.approx(0.1616, abs=1e-4)


def test_of_few_the_bound_is_a_ratio_of_binomial_coefficients() -> None:
    """With 4 of 10 bad ones five good ones are drawn in C(6, 5) / C(10, 5) = 6 / 252 of draws, with 3 in 21 / 252."""
    assert at_most(5, 0, 10) == 3 / 10


def test_of_603_stages_seventeen_that_agree_say_at_most_sixteen_percent() -> None:
    """97 of 603 bad ones would all be missed in less than 5 % of draws, 96 in more: (507 ... 491) / (603 ... 587)."""
    missed = {bad: 1.0 for bad in (96, 97)}
    for bad in missed:
        for place in range(17):
            missed[bad] *= (603 - bad - place) / (603 - place)
    assert missed[97] < 0.05 <= missed[96]
    assert at_most(17, 0, 603) == 96 / 603


def test_what_differs_counts() -> None:
    """One of two drawn of four: with 3 bad ones of 4 it is so in half of the draws; 4 bad ones would show two."""
    assert at_most(2, 1, 4) == 3 / 4


@pytest.mark.parametrize("differing", [0, 2, 5])
def test_when_all_were_drawn_it_is_what_was_counted(differing: int) -> None:
    assert at_most(5, differing, 5) == differing / 5


@pytest.mark.parametrize("numbers", [(0, 0, 5), (6, 0, 5), (3, 4, 5), (3, -1, 5)])
def test_numbers_that_do_not_fit_are_refused(numbers: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="is no draw"):
        at_most(*numbers)
