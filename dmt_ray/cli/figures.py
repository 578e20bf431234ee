"""Draw the figures of an ablation or a sweep from the records in its storage folder.

Every figure that the records allow is written; for the others it prints what is missing, and what computes it. The
figures `qualitative` and `confident` need predictions of stored models: --predict loads the models and caches their
predictions in the storage folder, below analysis/.
"""

import argparse
import sys
from pathlib import Path

from dmt_ray.cli.options import add_storage, guarded, help_with
from dmt_ray.experiments import ablation_file
from dmt_ray.experiments.locate import is_ablation, locate
from dmt_ray.report.figures.drawing import CAPTIONS, AblationFigures, of_sweep, save_all
from dmt_ray.report.figures.predictions import Predictor


def main() -> int:
    """Draw figures; returns the exit status: 0, also where some figures are left out."""
    options = _parser().parse_args()
    return guarded(lambda: _draw(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dmt_ray.report.figures",
        **help_with(__doc__ or "", "dmt figures components --predict --format pdf"),
    )
    parser.add_argument(
        "name",
        metavar="NAME|FOLDER",
        help="an ablation or a sweep: its question, such as components (of several the newest), its full name, or its "
        "folder",
    )
    add_storage(parser)
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where the files go (default: figures/<full name>/ in the storage)"
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="FIGURE", help=f"some figures: {', '.join(CAPTIONS)}")
    parser.add_argument(
        "--rows", nargs="+", default=[], metavar="ROW", help="rows of the pictures (default: the reference and DMT)"
    )
    parser.add_argument("--format", choices=("png", "pdf", "svg"), default="png", help="of the files (default: png)")
    parser.add_argument("--predict", action="store_true", help="load stored models where predictions are needed")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="folder of the data set, for --predict (default: as in the records)"
    )
    parser.add_argument("--device", default="auto", help="for --predict: auto, cpu, cuda, ... (default: auto)")
    return parser


def _draw(options: argparse.Namespace) -> None:
    folder = locate(options.storage, options.name)
    out = options.out or folder.parents[1] / "figures" / folder.name
    if is_ablation(folder):
        data = options.data or ablation_file.read(folder).data
        predictor = Predictor(folder.parents[1], data, options.device, computes=options.predict)
        figures = AblationFigures(folder, predictor, options.rows)
        drawings, incomplete = figures.drawings(), list(figures.incomplete())
    else:
        drawings, incomplete = of_sweep(folder), []
    for file, left_out in save_all(drawings, out, options.format, options.only):
        print(left_out or file, file=sys.stderr if left_out else sys.stdout)
    for line in incomplete:
        print(line, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
