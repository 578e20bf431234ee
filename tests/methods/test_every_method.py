"""Every method is really performed: on pictures of the embedded kind, and for a few steps on real images."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dmt_ray.config import Config, Model, override
from dmt_ray.errors import ConfigError
from dmt_ray.execution.runner import Machine, Runner
from dmt_ray.methods import METHODS, configure
from dmt_ray.recipes import named
from dmt_ray.results.scores import metrics, score
from tests.helpers.paths import REAL

SHORT: Mapping[str, Any] = {
    "pretrain.epochs": 1,
    "finetune.epochs": 1,
    "online.epochs": 1,
    "cotrain.epochs": 1,
    "retrain.epochs": 1,
    "oracle.epochs": 1,
    "percentiles": [0.5, 1.0],
}

TINY_VIT = {"embed_dim": 16, "num_heads": 2}
PADDED = [36, 44]  # whole images, which all of these networks pad: no multiples of 14 or 16
# Names that people use, with random weights and few channels.
NETWORKS: Mapping[str, tuple[Model, int]] = {  # and the side of their crops
    "DPT on DINOv2": (
        Model(
            architecture="DPT",
            encoder="tu-vit_small_patch14_dinov2",
            arguments=TINY_VIT
            | {"img_size": 56, "decoder_intermediate_channels": [8, 8, 8, 8], "decoder_fusion_channels": 8},
        ),
        28,
    ),
    "DPT on DINOv3": (
        Model(
            architecture="DPT",
            encoder="tu-vit_small_patch16_dinov3",
            arguments=TINY_VIT | {"decoder_intermediate_channels": [8, 8, 8, 8], "decoder_fusion_channels": 8},
        ),
        32,
    ),
    "linear head on DINOv2": (
        Model(
            architecture="LinearHead",
            encoder="tu-vit_small_patch14_reg4_dinov2",
            arguments=TINY_VIT | {"img_size": 56},
        ),
        28,
    ),
    "linear head on DINOv3": (
        Model(architecture="LinearHead", encoder="tu-vit_small_patch16_dinov3", arguments=TINY_VIT),
        32,
    ),
    "linear head on ConvNeXt": (Model(architecture="LinearHead", encoder="tu-test_convnext"), 64),
    "SegFormer": (
        Model(architecture="Segformer", encoder="mit_b0", arguments={"decoder_segmentation_channels": 8}),
        32,
    ),
    "SegFormer on ConvNeXt": (
        Model(architecture="Segformer", encoder="tu-test_convnext", arguments={"decoder_segmentation_channels": 8}),
        32,
    ),
    "UPerNet": (Model(architecture="UPerNet", encoder="tu-test_convnext", arguments={"decoder_channels": 8}), 32),
    "DeepLabv3+": (
        Model(architecture="DeepLabV3Plus", encoder="tu-test_convnext", arguments={"decoder_channels": 8}),
        32,
    ),
}

TWO_MODELS = ("dmt", "dmt_naive", "dmt_flip", "direct_mutual", "iml", "rml", "rwms", "cps")
SEGMENTATION_ALONE = {
    "direct_mutual",
    "iml",
    "rml",
    "rwms",
    "mean_teacher",
    "fixmatch",
    "cps",
    "unimatch",
    "unimatch_v2",
}


def perform(runner: Runner, cfg: Config, method: str) -> None:
    """Perform a method's plan, and see that every model of every rung has sensible scores."""
    plan = METHODS[method](runner.bind(cfg), 0)
    runner.check(plan.stages())
    evaluations = [evaluation for rung in plan.rungs for evaluation in rung.values()]
    runner.perform(evaluations)
    for evaluation in evaluations:
        assert 0 < score(runner.store, evaluation, "reported") < 1
        assert metrics(runner.store, evaluation)["selection"]["images"] > 0


@pytest.fixture(scope="module")
def storage(tmp_path_factory) -> Path:
    """Shared, as in a table: what methods have in common is computed once."""
    return tmp_path_factory.mktemp("every") / "runs"


@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs_to_the_end_on_embedded_pictures(storage, pictures, tiny, method):
    perform(Runner(Machine(storage, pictures, device="cpu")), override(tiny, SHORT), method)


def on_network(storage: Path, pictures: Path, tiny: Config, network: str, method: str) -> None:
    model, side = NETWORKS[network]
    changes = {**SHORT, "percentiles": [1.0], "data.size": PADDED, "crop": side}
    config = override(tiny, changes).evolve(model=model)
    perform(Runner(Machine(storage, pictures, device="cpu")), config, method)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs_to_the_end_with_dpt_on_dinov2(storage, pictures, tiny, method):
    on_network(storage, pictures, tiny, "DPT on DINOv2", method)


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_teaches_and_learns(storage, pictures, tiny, network):
    on_network(storage, pictures, tiny, network, "dmt")


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_every_method_runs_to_the_end_with_every_network(storage, pictures, tiny, network):
    for method in METHODS:
        on_network(storage, pictures, tiny, network, method)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs_to_the_end_on_digits_or_says_that_it_is_for_segmentation(storage, method):
    cfg = override(named("digits"), SHORT)
    if method in SEGMENTATION_ALONE:
        with pytest.raises(ConfigError, match="segmentation"):
            METHODS[method](cfg, 0)
    else:
        perform(Runner(Machine(storage, device="cpu")), cfg, method)


@pytest.mark.parametrize("method", TWO_MODELS)
def test_methods_with_two_models_take_two_different_encoders(storage, pictures, tiny, method):
    cfg = configure(METHODS[method], override(tiny, SHORT), {"model_b.encoder": "tu-test_efficientnet"})
    runner = Runner(Machine(storage, pictures, device="cpu"))
    perform(runner, cfg, method)
    plan = METHODS[method](runner.bind(cfg), 0)
    encoders = {"A": "tu-test_resnet", "B": "tu-test_efficientnet"}
    assert {side: stage.networks()[0].encoder for side, stage in plan.rungs[-1].items()}.items() <= encoders.items()
    assert {network.encoder for stage in plan.stages() for network in stage.networks()} == set(encoders.values())


def real(storage: Path, folder: str, recipe: str, method: str, **changes: Any) -> None:
    if not (REAL / folder).is_dir():
        pytest.skip(f"no real images: set DMT_DATA to a folder that holds {folder}/")
    cfg = override(named(recipe), {**SHORT, "percentiles": [1.0], **changes})
    perform(Runner(Machine(storage, REAL / folder, device="cpu")), cfg, method)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs_for_a_few_steps_on_camvid(storage, method):
    real(storage, "camvid", "camvid", method, **{"data.size": [48, 64], "split.selection": 0.05} | crops((48, 64)))


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs_for_a_few_steps_on_animals_of_pascal_voc(storage, method):
    real(storage, "voc_animals", "voc-animals", method, **{"data.size": [48, 48]} | crops((32, 32)))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["baseline", "oracle", "curriculum", "dmt", "dmt_naive", "dmt_flip", "cbst", "dst"])
def test_methods_for_classification_run_for_a_few_steps_on_cifar(storage, method):
    real(storage, "cifar10_small", "cifar10-small", method)


def crops(size: tuple[int, int]) -> dict[str, Any]:
    names = ("pretrain", "finetune", "online", "cotrain", "retrain", "oracle")
    return {f"{name}.augment.crop": list(size) for name in names}
