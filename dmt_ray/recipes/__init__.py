"""Named settings of the papers and of our data. A user's YAML file starts from one of them and overrides it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from dmt_ray.config import Config, from_stored, nearest, override
from dmt_ray.errors import ConfigError
from dmt_ray.recipes.classification import cifar10, cifar10_small, digits
from dmt_ray.recipes.other_papers import pets, rml_cityscapes, rwms_voc, unimatch_v2_voc_92, unimatch_voc_92
from dmt_ray.recipes.plain_yaml import parse
from dmt_ray.recipes.segmentation import (
    FINE,
    authors,
    beside_lite1,
    camvid,
    camvid_full,
    cityscapes,
    folder,
    lite0,
    shapes,
    voc,
    voc_animals,
)

__all__ = ["RECIPES", "load", "named"]

# Pretraining epochs, s and alpha as the authors ran them; where two off-the-shelf weights differ, alpha is 1.
_ANIMALS = lite0(
    "voc-animals-lite0",
    {"name": "voc", "size": (128, 128)},
    title="The animals of PASCAL VOC at 128 x 128, EfficientNet-Lite0",
    share=1 / 8,  # 162 images
    selection=0.1,
    pretrain_epochs=25,
    epochs=1,
    scored=("background", "cat", "cow", "dog", "horse", "person", "sheep"),  # all others hardly occur
)
_CAMVID = lite0(
    "camvid-lite0",
    {"name": "camvid", "size": (144, 192)},
    title="CamVid at 144 x 192, EfficientNet-Lite0",
    share=1 / 8,  # 46 images
    selection="val",
    pretrain_epochs=84,
    epochs=4,
)
RECIPES: dict[str, Callable[[], Config]] = {
    "shapes": shapes,
    "camvid": camvid,
    "camvid-full": camvid_full,
    "voc-animals": voc_animals,
    "voc-animals-lite0": _ANIMALS,
    "voc-animals-lite0-lite1": beside_lite1(_ANIMALS),
    "camvid-lite0": _CAMVID,
    "camvid-lite0-lite1": beside_lite1(_CAMVID),
    "folder": folder,
    "voc-1/106": voc("voc-1/106", split=authors(105.82), pretrain_epochs=300, scored=100, epochs=4, dms_alpha=0.8),
    "voc-1/50": voc("voc-1/50", split=authors(50), pretrain_epochs=134, scored=220, epochs=4, dms_alpha=0.8),
    "voc-1/20": voc("voc-1/20", split=authors(20), pretrain_epochs=134, scored=220, epochs=4, dms_alpha=1.0),
    "voc-1/8": voc("voc-1/8", split=authors(8), pretrain_epochs=85, scored=350, epochs=5, dms_alpha=1.0),
    "voc-1464": voc("voc-1464", split=FINE, pretrain_epochs=85, scored=350, epochs=5, dms_alpha=1.0),
    "cityscapes-1/30": cityscapes(
        "cityscapes-1/30", s=29.75, pretrain_epochs=327, epochs=8, batch=(1, 7), dms_alpha=0.8
    ),
    "cityscapes-1/8": cityscapes("cityscapes-1/8", s=8, pretrain_epochs=170, epochs=10, batch=(2, 6), dms_alpha=1.0),
    "digits": digits,
    "cifar10-small": cifar10_small,
    "cifar10-4000": cifar10("cifar10-4000", labelled=4000, batch=(64, 448)),
    "cifar10-1000": cifar10("cifar10-1000", labelled=1000, batch=(16, 496)),
    "pets": pets,
    "rwms-voc-1/16": rwms_voc("rwms-voc-1/16"),
    "rwms-voc-1/8": rwms_voc("rwms-voc-1/8"),
    "rwms-voc-1/4": rwms_voc("rwms-voc-1/4"),
    "rml-cityscapes-1/8": rml_cityscapes,
    "unimatch-voc-92": unimatch_voc_92,
    "unimatch-v2-voc-92": unimatch_v2_voc_92,
}
"""Name -> a function that gives the recipe's settings."""


def load(
    recipe: str, changes: Sequence[str] = (), apply: Callable[[Config, Mapping[str, Any]], Config] = override
) -> Config:
    """The settings behind a recipe's name or a YAML file, with overrides.

    Args:
        recipe: A name in `RECIPES`, or the path of a YAML file whose key `recipe` names one and whose other keys
            override it; or of a file that holds all settings, as the config.yaml of a run does.
        changes: Overrides such as "finetune.epochs=3"; values are read as YAML.
        apply: Applies them; `methods.configure` does it for one method.

    Raises:
        ConfigError: If there is no such recipe or setting, or a value does not fit.
    """
    config = _load_file(Path(recipe)) if recipe.endswith((".yaml", ".yml")) else named(recipe)
    return apply(config, dict(_parse(change) for change in changes))


def named(recipe: str) -> Config:
    """The settings of a recipe by its name."""
    if recipe not in RECIPES:
        near = nearest(recipe, RECIPES)
        own = "A file starts from one of these" if recipe.endswith((".yaml", ".yml")) else "A file must end in .yaml"
        raise ConfigError(f"there is no recipe {recipe!r}; {near}{'' if near.endswith('?') else '.'} {own}.")
    return RECIPES[recipe]()


def _load_file(path: Path) -> Config:
    try:
        values = parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the recipe file {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    if not isinstance(values, Mapping) or not isinstance(values.get("recipe"), str):
        raise ConfigError(f"{path} must hold settings and name the recipe it starts from, as in `recipe: camvid`")
    try:
        if values["recipe"] not in RECIPES and _is_whole(values):  # of a run whose recipe was a file of its user
            return from_stored(values)
        start = named(values["recipe"])
        changed = override(start, {name: value for name, value in values.items() if name != "recipe"})
        return changed.evolve(recipe=path.stem)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _is_whole(values: Mapping[str, Any]) -> bool:
    """Whether settings need no recipe to start from, because all that lack a default are given."""
    needed = {name for name, field in Config.model_fields.items() if field.is_required()}
    return needed <= values.keys() and isinstance(values.get("weight"), Mapping)


def _parse(change: str) -> tuple[str, Any]:
    name, separator, text = change.partition("=")
    if not separator or not name:
        raise ConfigError(f"an override reads setting=value, as in finetune.epochs=3, but got {change!r}")
    try:
        return name.strip(), parse(text)
    except yaml.YAMLError:
        raise ConfigError(f"the value of {change!r} is not valid YAML") from None
    except ConfigError as error:
        raise ConfigError(f"{name.strip()}: {error}") from None
