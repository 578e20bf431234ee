"""`dmt predict`: what a trained model makes of a folder of pictures."""

import argparse
import os
import sys
from pathlib import Path

from dmt_ray.cli.exit_codes import ExitCode
from dmt_ray.cli.options import begin
from dmt_ray.plan.words import counted


def predict(options: argparse.Namespace) -> int:
    """Predict all pictures of a folder; status 1 if some could not be used."""
    begin(f"loading {options.model}")
    from rich.console import Console

    from dmt_ray.api.predicting import Job, predict_folder
    from dmt_ray.api.trained import find_model, tiling_of

    pictures = Path(os.path.abspath(options.folder))
    out = options.out or pictures.with_name(f"{pictures.name}-predictions")
    model = find_model(options.model, options.storage, options.tracking_uri)
    tiling = tiling_of(model, options.tile, options.overlap, options.flip, options.scales)
    job = Job(pictures, out, tuple(options.save), tiling, options.device, options.masks)
    summary = predict_folder(model, job, Console(stderr=True))
    before = f" ({summary.earlier} of them before)" if summary.earlier else ""
    print(f"{counted(summary.done, 'picture')}{before}: {out}")
    if summary.scores is not None:
        print(f"mIoU {summary.scores['miou']:.4f} on {counted(summary.scores['images'], 'picture')} with a mask")
    for name, reason in summary.broken.items():
        print(f"not used: {name}: {reason}", file=sys.stderr)
    return ExitCode.FAILED if summary.broken else ExitCode.DONE
