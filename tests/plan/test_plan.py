import pytest

from dmt_ray.config import override
from dmt_ray.methods import METHODS, dmt
from dmt_ray.plan import Operation, Stage, common_stages, in_order, waves
from dmt_ray.recipes import named

CFG = named("shapes")
KEY = 20


def test_equal_work_is_equal():
    assert dmt(CFG, 0).stages() == dmt(CFG, 0).stages()
    assert set(dmt(CFG, 0).stages()).isdisjoint(dmt(CFG, 1).stages())


def test_a_revision_changes_the_key_and_all_that_depends_on_it():
    plan = dmt(CFG, 0)
    first = plan.stages()[0]
    revised = Stage(Operation("pretrain", first.operation.revision + 1), first.config, first.seed)
    assert revised.key != first.key
    child = next(stage for stage in plan.stages() if first in stage.inputs.values())
    moved = Stage(child.operation, child.config, child.seed, {name: revised for name in child.inputs})
    assert moved.key != child.key


def test_inputs_come_before_what_needs_them():
    seen: set[Stage] = set()
    for stage in dmt(CFG, 0).stages():
        assert set(stage.inputs.values()) <= seen
        seen.add(stage)


def test_trials_of_a_gamma_sweep_share_pretraining_and_the_first_labels():
    plans = [dmt(CFG.with_weight(gamma1=gamma), 0) for gamma in (1, 2, 3)]
    assert sorted(stage.operation.name for stage in common_stages(plans)) == [
        "evaluate", "evaluate", "label", "label", "pretrain", "pretrain",
    ]  # fmt: skip


def test_twelve_gamma_trials_need_two_pretrainings():
    plans = [dmt(CFG.with_weight(gamma1=gamma, gamma2=gamma), 0) for gamma in range(12)]
    union = in_order(stage for plan in plans for rung in plan.rungs for stage in rung.values())
    assert sum(stage.operation.name == "pretrain" for stage in union) == 2
    assert sum(stage.operation.name == "label" for stage in union) == 2 + 12 * 4 * 2


def test_the_waves_of_dmt_train_both_models_at_a_time():
    plan = dmt(CFG, 0)
    found = [sorted(stage.operation.name for stage in wave) for wave in waves(plan.stages())]
    assert found[:3] == [["pretrain", "pretrain"], ["evaluate", "evaluate", "label", "label"], ["finetune", "finetune"]]
    assert sum(map(len, found)) == len(plan.stages())


def test_a_wave_waits_only_for_stages_that_are_in_the_list():
    plan = dmt(CFG, 0)
    last = plan.stages()[-1]
    assert list(waves([last])) == [[last]]


def test_the_explanation_marks_what_it_is_told_to():
    plan = dmt(CFG, 0)
    text = plan.explain({plan.stages()[0]: "to do"})
    assert text.count("[to do]") == 1
    assert "rung 5" in text
    assert "most confident 20%" in text


def test_keys_are_hex_of_one_length():
    assert all(len(stage.key) == KEY and int(stage.key, 16) >= 0 for stage in dmt(CFG, 0).stages())


@pytest.mark.parametrize(
    ("selection", "said"), [("val", "on val (validation)"), (0.07, "on 7 % of the training images (validation)")]
)
def test_a_plan_says_what_the_validation_images_are(selection, said):
    config = override(named("shapes"), {"split.selection": selection})
    assert f"{said} and test (test)" in METHODS["baseline"](config, 0).explain()
