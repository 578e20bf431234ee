"""The page lists exactly the attacks that tests make."""

from tests.helpers.attacks import PAGE, attacks, written


def test_the_table_on_the_page_is_that_of_the_tests():
    page = PAGE.read_text(encoding="utf-8")
    assert page == written(page), "run `python -m tests.helpers.attacks`"


def test_every_attack_says_what_where_and_what_happens():
    assert len(set(attacks())) > 60
    for attack in attacks():
        assert all(part and "|" not in part for part in attack), attack
