"""Papers' numbers stand beside ours only where initial weights, data and training are the paper's."""

import pytest

from dmt_ray.recipes import RECIPES, load
from dmt_ray.recipes.published import as_published

COCO, IMAGENET = "model.weights_file=coco.safetensors", "model.encoder_weights=imagenet"
OTHER = "model_b.weights_file=imagenet.safetensors"


@pytest.mark.parametrize(
    ("recipe", "changes", "expected"),
    [
        pytest.param("voc-1/50", [COCO], True, id="one file, and halves of the labelled images"),
        pytest.param("voc-1/50", [], False, id="from random weights"),
        pytest.param("voc-1/50", [COCO, OTHER], False, id="two files, where the paper has one"),
        pytest.param("voc-1/20", [COCO, OTHER], True, id="two files"),
        pytest.param("voc-1/20", [COCO], False, id="one file, where the paper has two"),
        pytest.param("voc-1/50", [COCO, "finetune.epochs=3"], False, id="another training"),
        pytest.param("voc-1/50", [COCO, "split.number=1"], False, id="another split"),
        pytest.param("cityscapes-1/8", [], False, id="Cityscapes from random weights"),
        pytest.param("rwms-voc-1/8", [IMAGENET, "model_b.encoder_weights=imagenet"], True, id="both from ImageNet"),
        pytest.param("rwms-voc-1/8", [IMAGENET], False, id="the second from random weights"),
        pytest.param("rml-cityscapes-1/8", [IMAGENET], True, id="RML"),
        pytest.param("pets", [], True, id="the Pet study starts from random weights"),
        pytest.param("pets", [COCO], False, id="and from no others"),
        pytest.param("cifar10-4000", [], True, id="CIFAR-10"),
        pytest.param("cifar10-4000", ["retrain.augment.mixup=0"], False, id="CIFAR-10 without mixup"),
    ],
)
def test_only_what_a_paper_ran_stands_beside_its_numbers(recipe, changes, expected):
    assert as_published(load(recipe, changes)) is expected


def test_a_recipe_of_the_same_name_in_a_file_is_not_the_papers(tmp_path):
    (tmp_path / "pets.yaml").write_text("recipe: pets\npretrain: {epochs: 3}\n")
    assert load(str(tmp_path / "pets.yaml")).recipe == "pets"
    assert not as_published(load(str(tmp_path / "pets.yaml")))


@pytest.mark.parametrize("recipe", ["shapes", "camvid", "voc-animals", "folder", "digits", "cifar10-small"])
def test_recipes_of_our_own_are_no_papers(recipe):
    assert not as_published(RECIPES[recipe]())


def test_what_identifies_data_and_weights_does_not_matter():
    config = load("voc-1/50", [COCO])
    model = config.model.evolve(weights_digest="abc", padding=(8, 1))
    assert as_published(config.evolve(data=config.data.evolve(fingerprint="f"), model=model))
