"""`dmt data init`: a recipe for a folder of someone's own images, with the reason of each choice beside it."""

from pathlib import Path

from dmt_ray.api.own_data.classification import for_classes
from dmt_ray.api.own_data.proposal import Machine, Proposal
from dmt_ray.api.own_data.segmentation import for_masks
from dmt_ray.config import Config
from dmt_ray.data.check import Problems
from dmt_ray.data.pictures import Unfit
from dmt_ray.data.source import DataSource
from dmt_ray.data.survey import layout_of, look_at_masks, look_at_pictures
from dmt_ray.errors import ConfigError, DataError
from dmt_ray.files import write_text
from dmt_ray.recipes import load

__all__ = ["Machine", "Proposal", "propose", "write_recipe"]


def propose(folder: Path, machine: Machine) -> Proposal:
    """Look at a folder of images, and write a recipe for it; nothing is written to disk.

    Raises:
        DataError: If there is too little, or what is there cannot be told apart; with what to do.
    """
    layout = layout_of(folder)
    pictures = look_at_pictures(layout.images)
    if not pictures.sizes:
        raise DataError(f"no image in {folder} can be read: {next(iter(pictures.unusable.items()))}")
    if layout.task == "classification":
        return for_classes(folder, layout, pictures, machine)
    try:
        masks = look_at_masks([path for paths in layout.masks for path in paths], folder)
    except Unfit as unfit:
        raise DataError(f"the masks in {folder} cannot be used: {': '.join(unfit.args)}") from None
    return for_masks(folder, layout, pictures, masks, machine)


def write_recipe(proposal: Proposal, file: Path, folder: Path) -> Config:
    """Write the recipe, and check that it is one and finds the images.

    Raises:
        ConfigError: If the file exists, or has another ending than .yaml.
        DataError: If the images are not found by it.
    """
    if file.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"a recipe is a file that ends in .yaml, but got {file}")
    if file.exists():
        raise ConfigError(f"{file} exists; choose another file as --out, or delete it")
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, proposal.text)
    config = load(str(file))
    assert isinstance(config.data, DataSource)
    problems = Problems()
    config.data.content(folder.absolute(), problems)
    if problems:
        raise DataError(f"{problems.error(config.data.name, folder)}\n{file} was written; correct it, or the folder")
    return config
