import pytest

from dmt_ray.config import Model
from dmt_ray.errors import ModelError
from dmt_ray.execution.network_check import check_network

WRN = Model(architecture="WideResNet", encoder="none")
UNET = Model(architecture="UNet", encoder="none")
SETR = Model(architecture="SETR", encoder="vit_tiny_patch16_224")


@pytest.mark.parametrize(
    ("model", "task", "crop"),
    [
        pytest.param(WRN, "classification", (8, 8), id="WideResNet"),
        pytest.param(UNET, "segmentation", (48, 64), id="UNet"),
        pytest.param(SETR, "segmentation", (48, 64), id="SETR"),
        pytest.param(Model(architecture="Segformer", encoder="mit_b0"), "segmentation", (64, 96), id="SegFormer"),
    ],
)
def test_a_network_fits_its_task(model, task, crop):
    check_network(model, 10, crop, task)


def test_a_classifier_is_refused_for_segmentation_with_what_would_do():
    with pytest.raises(
        ModelError, match=r"WideResNet is for classification, .* DPT, DeepLabV2, LinearHead, SETR, UNet and .* Unet"
    ):
        check_network(WRN, 10, (32, 32), "segmentation")


def test_a_network_for_segmentation_is_refused_for_classification_with_what_would_do():
    with pytest.raises(ModelError, match=r"Unet is for segmentation, but the data are for classification; .* WideRes"):
        check_network(Model(encoder="tu-test_resnet"), 10, (32, 32), "classification")


@pytest.mark.parametrize(("model", "side"), [(UNET, 16), (SETR, 16)])
def test_crops_that_do_not_fit_are_refused(model, side):
    with pytest.raises(ModelError, match=rf"cannot take crops of \(40, 64\): .* sides {side} divides, but got 40 x 64"):
        check_network(model, 10, (40, 64), "segmentation")


def test_images_of_another_size_than_a_transformer_is_built_for_are_refused():
    swin = Model(architecture="UPerNet", encoder="tu-swin_tiny_patch4_window7_224")
    with pytest.raises(ModelError, match=r"cannot take crops of \(64, 96\): Input height \(64\) doesn't match model"):
        check_network(swin, 10, (64, 96), "segmentation")
    check_network(swin.evolve(arguments={"dynamic_img_size": True}), 10, (64, 96), "segmentation")
