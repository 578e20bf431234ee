"""A search tries no point twice while there is another one near."""

import pytest
from optuna.trial import TrialState

from dmt_ray.experiments.sweep import Sweep
from dmt_ray.experiments.trials import gaps_in_words, read_gaps, read_trials
from dmt_ray.methods.space import Choice, Integer, Uniform
from dmt_ray.recipes import load
from dmt_ray.search.study import Study
from dmt_ray.search.untried import nearest

G1, G2 = "weight.gamma1", "weight.gamma2"


@pytest.mark.parametrize(
    ("tried", "expected"),
    [
        pytest.param([(2, 1)], (1, 1), id="a step in one dimension"),
        pytest.param([(2, 1), (1, 1), (2, 0), (2, 2), (3, 1)], (1, 0), id="a step in both"),
        pytest.param([(a, b) for a in range(5) for b in range(5) if (a, b) != (4, 4)], (4, 4), id="the only one left"),
        pytest.param([(a, b) for a in range(5) for b in range(5)], None, id="none is left"),
    ],
)
def test_the_nearest_point_is_taken_that_was_not_tried(tried, expected):
    space = {"a": Integer(0, 4), "b": Uniform(0, 2, step=0.5)}
    there = [{"a": a, "b": b / 2} for a, b in tried]
    point = nearest(space, {"a": 2, "b": 0.5}, lambda params: params not in there)
    assert point == (None if expected is None else {"a": expected[0], "b": expected[1] / 2})


def test_choices_keep_their_value_and_what_has_no_steps_keeps_its_own():
    space = {"kind": Choice("x", "y"), "n": Integer(1, 2), "real": Uniform(0, 1)}
    at = {"kind": "y", "n": 1, "real": 0.3}
    assert nearest(space, at, lambda params: params != at) == {"kind": "y", "n": 2, "real": 0.3}
    assert nearest({"kind": Choice("x", "y")}, {"kind": "x"}, lambda params: True) is None


def a_study(folder, trials, sampler="random"):
    space = {G1: Uniform(0, 2, step=1), G2: Uniform(0, 2, step=1)}
    sweep = Sweep("gamma_sweep", "?", load("shapes"), "dmt", space, (0,))
    return Study(folder, sweep, trials, sampler=sampler)


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_nine_trials_of_nine_points_try_each_once_and_a_tenth_one_repeats_a_point(tmp_path, sampler):
    first, again = a_study(tmp_path, 5, sampler), None
    points = []
    for study, count in ((first, 5), (again, 5)):
        study = study or a_study(tmp_path, 10, sampler)  # which goes on where the first one ended
        for _ in range(count):
            _, params = study.take("a")
            points.append((params[G1], params[G2]))
            for step in range(6):
                if study.report("a", step, 0.5):
                    break
            study.finish("a")
    assert sorted(points[:9]) == [(a, b) for a in (0, 1, 2) for b in (0, 1, 2)]
    assert points[9] in points[:9]
    assert len(study.trials()) == 10


def test_the_upper_end_counts_where_the_arithmetic_of_steps_lies_above_it():
    # 19 * 0.05 = 0.9500000000000001
    space, tried = {"a": Uniform(0, 0.95, step=0.05)}, [round(0.05 * step, 2) for step in range(19)]
    assert nearest(space, {"a": 0.9}, lambda params: params["a"] not in tried) == {"a": 0.95}


def test_numbers_that_no_trial_has_are_explained_by_what_studies_have_always_held(tmp_path):
    study = a_study(tmp_path, 2)
    for reason in ("tried before", 4000.0, "tried before"):
        proposed = study._optuna.ask()
        proposed.set_user_attr("compute", reason)
        study._optuna.tell(proposed, state=TrialState.FAIL)
    study.take("a")
    study.finish("a", "out of memory")
    a_study(tmp_path, 2).take("a")  # tries it again
    name = study.sweep.name
    assert [trial.number for trial in read_trials(tmp_path, name)] == [3]
    gaps = read_gaps(tmp_path, name)
    assert gaps == {0: "tried before", 1: "beyond --limit", 2: "tried before", 4: "trial 3 again"}
    expected = "no trial has number 0 or 2 (tried before), 1 (beyond --limit), 4 (trial 3 again)"
    assert gaps_in_words(gaps) == expected


def test_of_many_numbers_without_a_trial_the_first_are_named():
    assert gaps_in_words(dict.fromkeys(range(20), "tried before")).endswith("6, 7 or 12 more (tried before)")
    assert gaps_in_words({}) == ""


def test_before_a_search_has_begun_no_number_is_missing(tmp_path):
    assert read_gaps(tmp_path, "any") == {}
