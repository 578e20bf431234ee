"""`dmt suggest`: which unlabelled pictures people should label next."""

import argparse
import os
from pathlib import Path

from dmt_ray.cli.exit_codes import ExitCode
from dmt_ray.cli.options import begin
from dmt_ray.plan.words import counted


def suggest(options: argparse.Namespace) -> int:
    """Choose pictures, and write them with drafts of their masks."""
    begin(f"loading {options.model}")
    from rich.console import Console

    from dmt_ray.api import suggesting

    out = Path(os.path.abspath(options.out or "suggested"))
    where = (out, options.storage, options.data, options.device, options.seed)
    request = suggesting.Request(options.model, options.count, options.by, *where)
    made = suggesting.suggest(request, Console(stderr=True))
    print(f"{len(made.ids):,} of {counted(made.unlabelled, 'unlabelled picture')}, by {options.by}: {out}")
    for id, value in zip(made.ids, made.values, strict=True):
        print(f"  {value:.3f}  {id}")
    if not made.settings:
        print("This data set lies in no folder, so it cannot be given a list of labelled pictures.")
        return ExitCode.DONE
    if made.outside is not None:
        print(f"Lists lie below the data set's folder: move {out.name} to {made.outside} first.")
    drafts = any(setting.startswith("data.corrected") for setting in made.settings)
    first = f"Correct the drafts in {suggesting.MASKS}/" if drafts else "The data set has masks for all of these"
    print(f"{first}; run the method again with these settings:")
    print("  " + " ".join(f"--set '{setting}'" for setting in made.settings))
    return ExitCode.DONE
