import copy

import pytest
import torch

from dmt_ray import models
from dmt_ray.config import Model
from dmt_ray.errors import ModelError

VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 3, "num_heads": 2, "channels": 8}
TEST_RESNET = Model(encoder="tu-test_resnet", arguments={"encoder_depth": 4, "decoder_channels": [16, 8, 8, 8]})
RESNET = Model(architecture="FPN", encoder="resnet18")
SETR = Model(architecture="SETR", encoder="vit_tiny_patch16_224", arguments=VIT)
DEEPLAB = Model(architecture="DeepLabV2", encoder="resnet50")
UNET = Model(architecture="UNet", encoder="none", arguments={"base": 4})
WRN = Model(architecture="WideResNet", encoder="none", arguments={"depth": 10, "width": 1})

WITH_BLOCKS = [
    pytest.param(TEST_RESNET, id="timm's ResNet"),
    pytest.param(RESNET, id="torchvision's ResNet"),
    pytest.param(SETR, id="SETR"),
    pytest.param(DEEPLAB, id="DeepLabV2"),
]


def images(number=2):
    return torch.rand(number, 3, 32, 32)


@pytest.mark.parametrize("model", WITH_BLOCKS)
def test_in_eval_mode_nothing_changes(model):
    network = models.build(model, 5).eval()
    noisy = copy.deepcopy(network)
    models.add_noise(noisy, dropout=0.5, survival=0.8)
    given = images()
    with torch.inference_mode():
        assert torch.equal(network(given), noisy(given))
        assert not torch.equal(noisy(given), noisy.train()(given))


@pytest.mark.parametrize("model", WITH_BLOCKS)
def test_the_weights_keep_their_names(model):
    with torch.device("meta"):
        network = models.build(model, 5)
        names = list(network.state_dict())
        models.add_noise(network, dropout=0.5, survival=0.8)
    assert list(network.state_dict()) == names


@pytest.mark.parametrize("model", [TEST_RESNET, RESNET, SETR])
def test_no_dropout_and_a_survival_of_1_add_nothing(model):
    network = models.build(model, 5).train()
    quiet = copy.deepcopy(network)
    models.add_noise(quiet, dropout=0, survival=1)
    given, before = images(), torch.random.get_rng_state()
    expected = network(given)
    torch.random.set_rng_state(before)
    assert torch.equal(quiet(given), expected)


@pytest.mark.parametrize("model", [TEST_RESNET, RESNET, SETR])
def test_the_same_seed_gives_the_same_noise_and_another_one_another(model):
    network = models.build(model, 5).train()
    models.add_noise(network, dropout=0.5, survival=0.5)
    given, logits = images(4), []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        logits.append(network(given))
    assert torch.equal(logits[0], logits[1])
    assert not torch.equal(logits[0], logits[2])


@pytest.mark.parametrize("model", [UNET, WRN, *WITH_BLOCKS])
def test_dropout_sets_half_the_features_to_0_and_doubles_the_others(model):
    network = models.build(model, 5).train()
    layer, seen = models.classifier(network), []
    models.add_noise(network, dropout=0.5, survival=1)
    layer.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    layer(torch.ones(8, next(layer.parameters()).shape[1], 4, 4))
    assert seen[0].unique().tolist() == [0, 2]
    assert seen[0].mean() == pytest.approx(1, abs=0.1)


def test_a_skipped_block_of_torchvision_leaves_what_it_was_given():
    network = models.build(RESNET, 5).train()
    models.add_noise(network, dropout=0, survival=0)
    x = torch.randn(2, 64, 8, 8)
    assert torch.equal(network.encoder.layer1[1](x), x.relu())


def test_a_skipped_block_of_timms_resnet_leaves_what_it_was_given():
    network = models.build(TEST_RESNET.evolve(encoder="tu-resnet18"), 5).train()
    models.add_noise(network, dropout=0, survival=0)
    x = torch.randn(2, 64, 8, 8)
    assert torch.equal(network.encoder.model.layer1[1](x), x.relu())


def test_a_skipped_block_of_a_transformer_leaves_what_it_was_given():
    network = models.build(SETR, 5).train()
    models.add_noise(network, dropout=0, survival=0)
    tokens = torch.randn(2, 17, 32)
    assert torch.equal(network.encoder.blocks(tokens), tokens)


def test_each_image_keeps_or_loses_a_block_and_what_is_kept_counts_more():
    network = models.build(RESNET, 5).train()
    block = network.encoder.layer1[1]
    x = torch.randn(1, 64, 4, 4).expand(64, -1, -1, -1)  # equal images have equal branches
    branch = block.bn2(block.conv2(block.relu(block.bn1(block.conv1(x)))))[0]
    models.add_noise(network, dropout=0, survival=0.8)
    found = block(x)
    lost, kept = x[0].relu(), (x[0] + branch / 0.8).relu()
    is_lost = torch.tensor([torch.allclose(one, lost, atol=1e-4) for one in found])
    is_kept = torch.tensor([torch.allclose(one, kept, atol=1e-4) for one in found])
    assert (is_lost ^ is_kept).all()
    assert 0.6 < is_kept.float().mean() < 0.95


@pytest.mark.parametrize(
    ("model", "branches"),
    [
        pytest.param(DEEPLAB, 16, id="ResNet-50 has 3 + 4 + 6 + 3 blocks"),
        pytest.param(RESNET, 8, id="ResNet-18 has 2 + 2 + 2 + 2 blocks"),
        pytest.param(SETR, 6, id="three blocks of a transformer have two branches each"),
    ],
)
def test_every_block_has_the_same_chance(model, branches):
    from timm.layers import DropPath

    with torch.device("meta"):
        network = models.build(model, 5)
        models.add_noise(network, dropout=0, survival=0.8)
    chances = [1 - module.drop_prob for module in network.modules() if isinstance(module, DropPath)]
    chances += [hook.args[0] for module in network.modules() for hook in module._forward_hooks.values()]
    assert chances == pytest.approx([0.8] * branches)


@pytest.mark.parametrize("model", [UNET, WRN])
def test_stochastic_depth_without_known_blocks_is_refused(model):
    with pytest.raises(ModelError, match="needs an encoder with residual blocks"):
        models.add_noise(models.build(model, 5), dropout=0, survival=0.8)


@pytest.mark.parametrize("noise", [{"dropout": 1.5, "survival": 1}, {"dropout": 0, "survival": -0.1}])
def test_a_share_that_is_none_is_refused(noise):
    with pytest.raises(ValueError, match="must lie between 0 and 1, but got"):
        models.add_noise(models.build(UNET, 5), **noise)


@pytest.mark.parametrize(
    ("architecture", "encoder"),
    [
        *((name, "resnet18") for name in ("Unet", "UnetPlusPlus", "FPN", "PSPNet", "DeepLabV3", "DeepLabV3Plus")),
        *((name, "resnet18") for name in ("Linknet", "MAnet", "PAN", "UPerNet", "Segformer")),
        ("DPT", "tu-vit_tiny_patch16_224"),
        ("LinearHead", "tu-test_convnext"),
    ],
)
def test_the_classifier_of_every_network_is_its_last_layer_with_weights(architecture, encoder):
    with torch.device("meta"):
        network = models.build(Model(architecture=architecture, encoder=encoder), 5)
    layer = models.classifier(network)
    assert layer.out_channels == 5
    assert list(network.parameters())[-1] is layer.bias


DPT_ARGUMENTS = {"dynamic_img_size": True, "decoder_intermediate_channels": [8] * 4, "decoder_fusion_channels": 8}
DPT = Model(architecture="DPT", encoder="tu-vit_tiny_patch16_224", arguments=DPT_ARGUMENTS)


@pytest.mark.parametrize("model", [TEST_RESNET, RESNET, SETR, DEEPLAB, DPT])
def test_channels_are_dropped_in_some_images_of_a_pass_and_only_while_it_is_told(model):
    network = models.build(model, 5).eval()
    names = list(network.state_dict())
    channels, given = models.ChannelDropout(network), images(3)
    with torch.inference_mode():
        before = network(given)
        with channels.during(models.stream_masks(2, 1)):
            perturbed = network(given)
        after = network(given)
    assert torch.equal(before, after)
    assert torch.allclose(perturbed[:2], before[:2], atol=1e-5)
    assert not torch.allclose(perturbed[2], before[2], atol=1e-5)
    assert list(network.state_dict()) == names


def test_a_network_without_an_encoder_has_no_features_to_perturb():
    with pytest.raises(ModelError, match="for a network on an encoder, but UNet has none"):
        models.ChannelDropout(models.build(UNET, 5))


def test_features_that_do_not_come_by_are_an_error():
    network = models.build(RESNET, 5).eval()
    channels = models.ChannelDropout(network)
    said = "FPN's encoder cannot be perturbed: it calls parts of its encoder"
    with pytest.raises(ModelError, match=said), channels.during(models.stream_masks(2, 0)):
        network.encoder.conv1(images())


def test_the_images_that_an_encoder_gives_on_are_no_features():
    network, seen = models.build(RESNET, 5).eval(), list[int]()
    channels = models.ChannelDropout(network)
    with torch.inference_mode(), channels.during(lambda count, _: seen.append(count) or torch.ones(2, count)):
        network(images())
    assert seen == [64, 64, 128, 256, 512]  # of ResNet-18, without the three of the images


def test_a_stream_loses_each_channel_with_a_chance_of_one_half_and_the_others_count_double():
    torch.manual_seed(0)
    masks = models.stream_masks(1, 2)(1000, torch.device("cpu"))
    assert masks[0].eq(1).all()
    assert masks[1:].unique().tolist() == [0, 2]
    assert masks[1:].eq(0).double().mean().item() == pytest.approx(0.5, abs=0.04)
    assert not torch.equal(masks[1], masks[2])


def test_what_one_view_loses_the_other_keeps_and_half_of_the_pairs_keep_all():
    masks = models.complementary_masks(1, 4)
    wide, narrow = masks(1000, torch.device("cpu")), masks(10, torch.device("cpu"))
    first, second = wide[1:5], wide[5:]
    assert wide[0].eq(1).all()
    assert torch.equal(first + second, torch.full((4, 1000), 2.0))
    whole = first.eq(1).all(dim=1)
    assert whole.sum() == 2
    assert first[~whole].unique().tolist() == [0, 2]
    assert torch.equal(narrow[1:5].eq(1).all(dim=1), whole)  # the same pairs at every depth
    assert masks(1000, torch.device("cpu")) is wide
