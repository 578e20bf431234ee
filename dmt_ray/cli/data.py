"""`dmt data`: look at a folder of images, and check, show and download data sets."""

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from dmt_ray.cli.options import begin, warn
from dmt_ray.experiments.commands import runnable

if TYPE_CHECKING:
    from dmt_ray.data import Dataset


def init_data(options: argparse.Namespace) -> None:
    """Write a recipe for a folder of images, and say what was found in it and how to go on."""
    folder: Path = options.folder
    begin(f"looking at {folder}")
    from dmt_ray.api.own_data import Machine, propose, write_recipe
    from dmt_ray.errors import ConfigError

    file = options.out or Path(f"{folder.resolve().name}.yaml")
    if file.exists():
        raise ConfigError(f"{file} exists; choose another file as --out, or delete it")
    proposal = propose(folder, Machine.here())
    config = write_recipe(proposal, file, folder)
    print(f"{folder}:")
    for line in proposal.findings:
        print(f"  {line}")
    for line in proposal.doubts:
        warn(line)
    print(f"\nwrote {file}; read its comments, then:")
    steps = {"look at images and masks": "dmt data show", "time it takes": "dmt plan", "train": "dmt run"}
    given = shlex.join(["--recipe", str(file), "--data", str(folder)])
    for why, command in steps.items():
        print(runnable(f"  {command} {given}   # {why}"))
    predict = shlex.join(["dmt", "predict", str(folder), "--model", f"dmt-{config.recipe}"])
    print(runnable(f"  {predict}   # afterwards: overlays of these or any other pictures"))


def check_data(options: argparse.Namespace) -> None:
    """Open a data set, which checks it, and describe it."""
    _described(options)


def _described(options: argparse.Namespace) -> "Dataset":
    """The data set of some options, which is checked and described, with what of the recipe does not fit it."""
    begin(f"reading the data set of {options.recipe}")
    from dmt_ray.data import open_dataset, refuse_folder
    from dmt_ray.data.report import report
    from dmt_ray.execution.training_checks import too_large_crops
    from dmt_ray.recipes import load

    config = load(options.recipe, options.changes)
    refuse_folder(config.data, options.data)
    dataset = open_dataset(config.data, options.data, options.storage / "data")
    print(report(dataset, too_large_crops(config.trainings().values(), dataset)))
    return dataset


def show_data(options: argparse.Namespace) -> None:
    """Open a data set, and draw some of its images with their masks over them."""
    from dmt_ray.errors import ConfigError

    file = options.out or Path(f"{Path(options.recipe).stem}-images.png")
    if file.suffix not in (".png", ".pdf", ".svg"):
        raise ConfigError(f"--out must be a file that ends in .png, .pdf or .svg, but got {file}")
    dataset = _described(options)
    from dmt_ray.report.figures.kit import save
    from dmt_ray.report.figures.sheet import sheet

    file.parent.mkdir(parents=True, exist_ok=True)
    print(f"\nwrote {save(sheet(dataset), file)}")


def download_data(options: argparse.Namespace) -> None:
    """Download a data set, and say where it is."""
    from dmt_ray.data.download import download
    from dmt_ray.recipes import load

    place = download(load(options.recipe, options.changes).data, options.data)
    check = shlex.join(["dmt", "data", "check", "--recipe", options.recipe, "--data", str(options.data)])
    print(f"downloaded to {place}; check it with: {runnable(check)}")
