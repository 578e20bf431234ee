"""Networks by name. No torch."""

import pytest

from dmt_ray.errors import ConfigError
from dmt_ray.recipes import named
from dmt_ray.recipes.networks import NETWORKS, network, own_name, usual_networks

SHAPES, LITE = named("shapes"), named("voc-animals-lite0")


def test_a_name_that_is_the_recipe_s_own_is_its_model_with_its_arguments():
    assert network("Unet/tu-test_resnet", SHAPES) == SHAPES.model
    assert network("Unet/resnet18", SHAPES).arguments == {}


def test_lite_networks_have_their_weights_on_every_recipe():
    assert [network(name, SHAPES).encoder_weights for name in NETWORKS] == [f"imagenet-lite{i}" for i in range(3)]
    assert network("lite0", LITE) == LITE.model
    assert own_name(LITE.model.evolve(weights_digest="0" * 12, padding=(32, 0))) == "lite0"  # as binding fills them in


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        ("shapes", ("Unet/tu-test_resnet", "FPN/tu-test_resnet")),
        ("voc-animals-lite0", ("lite0", "lite1")),
        ("rwms-voc-1/8", ("DeepLabV3Plus/resnet50", "PSPNet/resnet50")),
        ("pets", ("UNet/none", "FPN/resnet18")),
    ],
)
def test_usual_networks_are_the_recipe_s_own_and_another_one(recipe, expected):
    assert usual_networks(named(recipe)) == expected


@pytest.mark.parametrize("name", ["lite7", "FPN", "/resnet18", "FPN/"])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(ConfigError, match=f"there is no network '{name}'"):
        network(name, SHAPES)
