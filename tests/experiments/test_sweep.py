"""What can be searched: ranges, numbers, choices, and names that make settings. No torch, no Ray."""

import json
from pathlib import Path

import pytest

from dmt_ray.errors import ConfigError
from dmt_ray.experiments import reproduce
from dmt_ray.experiments.dimensions import default_point, pretrain_epochs, schedule, settings_of
from dmt_ray.experiments.experiment_file import ExperimentFile
from dmt_ray.experiments.sweep import Sweep, Trial, in_words
from dmt_ray.methods import METHODS, space_of
from dmt_ray.methods.space import Choice, Integer, Uniform, from_json, to_json
from dmt_ray.plan import in_order
from dmt_ray.plan.key import key_of
from dmt_ray.recipes import load

SCHEDULE = {
    "schedule.start": Uniform(0.1, 0.5, step=0.1),
    "schedule.end": Uniform(0.5, 1, step=0.1),
    "schedule.iterations": Integer(1, 9),
    "schedule.curvature": Uniform(0.5, 2, step=0.5),
}
RML = space_of("rml", "segmentation")
PAPER = {"schedule.start": 0.2, "schedule.end": 1.0, "schedule.iterations": 5, "schedule.curvature": 1.0}


def a_sweep(space, *changes: str, seeds=(0,), **other) -> Sweep:
    return Sweep("a_search", "What?", load("shapes", changes), "dmt", space, seeds, **other)


# ---- dimensions ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dimension", "grid", "ends"),
    [
        pytest.param(Uniform(0, 8), [0, 4, 8], [0, 8], id="a range"),
        pytest.param(Integer(1, 9), [1, 5, 9], [1, 9], id="whole numbers"),
        pytest.param(Integer(1, 2), [1, 2], [1, 2], id="fewer numbers than asked for"),
        pytest.param(Choice("a", 2, 0.5), ["a", 2, 0.5], ["a", 2, 0.5], id="a choice has all"),
    ],
)
def test_a_grid_of_three_values(dimension, grid, ends):
    assert (dimension.grid(3), dimension.ends()) == (grid, ends)


@pytest.mark.parametrize("dimension", [Uniform(0, 1, step=0.25), Integer(1, 4), Choice("a", 2)], ids=repr)
def test_a_dimension_can_be_read_back(dimension):
    assert from_json(json.loads(json.dumps(to_json(dimension)))) == dimension


@pytest.mark.parametrize(
    ("build", "message"),
    [
        pytest.param(lambda: Choice("a"), "at least two different values", id="one value"),
        pytest.param(lambda: Choice(1, 1), "at least two different values", id="a value twice"),
        pytest.param(lambda: Integer(3, 3), "lower and an upper end", id="one number"),
    ],
)
def test_what_leaves_nothing_to_search_is_refused(build, message):
    with pytest.raises(ConfigError, match=message):
        build()


# ---- names that make settings ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "percentiles"),
    [
        pytest.param((0.2, 1, 5, 1), [0.2, 0.4, 0.6, 0.8, 1.0], id="the paper's"),
        pytest.param((0.2, 0.6, 3, 1), [0.2, 0.4, 0.6], id="a beginning of it"),
        # 0.2 + 0.8 * (0, 1/16, 1/4, 9/16, 1)
        pytest.param((0.2, 1, 5, 2), [0.2, 0.25, 0.4, 0.65, 1.0], id="late"),
        # 0.2 + 0.8 * (0, 0.5, 0.707, 0.866, 1)
        pytest.param((0.2, 1, 5, 0.5), [0.2, 0.6, 0.75, 0.9, 1.0], id="early"),
        pytest.param((0.2, 1, 1, 1), [1.0], id="at once"),
        pytest.param((0.01, 0.02, 2, 1), [0.05, 0.05], id="never nothing"),
    ],
)
def test_a_schedule(shape, percentiles):
    start, end, iterations, curvature = shape
    assert schedule(start=start, end=end, iterations=iterations, curvature=curvature) == percentiles


@pytest.mark.parametrize(("fraction", "epochs"), [(0.01, 300), (0.25, 60), (0.95, 31), (1.0, 30)])
def test_pretraining_epochs_follow_from_the_share(fraction, epochs):
    assert pretrain_epochs(fraction, 30) == epochs  # sqrt(1 / share) x 30, VOC's N


def test_a_share_of_labelled_images_sets_the_split_and_the_pretraining():
    config = load("shapes", ["oracle.epochs=10"])
    assert settings_of(config, {"label_fraction": 0.04, "weight.gamma1": 2.0}) == {
        "weight.gamma1": 2.0,
        "split.labelled": 0.04,
        "pretrain.epochs": 50,
    }


def test_what_is_not_searched_of_a_schedule_is_the_recipe_s():
    config = load("shapes", ["percentiles=[0.5,1.0]"])
    assert settings_of(config, {"schedule.iterations": 3}) == {"percentiles": [0.5, 0.75, 1.0]}


@pytest.mark.parametrize(
    ("recipe", "changes", "space", "point"),
    [
        pytest.param("shapes", [], SCHEDULE, PAPER, id="the paper's schedule"),
        pytest.param("shapes", ["percentiles=[0.2,0.3,1.0]"], SCHEDULE, None, id="an irregular schedule"),
        pytest.param("shapes", [], {"weight.gamma1": Uniform(1, 8)}, None, id="outside the range"),
        pytest.param("shapes", [], {"method": Choice("dst", "dmt")}, {"method": "dmt"}, id="the method"),
        pytest.param(
            "camvid", [], {"label_fraction": Choice(0.5, 0.125)}, {"label_fraction": 0.125}, id="a share by the rule"
        ),
        pytest.param("camvid", ["pretrain.epochs=9"], {"label_fraction": Choice(0.5, 0.125)}, None, id="other epochs"),
        pytest.param("shapes", [], {"label_fraction": Choice(0.5, 0.125)}, None, id="a number of images"),
        pytest.param("voc-1/20", [], {"finetune.epochs": Choice(4, 8)}, {"finetune.epochs": 4}, id="a number"),
    ],
)
def test_the_recipe_as_a_point(recipe, changes, space, point):
    assert default_point(load(recipe, changes), "dmt", space) == point


def test_what_a_recipe_leaves_open_is_what_the_method_takes():
    point = default_point(load("shapes", ["consistency.noise=both"]), "rml", RML)
    assert point == {
        "consistency.weight": 1.0,
        "consistency.threshold": 0.0,
        "consistency.ema_decay": 0.99,
        "consistency.dropout": 0.5,
        "consistency.survival": 0.8,
        "consistency.prototype_momentum": 0.99,
    }
    plain = default_point(load("shapes"), "rml", RML)  # whose noise is CutMix alone
    assert (plain["consistency.dropout"], plain["consistency.survival"]) == (0, 1)
    assert default_point(load("shapes", ["consistency.dropout=0.2"]), "rml", RML)["consistency.dropout"] == 0.2
    assert default_point(load("shapes", ["consistency.weight=2"]), "rml", RML) is None  # none of the choices


def test_a_training_that_is_not_set_is_the_one_that_is_taken_for_it():
    space = {"retrain.learning_rate": Choice(0.03, 0.3)}
    config = load("shapes").evolve(retrain=None)
    assert default_point(config, "classical_st", space) == {"retrain.learning_rate": config.online.learning_rate}


def test_a_trial_is_replayed_by_plain_settings():
    sweep = a_sweep(SCHEDULE | {"method": Choice("dmt", "dst")})
    trial = Trial(0, PAPER | {"method": "dst"}, "complete", {0: 0.5})
    command = reproduce.of_trial(ExperimentFile(sweep, Path("runs"), recipe="shapes"), trial)
    assert command == (
        "dmt run --recipe shapes --method dst --set 'percentiles=[0.2,0.4,0.6,0.8,1.0]' --storage runs --seed 0"
    )
    assert load("shapes", [command.split("'")[1]]).percentiles == (0.2, 0.4, 0.6, 0.8, 1.0)


def test_points_that_mean_the_same_have_the_same_stages():
    sweep = a_sweep(SCHEDULE)
    two = PAPER | {"schedule.iterations": 2}
    assert sweep.plans(two)[0].stages() == sweep.plans(two | {"schedule.curvature": 0.5})[0].stages()


def test_a_point_in_words():
    assert in_words(PAPER | {"method": "dst"}) == "start=0.2 end=1 iterations=5 curvature=1 method=dst"


# ---- what is declared beside each method -----------------------------------------------------------------------


TASKS = [
    *(("segmentation", method) for method in METHODS),
    *(
        ("classification", method)
        for method in ("baseline", "cbst", "dst", "curriculum", "dmt", "dmt_naive", "dmt_flip")
    ),
]


@pytest.mark.parametrize(("task", "method"), TASKS)
def test_everything_that_can_be_searched_in_a_method_changes_its_plan(task, method):
    config, space = load("shapes"), space_of(method, task)
    if task == "classification":
        config = config.evolve(data={"name": "digits"}, label="global")
    sweep = Sweep("joint_search", "", config, method, space, (0,))
    low, high = sweep.corners()
    assert low != high
    middle = sweep.middle()
    for setting, values in space.items():
        plans = [sweep.plans({**middle, setting: end}) for end in values.ends()]
        assert plans[0] != plans[-1], setting


def test_mixup_is_searched_where_images_have_one_class():
    assert "retrain.augment.mixup" in space_of("dmt", "classification")
    assert "retrain.augment.mixup" not in space_of("dmt", "segmentation")


def test_values_that_the_settings_cannot_take_are_named():
    with pytest.raises(ConfigError, match=r"the search would try mixup=1, which does not fit these settings: .*mixup"):
        Sweep("s", "", load("shapes"), "curriculum", {"retrain.augment.mixup": Uniform(0, 1)}, (0,))


def test_a_method_that_is_not_for_such_data_is_refused_without_a_word_of_the_search():
    config = load("shapes").evolve(data={"name": "digits"})
    with pytest.raises(ConfigError, match=r"^methods that train on two views of an image are for segmentation"):
        Sweep("s", "", config, "rml", RML, (0,))


# ---- a sweep over them -----------------------------------------------------------------------------------------


def operations(stages) -> list[str]:
    return sorted(stage.operation.name for stage in stages)


def test_all_schedules_share_the_pretrained_models_and_no_more():
    # The two ends of every range alone would also share the labels of a first iteration with the share 0.5.
    assert operations(a_sweep(SCHEDULE).common()) == ["evaluate", "evaluate", "pretrain", "pretrain"]


def test_all_numbers_of_epochs_share_what_comes_before_the_first_training():
    sweep = a_sweep({"finetune.epochs": Choice(1, 2, 4)}, "order=sequential", seeds=(0, 1), grid=2)
    assert operations(sweep.common()) == sorted(2 * ["evaluate", "evaluate", "label", "pretrain", "pretrain"])


def test_methods_share_what_each_of_them_needs():
    methods = Choice("baseline", "cbst", "dmt")
    assert operations(a_sweep({"method": methods}).common()) == ["evaluate", "pretrain"]
    assert a_sweep({"method": methods}, "dms_alpha=0.8").common() == []
    assert a_sweep({"method": methods, "label_fraction": Choice(0.1, 0.5)}).common() == []


def test_trials_may_differ_in_their_number_of_rungs():
    sweep = a_sweep(SCHEDULE)
    assert (sweep.last_rungs(), sweep.last_rung(PAPER)) == ((1, 9), 5)
    assert a_sweep({"dms_alpha": Uniform(0.55, 1)}).last_rungs() == (5, 5)


def test_a_grid_of_choices_holds_all_pairs():
    sweep = a_sweep({"label_fraction": Choice(0.1, 0.5), "method": Choice("dmt", "dst", "cbst")}, grid=5)
    assert [tuple(point.values()) for point in sweep.points()] == [
        (share, method) for share in (0.1, 0.5) for method in ("dmt", "dst", "cbst")
    ]


def test_a_searched_schedule_does_not_change_the_name_of_a_sweep():
    assert a_sweep(SCHEDULE, "percentiles=[1.0]").name == a_sweep(SCHEDULE).name
    assert a_sweep(SCHEDULE, "finetune.epochs=2").name != a_sweep(SCHEDULE).name


def test_a_sweep_over_a_part_that_the_recipe_does_not_set_has_a_name():
    config = load("shapes").evolve(retrain=None)
    names = {
        Sweep("a_search", "", config, method, space_of(method, "segmentation"), (0,)).name
        for method in ("rml", "classical_st", "cps")
    }
    assert len(names) == 3


@pytest.mark.parametrize("other", [{"seed_by_seed": True}, {"second": "compute"}, {"grid": 5}], ids=str)
def test_another_kind_of_search_has_another_name(other):
    assert a_sweep(SCHEDULE, **other).name != a_sweep(SCHEDULE).name


def test_names_of_earlier_versions_stay():
    space = {"weight.gamma1": Uniform(0, 8, step=0.25), "weight.gamma2": Uniform(0, 8, step=0.25)}
    config = load("shapes")
    fixed = config.identity()
    del fixed["weight"]["gamma1"], fixed["weight"]["gamma2"]
    identity = {
        "config": fixed,
        "method": "dmt",
        "space": {"weight.gamma1": [0, 8, 0.25], "weight.gamma2": [0, 8, 0.25]},
        "seeds": [0],
        "grid": 0,
    }
    assert Sweep("gamma_sweep", "", config, "dmt", space, (0,)).name == f"gamma_sweep-shapes-{key_of(identity)[:8]}"


def test_an_unknown_method_among_the_choices_is_refused():
    with pytest.raises(ConfigError, match="there is no method 'dmmt'"):
        a_sweep({"method": Choice("dmt", "dmmt")})


# ---- the order of the work -------------------------------------------------------------------------------------


def seeds_and_rungs(sweep: Sweep, params) -> list[list[list[tuple[int, int]]]]:
    def seed(plan) -> int:
        return plan.stages()[0].seed

    return [[[(seed(plan), rung) for plan, rung in group] for group in step] for step in sweep.steps(params)]


def test_by_rungs_a_step_is_a_rung_of_all_seeds():
    sweep = a_sweep({"dms_alpha": Uniform(0.55, 1)}, "percentiles=[1.0]", seeds=(3, 4))
    assert seeds_and_rungs(sweep, {"dms_alpha": 1}) == [[[(3, 0), (4, 0)]], [[(3, 1), (4, 1)]]]


def test_seed_by_seed_a_step_is_all_rungs_of_a_seed():
    sweep = a_sweep({"dms_alpha": Uniform(0.55, 1)}, "percentiles=[1.0]", seeds=(3, 4), seed_by_seed=True)
    assert seeds_and_rungs(sweep, {"dms_alpha": 1}) == [[[(3, 0)], [(3, 1)]], [[(4, 0)], [(4, 1)]]]
    assert sweep.steps_of({"dms_alpha": 1}) == 2


def test_both_orders_are_the_same_work():
    by_rungs, by_seeds = (
        a_sweep({"dms_alpha": Uniform(0.55, 1)}, seeds=(0, 1), seed_by_seed=flag) for flag in (False, True)
    )
    point = {"dms_alpha": 0.8}
    assert set(in_order(by_rungs.targets(point))) == set(in_order(by_seeds.targets(point)))
    assert {stage.seed for stage in in_order(by_seeds.targets(point, 1))} == {0}
