"""What is known before work: which batches a plan's trainings make, and whether there is something to learn."""

import re

import numpy as np
import pytest
from PIL import Image

from dmt_ray.config import Augment, Model, Training, override
from dmt_ray.errors import ConfigError, DataError, ModelError
from dmt_ray.execution.runner import Machine, Runner
from dmt_ray.methods import METHODS
from dmt_ray.plan.amounts import batch_sizes

POOLED = {"model.architecture": "DeepLabV3Plus", "model.encoder": "resnet18", "model.arguments": {}}


def training(batch):
    return Training(epochs=1, learning_rate=0.1, batch=batch, augment=Augment(crop=(8, 8)))


@pytest.mark.parametrize(
    ("batch", "labelled", "pseudo", "expected"),
    [
        pytest.param((8, 0), 9, 0, {8, 1}, id="nine images in batches of eight leave one"),
        pytest.param((8, 0), 16, 0, {8}, id="sixteen leave none"),
        pytest.param((8, 0), 3, 0, {3}, id="fewer than a batch"),
        pytest.param((1, 7), 5, 15, {8, 2}, id="the last pseudo-labelled one comes with a labelled one"),
        pytest.param((1, 7), 5, 14, {8}, id="whole batches"),
    ],
)
def test_the_last_batch_of_an_epoch_is_what_is_left(batch, labelled, pseudo, expected):
    assert batch_sizes(training(batch), labelled=labelled, pseudo=pseudo) == expected


@pytest.fixture
def runner(machine):
    return Runner(machine)


def check(runner, config, method="baseline"):
    bound = runner.bind(config)
    runner.check(METHODS[method](bound, 0).stages())


def test_a_batch_of_one_image_is_refused_where_the_network_cannot_train_on_it(runner, tiny):
    config = override(tiny, POOLED | {"split.labelled": 9, "dms_alpha": 1})
    expected = r"DeepLabV3Plus/resnet18 cannot train on a batch of 1 image .* but pretrain with batches of 8 images"
    with pytest.raises(ModelError, match=expected) as caught:
        check(runner, config)
    advised = re.search(r"Set (pretrain.batch)=\[(\d+),0\]", str(caught.value))
    check(runner, override(config, {advised[1]: [int(advised[2]), 0]}))


def test_trainings_that_the_method_does_not_use_are_not_tried(runner, tiny):
    """The oracle would see 24 images in batches of 23."""
    config = override(tiny, POOLED | {"oracle.batch": [23, 0]})
    check(runner, config)
    with pytest.raises(ModelError, match=r"but oracle with batches of 23 images"):
        check(runner, config, "oracle")


def test_a_network_without_a_pooled_branch_trains_on_one_image(runner, tiny):
    check(runner, override(tiny, {"split.labelled": 9, "dms_alpha": 1}))


@pytest.fixture
def scribbled(pictures, tmp_path):
    """The folder of pictures, with masks that can be changed."""
    for place in ("images", "masks"):
        (tmp_path / "data" / place).mkdir(parents=True)
        for file in (pictures / place).iterdir():
            (tmp_path / "data" / place / file.name).write_bytes(file.read_bytes())
    for file in pictures.glob("*.txt"):
        (tmp_path / "data" / file.name).write_bytes(file.read_bytes())
    return tmp_path / "data"


def without_labels(folder, names):
    for name in names:
        Image.fromarray(np.full((32, 32), 255, np.uint8)).save(folder / "masks" / f"{name}.png")


def ids(folder, subset):
    return (folder / f"{subset}.txt").read_text().split()


@pytest.mark.parametrize("subset", ["validation", "test"])
def test_images_of_which_none_has_a_labelled_pixel_are_refused_for_scores(scribbled, tiny, tmp_path, subset):
    without_labels(scribbled, ids(scribbled, {"validation": "val", "test": "test"}[subset]))
    with pytest.raises(DataError, match=rf"none of 6 {subset} images .* has a labelled pixel"):
        Runner(Machine(tmp_path / "runs", scribbled)).bind(tiny)


def test_labelled_images_of_which_none_has_a_labelled_pixel_are_refused(scribbled, tiny, tmp_path):
    chosen = ids(scribbled, "train")[:2]
    without_labels(scribbled, chosen)
    (scribbled / "labelled.txt").write_text("\n".join(chosen))
    changes = {"split.rule": "list", "split.list": "labelled.txt", "split.labelled": 2, "dms_alpha": 1}
    with pytest.raises(DataError, match=r"none of 2 labelled images .* has a labelled pixel"):
        Runner(Machine(tmp_path / "runs", scribbled)).bind(override(tiny, changes))


def test_the_padding_of_whole_images_is_asked_of_the_network_and_enters_only_what_reads_them(runner, tiny):
    usual = runner.bind(tiny)
    deeplab = {"architecture": "DeepLabV2", "encoder": "resnet50", "arguments": {}}
    crops = {f"{name}.augment.crop": [33, 33] for name in tiny.trainings()}
    other = runner.bind(override(tiny, {"model": deeplab} | crops))
    assert (usual.model.padding, other.model.padding) == (None, (8, 1))
    kinds = {stage.operation.name: stage.config for stage in METHODS["dmt"](other, 0).stages()}
    assert kinds["pretrain"].padding == ()  # crops of 33 pixels need none, and no snapshot is scored
    assert kinds["label"].padding == kinds["evaluate"].padding == kinds["finetune"].padding == ((8, 1),)
    assert all(stage.config.padding == () for stage in METHODS["dmt"](usual, 0).stages())


def test_crops_that_the_network_pads_itself_make_another_training(tiny):
    model = Model(architecture="DeepLabV2", encoder="resnet50", padding=(8, 1))
    fitting, other = (
        METHODS["baseline"](override(tiny.evolve(model=model), {"pretrain.augment.crop": crop}), 0).stages()[0].config
        for crop in ([33, 41], [32, 40])
    )
    assert (fitting.padding, other.padding) == ((), ((8, 1),))


def test_classes_of_the_mean_that_the_data_set_does_not_have_are_refused(runner, tiny):
    with pytest.raises(
        ConfigError, match=r"scored names 'backgroud', which is no class of .*did you mean 'background'"
    ):
        runner.bind(tiny.evolve(scored=("backgroud",)))


def test_classes_of_the_mean_enter_only_the_evaluations(runner, tiny):
    usual, chosen = runner.bind(tiny), runner.bind(tiny.evolve(scored=(runner.dataset(tiny.data).classes[0],)))
    plans = [{stage.key: stage.operation.name for stage in METHODS["dmt"](cfg, 0).stages()} for cfg in (usual, chosen)]
    assert {plans[1][key] for key in plans[1].keys() - plans[0].keys()} == {"evaluate"}
