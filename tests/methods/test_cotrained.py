"""Expressions of the methods whose students and teachers change together. No torch, milliseconds."""

import pytest

from dmt_ray.errors import ConfigError
from dmt_ray.methods import METHODS
from dmt_ray.methods.consistency import cps, fixmatch, mean_teacher, unimatch, unimatch_v2
from dmt_ray.methods.robust_mutual import direct_mutual, iml, rml
from dmt_ray.plan import ImageCounts, Plan, Stage
from dmt_ray.recipes import named

CFG = named("shapes").evolve(consistency={})
COTRAINED = (mean_teacher, fixmatch, unimatch, unimatch_v2, cps, direct_mutual, iml, rml)


def trained(plan: Plan, rung: int = 1) -> Stage:
    return plan.rungs[rung]["A"].inputs["model"]


@pytest.mark.parametrize("method", COTRAINED)
def test_students_start_from_the_pretrained_models_of_all_other_methods(method):
    assert trained(method(CFG, 0), 0) == METHODS["baseline"](CFG, 0).rungs[0]["A"].inputs["model"]
    assert trained(method(CFG, 0)).inputs["A"] == trained(method(CFG, 0), 0)


@pytest.mark.parametrize("method", [cps, direct_mutual, iml, rml])
def test_two_students_are_models_a_and_b_and_one_stage_trains_both(method):
    plan = method(CFG, 0)
    assert {side: stage.config.side for side, stage in trained(plan).inputs.items()} == {"A": "A", "B": "B"}
    assert {side: evaluation.config.member for side, evaluation in plan.rungs[1].items()} == {"A": "A", "B": "B"}
    assert plan.rungs[1]["A"].inputs == plan.rungs[1]["B"].inputs


@pytest.mark.parametrize(
    ("method", "teacher", "taught_by"),
    [
        pytest.param(mean_teacher, "mean", "own", id="Mean Teacher"),
        pytest.param(fixmatch, "student", "own", id="FixMatch"),
        pytest.param(unimatch, "student", "own", id="UniMatch"),
        pytest.param(unimatch_v2, "mean", "own", id="UniMatch V2"),
        pytest.param(cps, "student", "peer", id="CPS"),
        pytest.param(direct_mutual, "student", "peer", id="direct: RML, Eq. 3"),
        pytest.param(iml, "mean", "both", id="IML: RML, Eq. 4 and 5"),
        pytest.param(rml, "mean", "both", id="RML: RML, Eq. 5"),
    ],
)
def test_who_teaches_whom(method, teacher, taught_by):
    config = trained(method(CFG, 0)).config
    assert (config.teacher, config.taught_by) == (teacher, taught_by)


def test_rml_has_two_stages_and_the_second_begins_where_the_first_ends():
    plan = rml(CFG, 0)
    assert len(plan.rungs) == 3
    assert trained(plan, 2).inputs == {"A": trained(plan, 1), "B": trained(plan, 1)}


def test_the_number_of_stages_can_be_set():
    assert len(rml(CFG.evolve(consistency={"stages": 1}), 0).rungs) == 2
    assert rml(CFG.evolve(consistency={"stages": 1}), 0).rungs[1] == rml(CFG, 0).rungs[1]


def test_rml_is_iml_with_rectified_labels():
    one, other = trained(rml(CFG, 0)).config, trained(iml(CFG, 0)).config
    assert (one.rectified, other.rectified) == (True, False)
    assert one.evolve(rectified=False) == other


@pytest.mark.parametrize(
    ("noise", "dropout", "survival", "photometric", "cutmix"),
    [
        ("none", 0.0, 1.0, False, False),
        ("model", 0.5, 0.8, False, False),  # RML, Sec. 5.2
        ("cutmix", 0.0, 1.0, False, True),
        ("input", 0.0, 1.0, True, True),
        ("both", 0.5, 0.8, True, True),
    ],
)
def test_noise_of_the_rows_of_table_4(noise, dropout, survival, photometric, cutmix):
    config = trained(iml(CFG.evolve(consistency={"noise": noise}), 0)).config
    assert (config.dropout, config.survival) == (dropout, survival)
    assert (config.photometric, config.cutmix) == (photometric, cutmix)


@pytest.mark.parametrize("noise", ["none", "both"])
def test_direct_mutual_learning_has_no_noise_whatever_is_set(noise):
    config = trained(direct_mutual(CFG.evolve(consistency={"noise": noise}), 0)).config
    assert (config.dropout, config.survival, config.photometric, config.cutmix) == (0, 1, False, False)


def test_what_is_set_goes_before_what_is_usual():
    assert trained(fixmatch(CFG, 0)).config.threshold == 0.95
    assert trained(fixmatch(CFG.evolve(consistency={"threshold": 0.8}), 0)).config.threshold == 0.8


def test_dropout_that_is_set_counts_whatever_the_noise():
    config = trained(iml(CFG.evolve(consistency={"noise": "cutmix", "dropout": 0.3}), 0)).config
    assert (config.dropout, config.survival) == (0.3, 1.0)


def test_mean_teacher_and_cps_use_cutmix_alone():
    assert [trained(m(CFG, 0)).config.photometric for m in (mean_teacher, cps, fixmatch)] == [False, False, True]


@pytest.mark.parametrize(
    ("method", "averaged"),
    [(mean_teacher, True), (unimatch_v2, True), (rml, True), (cps, False), (fixmatch, False), (unimatch, False)],
)
def test_the_mean_teacher_is_what_is_scored_where_there_is_one(method, averaged):
    assert method(CFG, 0).rungs[1]["A"].config.averaged is averaged


def test_what_a_stage_does_not_read_is_not_in_its_key():
    other = CFG.evolve(consistency={"ema_decay": 0.5, "prototype_momentum": 0.5})
    assert fixmatch(other, 0).rungs == fixmatch(CFG, 0).rungs
    assert iml(CFG.evolve(consistency={"prototype_momentum": 0.5}), 0).rungs == iml(CFG, 0).rungs
    assert rml(other, 0).rungs != rml(CFG, 0).rungs


@pytest.mark.parametrize("method", COTRAINED)
def test_they_refuse_data_for_classification(method):
    with pytest.raises(ConfigError, match="two views of an image are for segmentation; digits is not"):
        method(CFG.evolve(data={"name": "digits"}), 0)


@pytest.mark.parametrize(
    ("method", "features", "decay"),
    [
        pytest.param(unimatch, "stream", None, id="two strong views, and a stream of perturbed features"),
        pytest.param(unimatch_v2, "complementary", 0.996, id="two strong views with complementary dropout"),
    ],
)
def test_what_unimatch_adds_to_fixmatch(method, features, decay):
    config, plain = trained(method(CFG, 0)).config, trained(fixmatch(CFG, 0)).config
    assert (config.views, config.features, config.strong, config.boxes) == (2, features, "jitter", "small")
    assert (config.threshold, config.weight, config.loss) == (0.95, 1.0, "cross_entropy") == (
        plain.threshold, plain.weight, plain.loss
    )  # fmt: skip
    assert config.identity().get("ema_decay") == decay
    assert config.rising_decay is (decay is not None)


def test_what_unimatch_adds_is_not_in_the_keys_of_other_methods():
    added = {"views", "features", "strong", "boxes", "rising_decay"}
    for method in set(COTRAINED) - {unimatch, unimatch_v2}:
        assert not added & trained(method(CFG, 0)).config.identity().keys()


def test_a_network_is_given_every_view_at_once():
    counts = ImageCounts(labelled=4, unlabelled=8, known=8, evaluated=1)
    cfg = CFG.evolve(cotrain=CFG.cotrain.evolve(batch=(4, 4)))
    sizes = [trained(method(cfg, 0)).config.batch_sizes(counts) for method in (mean_teacher, unimatch_v2, unimatch)]
    assert sizes == [{4 + 4}, {4 + 2 * 4}, {4 + 3 * 4, 4}]  # and 4 where the student labels
