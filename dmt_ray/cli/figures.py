"""Draw the figures of an ablation or a sweep from the records in its storage folder.

Every figure that the records allow is written; of the others it is said what is missing, and what computes it. The
figures `qualitative` and `surest` need what stored models say of images: --predict loads the models and keeps what they
say in the storage folder, below analysis/.
"""

import argparse
import sys
from pathlib import Path

from dmt_ray.cli.options import add_storage, guarded, help_with
from dmt_ray.config import nearest
from dmt_ray.errors import ConfigError, UserError
from dmt_ray.experiments import ablation_file
from dmt_ray.experiments.locate import is_ablation, locate
from dmt_ray.report.figures.drawing import OF_ABLATIONS, OF_SWEEPS, AblationFigures, Drawing, of_sweep
from dmt_ray.report.figures.look import save
from dmt_ray.report.figures.predictions import Predictor

NAMES = tuple(dict.fromkeys((*OF_ABLATIONS, *OF_SWEEPS)))


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
    parser.add_argument("--only", nargs="+", default=[], metavar="FIGURE", help=f"some figures: {', '.join(NAMES)}")
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


def _draw(options: argparse.Namespace) -> int:
    for name in options.only:
        if name not in NAMES:
            raise ConfigError(f"there is no figure {name!r}; {nearest(name, NAMES)}")
    folder = locate(options.storage, options.name)
    out = options.out or folder.parents[1] / "figures" / folder.name
    if not is_ablation(folder):
        _write(list(of_sweep(folder)), out, options, [])
        return 0
    data = options.data or ablation_file.read(folder).data
    predictor = Predictor(folder.parents[1], data, options.device, computes=options.predict)
    one = AblationFigures(folder, predictor, options.rows)
    several = len(one.ablation.columns) > 1
    left = [
        f"{row}{f', {column}' if several else ''}: {count} of {len(one.ablation.seeds)} seeds are not complete; "
        f"compute them with  {command}"
        for row, column, count, command in one.incomplete()
    ]
    _write(list(one.drawings()), out, options, left)
    return 0


def _write(drawings: list[Drawing], out: Path, options: argparse.Namespace, left: list[str]) -> None:
    asked = [
        (name, draw)
        for name, draw in drawings
        if not options.only or any(name == one or name.startswith(f"{one}-") for one in options.only)
    ]
    for name, draw in asked:
        try:
            print(save(draw(), out / f"{name}.{options.format}"))
        except UserError as error:
            print(f"left out: {name}: {error}", file=sys.stderr)
    for line in left:
        print(line, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
