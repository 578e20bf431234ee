"""`dmt data`: check and download data sets."""

import argparse
import shlex

from dmt_ray.cli.options import begin
from dmt_ray.experiments.commands import runnable


def check_data(options: argparse.Namespace) -> None:
    """Open a data set, which checks it, and describe it."""
    begin(f"reading the data set of {options.recipe}")
    from dmt_ray.data import open_dataset, refuse_folder
    from dmt_ray.data.report import report
    from dmt_ray.recipes import load

    config = load(options.recipe, options.changes)
    refuse_folder(config.data, options.data)
    print(report(open_dataset(config.data, options.data, options.storage / "data")))


def download_data(options: argparse.Namespace) -> None:
    """Download a data set, and say where it is."""
    from dmt_ray.data.download import download
    from dmt_ray.recipes import load

    place = download(load(options.recipe, options.changes).data, options.data)
    check = shlex.join(["dmt", "data", "check", "--recipe", options.recipe, "--data", str(options.data)])
    print(f"downloaded to {place}; check it with: {runnable(check)}")
