"""`dmt model`: export a trained model, or put it into MLflow's registry."""

import argparse
import os
from pathlib import Path

from dmt_ray.cli.exit_codes import ExitCode
from dmt_ray.cli.options import begin


def export_model(options: argparse.Namespace) -> int:
    """Write a model's folder, and graphs into it."""
    begin(f"loading {options.what}")
    from dmt_ray.api.exporting import export
    from dmt_ray.api.trained import find_model
    from dmt_ray.results.names import file

    model = find_model(options.what, options.storage, options.tracking_uri).of_side(options.side)
    out = Path(os.path.abspath(options.out or f"{file(model.name)}-model"))
    formats = [name for name in dict.fromkeys(options.to) if name != "folder"]
    for graph in export(model, out, formats):
        print(graph)
    print(f"{model.name} ({model.info.network}): {out}")
    return ExitCode.DONE


def register_model(options: argparse.Namespace) -> int:
    """Put a model into the registry."""
    begin(f"loading {options.what}")
    from dmt_ray.api.exporting import register
    from dmt_ray.api.trained import find_model
    from dmt_ray.tracking.registry import check_names

    check_names(options.name, options.alias)
    model = find_model(options.what, options.storage, options.tracking_uri).of_side(options.side)
    version, new = register(model, options.name, options.alias, options.tracking_uri, options.storage)
    known = "" if new else ", which was registered before"
    print(f"models:/{options.name}/{version} is {model.name}{known}")
    if options.alias:
        print(f"models:/{options.name}@{options.alias} leads to it")
    return ExitCode.DONE
