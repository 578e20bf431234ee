"""Every option of every command line: what it takes, what it means, and what it is where it is not given."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Version(argparse.Action):
    """Prints the versions of what is installed, without importing it, and exits."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Print them, a line each."""
        from dmt_ray.store.provenance import versions

        for name, version in sorted(versions().items(), key=lambda item: item[0] != "dmt-ray"):
            print(f"{name:<28}{version}")
        parser.exit()


STORAGE = Path("runs")
SAMPLERS = ("grid", "random", "tpe", "gp")
PRUNERS = ("median", "wilcoxon", "none")
GRID = 5  # values of a range, where a grid is requested without a number

_WHAT = (
    "a run; a sweep, for its best trial; ABLATION:ROW; the folder or key of a stage that trained a model; an exported "
    "folder; or a model in MLflow: models:/NAME@ALIAS, models:/NAME/VERSION, runs:/RUN_ID"
)

OPTIONS: Mapping[str, dict[str, Any]] = {
    # what is computed
    "--recipe": {"default": "shapes", "metavar": "NAME", "help": "recipe name or YAML file (default: %(default)s)"},
    "--set": {
        "action": "append",
        "default": [],
        "dest": "changes",
        "metavar": "SETTING=VALUE",
        "help": "override a setting of the recipe, such as finetune.epochs=3; can be repeated",
    },
    "--method": {
        "default": "dmt",
        "metavar": "NAME",
        "help": "method to run, see `dmt methods` (default: %(default)s)",
    },
    "--seed": {"type": int, "default": 0, "help": "random seed, 0 or larger (default: 0)"},
    "--seeds": {"type": int, "nargs": "+", "metavar": "SEED"},
    "--dry-run": {"action": "store_true", "help": "show what would be computed and what it would cost, then stop"},
    # where it is
    "--storage": {"type": Path, "default": STORAGE, "metavar": "DIR", "help": "folder for the results (default: runs)"},
    "--data": {
        "type": Path,
        "metavar": "DIR",
        "help": "folder of the data set (default: looked up in $DMT_DATA)",
    },
    "--shared-store": {
        "dest": "shared",
        "metavar": "URL",
        "help": "URL of an object store through which machines share stages, such as s3://bucket/prefix; each machine "
        "then has a storage folder of its own (default: all machines see the same storage folder)",
    },
    "--tracking-uri": {"metavar": "URI", "help": "MLflow tracking URI (default: mlflow.db in the storage folder)"},
    "--out": {"type": Path, "metavar": "PATH"},
    # who performs it
    "--device": {"default": "auto", "help": "auto, cpu, cuda, cuda:1, ... (default: auto)"},
    "--threads": {
        "type": int,
        "help": "CPU threads for a single worker (default: all cores)",
    },
    "--address": {
        "metavar": "ADDRESS",
        "help": "auto: the Ray cluster running on this machine; host:port: the cluster at that address; all its nodes "
        "must see the storage and data folders under the same paths (default: start a local Ray)",
    },
    "--max-concurrent": {"type": int, "dest": "concurrent", "metavar": "N"},
    "--workers": {
        "type": int,
        "default": 1,
        "metavar": "N",
        "help": "workers that train one plan together with Ray Train: half of them train model A, half model B, "
        "data-parallel within each half; results do not depend on this number (default: 1)",
    },
    "--shared-workers": {
        "type": int,
        "metavar": "N",
        "help": "workers that together perform the stages that all trials share, while no trial can begin; results do "
        "not depend on this number beyond rounding (default: as --workers)",
    },
    "--gpus-per-worker": {
        "type": float,
        "dest": "gpus",
        "metavar": "X",
        "help": "GPUs per worker; 0: run on the CPU; 0.25: four workers share a GPU (default: 1 if there are GPUs)",
    },
    "--cpus-per-worker": {
        "type": int,
        "default": 1,
        "dest": "cpus",
        "metavar": "N",
        "help": "CPUs, and threads, per worker (default: 1)",
    },
    "--compile": {
        "action": "store_true",
        "dest": "compiled",
        "help": "compile networks with torch.compile: slower to start, faster afterwards",
    },
    "--eval-batch": {
        "type": int,
        "metavar": "N",
        "help": "images per forward pass when labelling and scoring: fewer need less memory; results do not depend on "
        "this number beyond rounding (default: 16)",
    },
    "--deterministic": {
        "action": "store_true",
        "help": "on a GPU, allow only deterministic algorithms, at the cost of speed",
    },
    "--stall-limit": {
        "type": float,
        "default": 1800.0,
        "dest": "stall_seconds",
        "metavar": "SECONDS",
        "help": "replace a worker that has made no progress for this long (default: 1800)",
    },
    # how a search goes
    "--trials": {"type": int, "metavar": "N", "help": "total number of trials, including those of earlier starts"},
    "--sampler": {"choices": SAMPLERS, "help": "how points are proposed; grid: try every point of a grid"},
    "--grid": {
        "type": int,
        "metavar": "G",
        "help": f"try a grid: G values per range, and all choices (default with --sampler grid: {GRID})",
    },
    "--pruner": {
        "choices": PRUNERS,
        "help": "median: stop a trial after a rung at which it scores below the median of the others; wilcoxon: run "
        "seed by seed, and stop a trial that keeps losing to the best one; grids and searches with two objectives are "
        "never pruned (default: median)",
    },
    "--second": {
        "choices": ("compute",),
        "help": "add a second objective: as few optimizer steps as possible, summed over the models",
    },
    "--confirm": {
        "type": int,
        "nargs": "+",
        "default": [],
        "metavar": "SEED",
        "help": "after the search, rerun its best trial and the recipe itself on these fresh seeds, and compare them",
    },
    "--fresh": {
        "action": "store_true",
        "help": "keep the old study under another name and start a new one; stages are still reused",
    },
    "--hours": {
        "type": float,
        "metavar": "H",
        "help": "stop after so many hours of work, of all starts together; trials that run go no further than their "
        "current stage, and a larger number continues them; what --confirm runs is not counted and not stopped",
    },
    "--device-hours": {
        "type": float,
        "metavar": "H",
        "help": "stop after so many hours of all devices together, counted over the stages that were computed for the "
        "trials, of all starts; what --confirm runs is not counted",
    },
    "--stop-when-flat": {
        "type": int,
        "metavar": "N",
        "help": "begin no further trial once N in a row have gained nothing beyond the noise, which is measured on the "
        "trials' seeds: needs two --seeds or more",
    },
    "--limit": {
        "metavar": "compute=STEPS",
        "help": "try only points whose plan takes no more optimizer steps, summed over the models, for each seed; "
        "known points beyond it are left out, too, and others drawn in their place",
    },
    "--warm-start": {
        "action": "store_true",
        "help": "try the best points of earlier searches of the same space in the storage folder first",
    },
    "--until-decided": {
        "action": "store_true",
        "help": "add seeds at looks that are fixed beforehand, and only where the interval to the reference still "
        "contains 0; of tables without any difference one in twenty decides something",
    },
    "--looks": {
        "type": int,
        "nargs": "+",
        "metavar": "N",
        "help": "numbers of seeds after which --until-decided looks (default: 3 5 8 12)",
    },
    # what of the results
    "--networks": {
        "nargs": "+",
        "metavar": "NETWORK",
        "help": "networks whose pairs to try, such as lite0 or FPN/resnet18 (default: the recipe's and another one)",
    },
    "--rows": {"nargs": "+", "metavar": "ROW", "help": "run only these rows and the reference (default: all)"},
    "--reference": {"metavar": "ROW", "help": "row to compare the others with"},
    "--per-class": {
        "action": "store_true",
        "help": "also show the IoU (in classification, the accuracy) of every class",
    },
    "--metrics": {
        "nargs": "+",
        "default": [],
        "metavar": "METRIC",
        "help": "further metrics with their paired differences: all, or some of pixel_accuracy, dice, "
        "frequency_weighted_iou, boundary_iou, ece, brier, nll",
    },
    "--metric": {
        "metavar": "METRIC",
        "help": "draw scores by another metric than mIoU or accuracy, such as dice, boundary_iou or ece",
    },
    "--records": {
        "type": Path,
        "metavar": "FILE",
        "help": "read the records from a Parquet export instead of the storage folder",
    },
    "--only": {"nargs": "+", "default": [], "metavar": "FIGURE", "help": "draw only these figures"},
    "--format": {"choices": ("png", "pdf", "svg"), "default": "png", "help": "file format (default: png)"},
    "--predict": {
        "action": "store_true",
        "help": "load stored models to compute the predictions that some figures need",
    },
    "--json": {
        "action": "store_true",
        "help": "print one JSON document, and nothing else, to standard output",
    },
    # of predictions
    "--model": {
        "required": True,
        "metavar": "WHAT",
        "help": _WHAT,
    },
    "--save": {
        "nargs": "+",
        "choices": ("class", "overlay", "confidence", "entropy", "disagreement"),
        "default": ["class", "overlay"],
        "help": "files to write for each picture: class numbers as a PNG with the data set's colours, these colours "
        "over the picture, or a grey map of the confidence, the entropy, or the disagreement of models A and B "
        "(default: class overlay)",
    },
    "--tile": {"type": int, "metavar": "SIDE", "help": "side of a tile in pixels (default: the crops of the training)"},
    "--overlap": {
        "type": float,
        "default": 0.25,
        "metavar": "X",
        "help": "smallest overlap of neighbouring tiles, as a fraction of a tile (default: 0.25)",
    },
    "--flip": {"action": "store_true", "help": "average over each tile and its mirror image; takes twice as long"},
    "--scales": {
        "type": float,
        "nargs": "+",
        "default": [1.0],
        "metavar": "X",
        "help": "average over each tile resized by these factors, such as 0.75 1 1.25 (default: 1)",
    },
    "--masks": {
        "type": Path,
        "metavar": "DIR",
        "help": "folder of true masks with the pictures' names (PNG, class numbers, 255: unknown); prints the mIoU",
    },
    # of suggestions
    "--count": {"type": int, "default": 20, "metavar": "N", "help": "number of pictures (default: 20)"},
    "--by": {
        "choices": ("disagreement", "entropy", "random"),
        "default": "disagreement",
        "help": "disagreement: where models A and B disagree most; entropy: where their mean is least certain; both "
        "take pictures that differ from each other; random: drawn by --seed, for comparison (default: disagreement)",
    },
    # of models
    "--to": {
        "nargs": "+",
        "choices": ("folder", "onnx", "pt2"),
        "default": ["folder"],
        "help": "graphs to write into the folder beside the weights: onnx, or pt2 of torch.export; each is compared "
        "with the network (default: folder, none)",
    },
    "--side": {"choices": ("A", "B"), "help": "model A or B (default: the better one on the validation images)"},
    "--name": {"required": True, "metavar": "NAME", "help": "name of the registered model; made where it is new"},
    "--alias": {"default": "", "metavar": "ALIAS", "help": "alias that then leads to this version, such as champion"},
    # of one command alone
    "--budget": {"required": True, "metavar": "SIZE", "help": "maximum size of the store, such as 500MB or 10GB"},
    "--share": {
        "default": "100%",
        "metavar": "PERCENT",
        "help": "read only this share of the stages, those that were read longest ago (default: 100%%)",
    },
    "--host": {"default": "127.0.0.1", "help": "address to listen on (default: 127.0.0.1)"},
    "--port": {"type": int, "default": 5000, "help": "port to listen on (default: 5000)"},
    "--version": {
        "action": Version,
        "nargs": 0,
        "help": "print the versions of dmt_ray and its main dependencies, and exit",
    },
    "table": {
        "metavar": "TABLE",
        "help": "ablation, sweep or run: full name, the beginning of it, or folder; or a bundle (.tar.xz)",
    },
    # what has no dashes
    "name": {"metavar": "NAME", "help": "sweep or ablation: full name, the beginning of it, or folder"},
    "first": {
        "metavar": "A",
        "help": "a run; ABLATION:ROW, or ABLATION:ROW:COLUMN; a sweep, for its best trial, or SWEEP:NUMBER; or the key "
        "or folder of a stage",
    },
    "second": {"metavar": "B", "help": "what to compare it with; differences are B minus A"},
    "method": {"nargs": "?", "metavar": "METHOD", "help": "a method (default: list all of them)"},
    "recipe": {"nargs": "?", "metavar": "RECIPE", "help": "recipe name or YAML file (default: list the recipes)"},
    "folder": {"type": Path, "metavar": "FOLDER", "help": "folder of pictures; folders in it are read, too"},
    "what": {"metavar": "WHAT", "help": _WHAT},
    "shell": {"choices": ("bash", "zsh", "fish"), "help": "the shell"},
}
OF_EXPERIMENTS = (
    *("--recipe", "--set", "--seeds", "--storage", "--data", "--shared-store", "--tracking-uri", "--address"),
    *("--max-concurrent", "--workers", "--gpus-per-worker", "--cpus-per-worker", "--compile"),
    *("--eval-batch", "--deterministic", "--stall-limit", "--dry-run"),
)
"""What sweeps and ablations have in common."""
OF_SEARCHES = (
    *("--trials", "--sampler", "--grid", "--pruner", "--second", "--hours", "--device-hours", "--stop-when-flat"),
    *("--limit", "--warm-start", "--confirm", "--until-decided", "--looks", "--fresh", "--shared-workers"),
)
