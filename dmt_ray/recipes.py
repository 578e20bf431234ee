"""Named settings of the papers and of our data. A user's YAML file starts from one of them and overrides it."""

from collections.abc import Callable, Mapping, Sequence
from math import sqrt
from pathlib import Path
from typing import Any

import yaml

from dmt_ray.config import (
    Augment,
    CamvidData,
    CityscapesData,
    Config,
    FolderData,
    Model,
    ShapesData,
    Split,
    Training,
    VocData,
    Weight,
    nearest,
    override,
)
from dmt_ray.errors import ConfigError

# 0.4 M parameters: about 45 ms for a step of 8 images of 64 x 64 on one core.
_SMALL = Model(encoder="tu-test_resnet", arguments={"encoder_depth": 4, "decoder_channels": [64, 48, 32, 16]})


def shapes() -> Config:
    """The embedded data, made to show in minutes on a laptop what DMT is about (docs/shapes.md)."""
    augment = Augment(crop=(64, 64))
    return Config(
        recipe="shapes",
        data=ShapesData(),
        split=Split(labelled=16, selection="val"),
        model=_SMALL,
        pretrain=Training(epochs=160, learning_rate=0.05, batch=(8, 0), augment=augment),
        finetune=Training(epochs=1, learning_rate=0.03, batch=(1, 7), augment=augment),
        online=Training(epochs=5, learning_rate=0.03, batch=(1, 7), augment=augment),
        # As many steps as five iterations: two means of a loss want as many images for the one as for the other.
        cotrain=Training(epochs=3, learning_rate=0.03, batch=(4, 4), augment=augment),
        retrain=Training(epochs=4, learning_rate=0.05, batch=(4, 4), augment=augment),
        oracle=Training(epochs=16, learning_rate=0.05, batch=(8, 0), augment=augment),
        # Far below the paper's 3 to 5, with which this small network loses objects to the background (docs/log.md).
        weight=Weight(gamma1=0.5, gamma2=0.5),
    )


def camvid() -> Config:
    """CamVid at 144 x 192 with a small network from nothing: what two CPU cores can do in a quarter of an hour."""
    # N = 28 and 1 epoch an iteration keep a trial at some minutes; for the exponents see `shapes`
    return _camvid("camvid", _SMALL, size=(144, 192), crop=(128, 160), n=28, epochs=1, gamma=1)


def camvid_full() -> Config:
    """CamVid at full size with a ResNet-50 encoder: for a GPU."""
    return _camvid("camvid-full", Model(encoder="resnet50"), size=(360, 480), crop=(320, 416), n=60, epochs=5, gamma=3)


def _camvid(
    name: str, model: Model, *, size: tuple[int, int], crop: tuple[int, int], n: int, epochs: int, gamma: float
) -> Config:
    augment = Augment(crop=crop)
    share = 1 / 8
    return Config(
        recipe=name,
        data=CamvidData(size=size),
        split=Split(labelled=share, selection="val"),
        model=model,
        # sqrt(1 / labelled share) x N epochs, N those of the oracle (DMT, Sec. 5.2.2)
        pretrain=Training(epochs=round(n / sqrt(share)), learning_rate=0.05, batch=(8, 0), augment=augment),
        finetune=Training(epochs=epochs, learning_rate=0.02, batch=(2, 6), augment=augment),
        online=Training(epochs=5 * epochs, learning_rate=0.02, batch=(2, 6), augment=augment),
        cotrain=Training(epochs=3 * epochs, learning_rate=0.02, batch=(4, 4), augment=augment),
        retrain=Training(epochs=4 * epochs, learning_rate=0.05, batch=(4, 4), augment=augment),
        oracle=Training(epochs=n, learning_rate=0.05, batch=(8, 0), augment=augment),
        weight=Weight(gamma1=gamma, gamma2=gamma),
        dms_alpha=0.8,
    )


# The authors' network. They start from COCO or ImageNet weights: give yours as model.weights_file.
_DEEPLAB = Model(architecture="DeepLabV2", encoder="resnet101", arguments={"aspp": "paper"})


def _authors(s: float) -> Split:
    return Split(labelled=1 / s, rule="authors", selection="valtiny")


# The 1,464 finely labelled images of VOC itself; those of SBD are the others (DMT, Sec. 5.3.2 and Table 6).
_FINE = Split(labelled=1464, rule="list", list="ImageSets/Segmentation/train.txt", selection="valtiny")


def _voc(name: str, *, split: Split, pretrain_epochs: int, epochs: int, dms_alpha: float) -> Callable[[], Config]:
    def recipe() -> Config:
        augment = Augment(crop=(321, 321))
        paper: dict[str, Any] = {"augment": augment, "keep": "paper", "score_every": 500}
        return Config(
            recipe=name,
            data=VocData(),
            split=split,
            model=_DEEPLAB,
            pretrain=Training(epochs=pretrain_epochs, learning_rate=2e-3, batch=(8, 0), **paper),
            finetune=Training(epochs=epochs, learning_rate=1e-3, batch=(1, 7), **paper),
            online=Training(epochs=20, learning_rate=1e-3, batch=(1, 7), **paper),
            oracle=Training(epochs=30, learning_rate=2e-3, batch=(8, 0), **paper),
            weight=Weight(gamma1=5, gamma2=5),
            dms_alpha=dms_alpha,
        )

    recipe.__doc__ = f"PASCAL VOC 2012, labelled {name.removeprefix('voc-')}, as in DMT, Table 1."
    return recipe


def _cityscapes(
    name: str, *, s: float, pretrain_epochs: int, epochs: int, batch: tuple[int, int], dms_alpha: float
) -> Callable[[], Config]:
    def recipe() -> Config:
        augment = Augment(crop=(256, 512))
        paper: dict[str, Any] = {"augment": augment, "keep": "paper", "score_every": 500, "learning_rate": 4e-3}
        return Config(
            recipe=name,
            data=CityscapesData(size=(512, 1024)),
            split=_authors(s),
            model=_DEEPLAB,
            pretrain=Training(epochs=pretrain_epochs, batch=(8, 0), **paper),
            finetune=Training(epochs=epochs, batch=batch, **paper),
            online=Training(epochs=20, batch=batch, **paper),
            oracle=Training(epochs=60, batch=(8, 0), **paper),
            weight=Weight(gamma1=3, gamma2=3),
            dms_alpha=dms_alpha,
        )

    recipe.__doc__ = f"Cityscapes at half size, labelled ratio {name.removeprefix('cityscapes-')}, as in DMT, Table 1."
    return recipe


def folder() -> Config:
    """Your own images and masks: set at least data.classes (docs/data.md)."""
    augment = Augment(crop=(256, 256))
    return Config(
        recipe="folder",
        data=FolderData(classes=("background", "object")),
        split=Split(labelled="1/8", selection=0.1),
        model=Model(encoder="resnet18"),
        pretrain=Training(epochs=85, learning_rate=0.01, batch=(8, 0), augment=augment),
        finetune=Training(epochs=5, learning_rate=0.005, batch=(2, 6), augment=augment),
        online=Training(epochs=20, learning_rate=0.005, batch=(2, 6), augment=augment),
        oracle=Training(epochs=30, learning_rate=0.01, batch=(8, 0), augment=augment),
        dms_alpha=0.8,
    )


# Pretraining epochs, s and alpha as the authors ran them; where two off-the-shelf weights differ, alpha is 1.
RECIPES: dict[str, Callable[[], Config]] = {
    "shapes": shapes,
    "camvid": camvid,
    "camvid-full": camvid_full,
    "folder": folder,
    "voc-1/106": _voc("voc-1/106", split=_authors(105.82), pretrain_epochs=300, epochs=4, dms_alpha=0.8),
    "voc-1/50": _voc("voc-1/50", split=_authors(50), pretrain_epochs=134, epochs=4, dms_alpha=0.8),
    "voc-1/20": _voc("voc-1/20", split=_authors(20), pretrain_epochs=134, epochs=4, dms_alpha=1.0),
    "voc-1/8": _voc("voc-1/8", split=_authors(8), pretrain_epochs=85, epochs=5, dms_alpha=1.0),
    "voc-1464": _voc("voc-1464", split=_FINE, pretrain_epochs=85, epochs=5, dms_alpha=1.0),
    "cityscapes-1/30": _cityscapes(
        "cityscapes-1/30", s=29.75, pretrain_epochs=327, epochs=8, batch=(1, 7), dms_alpha=0.8
    ),
    "cityscapes-1/8": _cityscapes("cityscapes-1/8", s=8, pretrain_epochs=170, epochs=10, batch=(2, 6), dms_alpha=1.0),
}


def load(recipe: str, changes: Sequence[str] = ()) -> Config:
    """The settings behind a recipe's name or a YAML file, with overrides.

    Args:
        recipe: A name in `RECIPES`, or the path of a YAML file whose key `recipe` names one and whose other keys
            override it.
        changes: Overrides such as "finetune.epochs=3"; values are read as YAML.

    Raises:
        ConfigError: If there is no such recipe or setting, or a value does not fit.
    """
    config = _load_file(Path(recipe)) if recipe.endswith((".yaml", ".yml")) else named(recipe)
    return override(config, dict(_parse(change) for change in changes))


def named(recipe: str) -> Config:
    """The settings of a recipe by its name."""
    if recipe not in RECIPES:
        raise ConfigError(f"there is no recipe {recipe!r}; {nearest(recipe, RECIPES)} A file must end in .yaml.")
    return RECIPES[recipe]()


def _load_file(path: Path) -> Config:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the recipe file {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(values, Mapping) or not isinstance(values.get("recipe"), str):
        raise ConfigError(f"{path} must hold settings and name the recipe it starts from, as in `recipe: camvid`")
    start = named(values["recipe"])
    changed = override(start, {name: value for name, value in values.items() if name != "recipe"})
    return changed.evolve(recipe=path.stem)


def _parse(change: str) -> tuple[str, Any]:
    name, separator, text = change.partition("=")
    if not separator or not name:
        raise ConfigError(f"an override reads setting=value, as in finetune.epochs=3, but got {change!r}")
    try:
        return name.strip(), yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"the value of {change!r} is not valid YAML") from None
