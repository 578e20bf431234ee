"""Numbers and lists in English."""

import pytest

from dmt_ray.plan.words import be, counted, listed, numbered, spanned


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, "0 stages are"), (1, "1 stage is"), (2, "2 stages are"), (1024, "1,024 stages are"), (0.5, "0.5 stages are")],
)
def test_a_noun_and_a_verb_agree_with_their_number(number, said):
    assert f"{counted(number, 'stage')} {be(number)}" == said


def test_a_plural_may_be_of_its_own():
    assert [counted(number, "class", "classes") for number in (1, 2)] == ["1 class", "2 classes"]


def test_a_list_has_commas_and_one_and():
    assert [listed(list("abc")[:count]) for count in (1, 2, 3)] == ["a", "a and b", "a, b and c"]
    assert listed(["sweeps", "ablations", "runs"], "or") == "sweeps, ablations or runs"


def test_things_have_a_plural_where_there_are_several_numbers():
    assert [numbered(seeds, "seed") for seeds in ([0], (0, 3))] == ["seed 0", "seeds 0, 3"]
    assert [spanned(last, "rung") for last in (0, 2)] == ["rung 0", "rungs 0 to 2"]
