"""`dmt evaluate`: how good a trained model is on any data set."""

import argparse
import os
from pathlib import Path

from dmt_ray.cli.exit_codes import ExitCode
from dmt_ray.cli.options import absolute_files, begin, ignored
from dmt_ray.plan.words import counted


def evaluate(options: argparse.Namespace) -> int:
    """Score a model on the test images of a recipe's data set."""
    from dmt_ray.recipes import load

    absolute_files(options)
    config = load(options.recipe, options.changes)
    begin(f"loading {options.what}")
    from rich.console import Console

    from dmt_ray.api import evaluating
    from dmt_ray.api.trained import find_model, tiling_of
    from dmt_ray.data import refuse_folder
    from dmt_ray.execution.runner import Machine, device_check
    from dmt_ray.plan.measures import MEASURES, headline, measure_in

    device_check(options.device)
    refuse_folder(config.data, options.data)
    model = find_model(options.what, options.storage, options.tracking_uri)
    tiling = None
    if model.info.task == "classification":
        ignored("is for models of segmentation", options, tile="--tile", flip="--flip")
    if model.info.task == "segmentation":
        tiling = tiling_of(model, options.tile, options.overlap, options.flip, options.scales)
    data = None if options.data is None else Path(os.path.abspath(options.data))
    machine = Machine(options.storage, data, options.device)
    result = evaluating.evaluate(model, config, machine, tiling, Console(stderr=True))
    scores, name = result.scores, MEASURES[measure_in(result.scores)]
    found = ", found in the store" if result.stored else ""
    images = f"{counted(scores['images'], 'image')} of {scores['subset']} of {config.data.name}"
    print(f"{name} {headline(scores):.4f} of {model.name} on {images} ({result.key}{found})")
    if name == MEASURES["miou"]:
        width = max(map(len, result.classes))
        for label, iou in zip(result.classes, scores["iou"], strict=True):
            print(f"  {label:<{width}}  {'absent' if iou is None else f'{iou:.4f}'}")
    return ExitCode.DONE
