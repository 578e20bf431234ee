"""Recipes of the papers other than DMT: the Pet study, RWMS, RML, UniMatch and its V2.

Settings that a paper does not state are DMT's.
"""

from collections.abc import Callable
from math import sqrt
from typing import Any

from dmt_ray.config import Augment, Config, Consistency, DisagreementWeight, Model, Split, Training
from dmt_ray.recipes.segmentation import authors


def pets() -> Config:
    """The Oxford-IIIT Pets of the Pet study, with a U-Net from scratch; the 10,000 pretraining epochs can be cut."""
    # Sec. 3: lr 0.004, a batch of 32 that is shared out by the lists' lengths, the best on validation is kept.
    # It names no augmentation, and its discussion regrets the lack of what augmentation gives.
    augment = Augment(scale=(1, 1), crop=(128, 128), flip=False)
    always: dict[str, Any] = {"learning_rate": 4e-3, "augment": augment, "keep": "val", "score_every": 500}
    return Config(
        recipe="pets",
        data={"name": "pets", "size": (128, 128)},
        split=Split(labelled=0.1, selection=0.05),
        model=Model(architecture="UNet", encoder="none"),
        pretrain=Training(epochs=10_000, batch=(32, 0), **always),
        finetune=Training(epochs=10, batch=(4, 28), matched=True, **always),
        online=Training(epochs=50, batch=(4, 28), matched=True, **always),  # as long as five iterations
        oracle=Training(epochs=1_000, batch=(32, 0), **always),  # as many steps as the baseline
        weight=DisagreementWeight(gamma1=3, gamma2=3),
        dms_alpha=0.7,
        order="sequential",
        first="val",
    )


def rwms_voc(name: str) -> Callable[[], Config]:
    """The recipe for a labelled ratio, which is the end of its name (RWMS, Table 1)."""
    ratio = name.removeprefix("rwms-voc-")

    def recipe() -> Config:
        # RWMS prints neither learning rate nor batch: these are those of ST++, whose protocol it shares, with its rate
        # of the encoder for the whole network. The paper starts from ImageNet: set model.encoder_weights.
        augment = Augment(crop=(320, 320))  # the paper's 321 less one: DeepLabV3+ takes what 16 divides
        always: dict[str, Any] = {"learning_rate": 1e-3, "weight_decay": 1e-4, "augment": augment}
        return Config(
            recipe=name,
            data={"name": "voc"},
            split=Split(labelled=ratio, selection="valtiny"),
            model=Model(architecture="DeepLabV3Plus", encoder="resnet50"),
            model_b=Model(architecture="PSPNet", encoder="resnet50"),
            pretrain=Training(epochs=80, batch=(16, 0), **always),
            finetune=Training(epochs=16, batch=(8, 8), **always),
            online=Training(epochs=80, batch=(8, 8), **always),
            retrain=Training(epochs=80, batch=(8, 8), **always),
            oracle=Training(epochs=80, batch=(16, 0), **always),
        )

    recipe.__doc__ = f"PASCAL VOC 2012, labelled {ratio}, two networks and 80 epochs per phase, as in RWMS."
    return recipe


def rml_cityscapes() -> Config:
    """Cityscapes at half size, labelled ratio 1/8, 90,000 steps per stage, as in RML, Sec. 5.2."""
    # 2,604 unlabelled images, 2 a step: 1,302 steps an epoch, and 69 epochs are 89,838 steps.
    augment = Augment(crop=(256, 512))
    supervised: dict[str, Any] = {"learning_rate": 4e-3, "batch": (8, 0), "augment": augment}
    return Config(
        recipe="rml-cityscapes-1/8",
        data={"name": "cityscapes", "size": (512, 1024)},
        split=authors(8),
        model=Model(architecture="DeepLabV2", encoder="resnet101", arguments={"aspp": "full"}),
        pretrain=Training(epochs=170, **supervised),
        finetune=Training(epochs=10, learning_rate=4e-3, batch=(2, 6), augment=augment),
        online=Training(epochs=20, learning_rate=4e-3, batch=(2, 6), augment=augment),
        cotrain=Training(epochs=69, learning_rate=1e-4, batch=(2, 2), augment=augment),
        oracle=Training(epochs=60, **supervised),
        weight=DisagreementWeight(gamma1=3, gamma2=3),
        consistency=Consistency(prototype_momentum=0.9999, stages=2),  # dropout and survival as they are usual
    )


UNIMATCH_92 = Split(labelled=92, rule="list", list="unimatch-voc-92", selection="valtiny")
TRAINAUG = 10_582  # train images of PASCAL VOC 2012 with the masks of SBD


def unimatch_voc_92() -> Config:
    """PASCAL VOC 2012 with the 92 labels of UniMatch, DeepLabV3+ on ResNet-101, as in its authors' code.

    Published: network, rates, batch, 80 epochs, the list, and the best snapshot on val as the result. Read from it: a
    crop of 320, for the network takes what 16 divides, not 321; half the rate at twice the weight decay in `cotrain`,
    which for SGD is the same as their loss, halved as a whole. They start from ImageNet alone: set
    model.encoder_weights; here all methods start from the same pretrained model, and the other trainings are DMT's.
    """
    augment = Augment(scale=(0.5, 2.0), crop=(320, 320))
    usual: dict[str, Any] = {"learning_rate": 1e-3, "head_rate": 10.0, "weight_decay": 1e-4, "augment": augment}
    return _unimatch(
        "unimatch-voc-92",
        Model(architecture="DeepLabV3Plus", encoder="resnet101"),
        usual,
        cotrain=usual | {"learning_rate": 5e-4, "weight_decay": 2e-4},
        batch=8,
        epochs=80,
    )


def unimatch_v2_voc_92() -> Config:
    """PASCAL VOC 2012 with the 92 labels of UniMatch, DPT on DINOv2-S, as in the code of UniMatch V2's authors.

    Published: encoder, widths of the decoder, AdamW with 5e-6 and 40 times that for the head, batch, 60 epochs, and the
    best snapshot on val as the result. Read from it: a crop of 504, not 518: the decoder takes what two patches of
    14 pixels divide. They start from DINOv2's weights: set model.encoder_weights; here all methods start from the same
    pretrained model, and the other trainings are DMT's.
    """
    arguments: dict[str, Any] = {"decoder_readout": "ignore", "decoder_fusion_channels": 64}
    arguments |= {"decoder_intermediate_channels": [48, 96, 192, 384]}
    model = Model(architecture="DPT", encoder="tu-vit_small_patch14_dinov2", arguments=arguments)
    augment = Augment(scale=(0.5, 2.0), crop=(504, 504))
    usual: dict[str, Any] = {"optimizer": "adamw", "learning_rate": 5e-6, "head_rate": 40.0, "weight_decay": 0.01}
    usual |= {"augment": augment}
    # Their loss is halved as a whole as well, which does not change a step of AdamW.
    return _unimatch("unimatch-v2-voc-92", model, usual, cotrain=usual, batch=16, epochs=60)


def _unimatch(
    name: str, model: Model, usual: dict[str, Any], *, cotrain: dict[str, Any], batch: int, epochs: int
) -> Config:
    """Settings with as many labelled as unlabelled images in a step; `epochs` are passes over the unlabelled ones."""
    both = (batch, batch)
    scored = -(-(TRAINAUG - 92) // batch)  # once in an epoch
    return Config(
        recipe=name,
        data={"name": "voc"},
        split=UNIMATCH_92,
        model=model,
        pretrain=Training(epochs=round(epochs * sqrt(TRAINAUG / 92)), batch=(2 * batch, 0), **usual),
        finetune=Training(epochs=epochs // 5, batch=both, **usual),
        online=Training(epochs=epochs, batch=both, **usual),
        cotrain=Training(epochs=epochs, batch=both, keep="paper", score_every=scored, **cotrain),
        retrain=Training(epochs=epochs, batch=both, **usual),
        oracle=Training(epochs=epochs, batch=(2 * batch, 0), **usual),
    )
