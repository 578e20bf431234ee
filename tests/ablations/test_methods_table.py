"""The ablations of the papers' other systems: what their rows are, and that equal steps are equal. No torch."""

import pytest

from ablations import architectures, images, pets, reliability, robust_mutual, teachers
from ablations.methods import labelled_share, lasting, rows, supervised
from dmt_ray.config import Config
from dmt_ray.experiments.ablation import Column, cells
from dmt_ray.plan import Plan, Stage
from dmt_ray.plan.amounts import images_of, steps
from dmt_ray.plan.operations.cotrain import Cotrain
from dmt_ray.plan.operations.pretrain import Pretrain
from dmt_ray.plan.operations.retrain import Retrain
from dmt_ray.recipes import load
from dmt_ray.report.papers import paper_table

LABELLED, UNLABELLED = 16, 484  # of `shapes`


def unbound(config: Config) -> Config:
    return config


def plans(recipe: str, made) -> dict[str, Plan]:
    return {cell.row: cell.plan(0) for cell in cells(recipe, (), made, {"": Column()}, unbound)}


def work(stage: Stage) -> int:
    """Optimizer steps of a training on `shapes`, over its models."""
    config = stage.config
    if isinstance(config, Pretrain):
        return steps(config.training, labelled=LABELLED + UNLABELLED * (config.images == "all"), pseudo=0)
    count = images_of(UNLABELLED, config.images) if isinstance(config, Retrain) else UNLABELLED
    students = config.students if isinstance(config, Cotrain) else 1
    return students * steps(config.training, labelled=LABELLED, pseudo=count)


# ---- equal steps -----------------------------------------------------------------------------------------------


def test_all_methods_have_equal_steps():
    found = {
        row: sum(work(stage) for stage in plan.stages() if hasattr(stage.config, "training"))
        for row, plan in plans("shapes", rows(load("shapes"))).items()
    }
    # Two models: 160 epochs of 2 steps, and 5 iterations of 484 / 7 = 70 steps.
    assert found["DMT"] == 2 * (160 * 2 + 5 * 70)
    assert found.pop("Pretrained") == 160 * 2
    for row, count in found.items():
        assert count == pytest.approx(found["DMT"], rel=0.08), row


def test_every_method_for_segmentation_has_its_row():
    from dmt_ray.methods import METHODS

    there = {row.method for row in rows(load("shapes")).values()}
    assert METHODS.keys() - there == {"dst_double"}  # which is the row DST
    doubled = plans("shapes", rows(load("shapes")))["DST"]
    assert doubled == METHODS["dst_double"](load("shapes"), 0)


def test_a_training_lasts_as_many_epochs_as_come_nearest():
    config = load("shapes")  # cotrain: 4 labelled and 4 unlabelled images
    assert lasting(config, "cotrain", 5 / 7) == {"cotrain.epochs": 3, "cotrain.batch": [4, 4]}  # 3 / 4, 5 % more
    # 1 / 4 would be 30 % less; 1 / 3 is 7 % less
    assert lasting(config, "cotrain", 5 / 14) == {"cotrain.epochs": 1, "cotrain.batch": [5, 3]}


def test_true_labels_get_all_the_steps_of_two_models():
    config = load("shapes")
    assert labelled_share(config) == 16 / 500
    # 2 x (160 x 16 / 8 + 5 / 7 x 484) = 1,331 steps, 2 to an epoch
    assert supervised(config, "pretrain", 5 / 7, seen=16 / 500) == {"pretrain.epochs": 666}
    assert supervised(config, "oracle", 5 / 7, seen=1.0) == {"oracle.epochs": 21}  # of 63 steps


def test_where_nobody_knows_how_many_images_there_are_the_oracle_is_as_it_is():
    config = load("voc-1464")
    assert supervised(config, "oracle", 5 / 7, seen=1.0) == {}
    assert labelled_share(load("camvid")) == 1 / 8


# ---- the rows of the papers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "table"),
    [
        pytest.param(images.rows(load("cifar10-4000")), "dmt-2", id="DMT, Table 2"),
        pytest.param(robust_mutual.ROWS, "rml-4", id="RML, Table 4"),
        pytest.param(reliability.ROWS, "rwms-3", id="RWMS, Table 3"),
        pytest.param(reliability.ROWS, "rwms-5", id="RWMS, Table 5"),
        pytest.param(teachers.rows(load("rwms-voc-1/8")), "rwms-4", id="RWMS, Table 4"),
        pytest.param(pets.ROWS, "pets-1", id="Pets, Table 1"),
    ],
)
def test_rows_have_the_names_of_the_paper_s(made, table):
    assert set(paper_table(table)["row"]) <= made.keys()


@pytest.mark.parametrize(
    ("columns", "recipe", "changes", "papers"),
    [
        pytest.param(images.columns, "cifar10-1000", [], ["4000 labels", "1000 labels"], id="both CIFAR-10 recipes"),
        pytest.param(images.columns, "digits", [], [None], id="digits are not the paper's"),
        pytest.param(pets.columns, "pets", [], ["10 %"], id="the Pet study"),
        pytest.param(pets.columns, "shapes", [], [None], id="not its data"),
        pytest.param(robust_mutual.columns, "rml-cityscapes-1/8", [], ["1/8"], id="RML"),
        pytest.param(
            reliability.columns,
            "rwms-voc-1/8",
            ["model.encoder_weights=imagenet"],
            ["1/16", "1/8", "1/4"],
            id="all ratios of RWMS",
        ),
        pytest.param(teachers.columns, "rwms-voc-1/8", ["model.weights_file=w.safetensors"], ["MIoU"], id="teachers"),
    ],
)
def test_columns_name_the_papers_column_that_they_repeat(columns, recipe, changes, papers):
    assert [column.paper for column in columns(load(recipe, changes)).values()] == papers


def test_the_noises_are_all_that_the_rows_of_iml_differ_in():
    made = {
        name: row.changes["consistency.noise"] for name, row in robust_mutual.ROWS.items() if name.startswith("IML")
    }
    assert list(made.values()) == ["none", "model", "input", "both"]
    stages = {row: len(plan.rungs) - 1 for row, plan in plans("shapes", robust_mutual.ROWS).items()}
    assert (stages["RML"], stages["RML (two stages)"]) == (1, 2)


def test_a_cnn_and_a_transformer_are_trained_together_and_alone():
    found = {
        row: [stage.config.model.architecture for stage in plan.stages() if stage.operation.name == "pretrain"]
        for row, plan in plans("shapes", architectures.rows(load("shapes"))).items()
    }
    assert found == {
        "CNN": ["Unet"],
        "Transformer": ["SETR"],
        "CNN - CNN": ["Unet", "Unet"],
        "Transformer - transformer": ["SETR", "SETR"],
        "CNN - transformer": ["Unet", "SETR"],
    }
    models = plans("shapes", architectures.rows(load("shapes")))["CNN - transformer"].rungs[1]["A"].inputs["model"]
    assert (models.config.dropout, models.config.cutmix) == (0, False)  # without noise, as in the paper


def test_a_transformer_is_small_where_crops_are():
    assert architectures.transformer(load("shapes"))["arguments"]["embed_dim"] == 96
    assert architectures.transformer(load("cityscapes-1/8"))["encoder"] == "vit_base_patch16_224"


def test_the_first_teacher_is_the_same_in_all_rows():
    made = plans("shapes", teachers.rows(load("shapes")))
    labels = {
        row: plan.rungs[1]["A"].inputs["model"].inputs["labels"] for row, plan in made.items() if row != "Baseline"
    }
    assert len({stage.inputs["labels"].key for stage in labels.values()}) == 1
    assert len({stage.inputs["assessed"].key for stage in labels.values()}) == len(labels) == 3


def test_who_teaches_first_in_the_pet_study_is_decided_once_or_each_time():
    picks = {
        row: sum(stage.operation.name == "pick" for stage in plan.stages())
        for row, plan in plans("shapes", pets.ROWS).items()
    }
    assert (picks["DMT"], picks["DMT, decided anew"]) == (2, 10)
