"""Find sweeps and ablations by their names."""

from collections.abc import Sequence
from pathlib import Path

from dmt_ray.config import nearest
from dmt_ray.errors import MissingStages
from dmt_ray.experiments.experiment_file import FOLDERS, Kind, kind_of
from dmt_ray.plan.words import listed

OF_MANY: tuple[Kind, ...] = ("sweep", "ablation")  # members


def locate(storage: Path, name: str, recipe: str | None = None, kinds: Sequence[Kind] = OF_MANY) -> Path:
    """The folder of a sweep or an ablation, or of a run.

    Args:
        storage: Folder of the results.
        name: Its full name, or its folder; or the question (or another beginning of its name): then the one of these
            that was begun, or gone on with, last.
        recipe: Of several only those of this recipe.
        kinds: What is looked for.

    Raises:
        MissingStages: If there is none, with the nearest name, or the command that computes one.
    """
    if kind_of(Path(name)) is not None:
        return Path(name).absolute()
    known = {path.name: path for path in all_folders(storage, kinds)}
    if name in known:
        return known[name]
    begin = name if recipe is None else f"{name}-{recipe.replace('/', '-')}-"
    fitting = [path for one, path in known.items() if one.startswith(begin)]
    if not known:
        many = listed([f"{kind}s" for kind in kinds], "or")
        raise MissingStages(
            f"there are no {many} in {storage}. Pass the folder of the results as --storage, or compute one first, as "
            "with `dmt ablate components` or `dmt sweep gamma_sweep`"
        )
    if not fitting:
        raise MissingStages(f"there is no {listed(kinds, 'or')} {begin!r} in {storage}; {nearest(begin, known)}")
    return max(fitting, key=lambda folder: max(path.stat().st_mtime_ns for path in folder.iterdir()))


def all_folders(storage: Path, kinds: Sequence[Kind] = OF_MANY) -> list[Path]:
    """The folders of all sweeps and ablations, or of other kinds of experiment, by name."""
    folders = [path.absolute() for kind in kinds for path in (storage / FOLDERS[kind]).glob("*")]
    return sorted((folder for folder in folders if kind_of(folder) is not None), key=lambda folder: folder.name)


def is_ablation(folder: Path) -> bool:
    """Whether a folder belongs to an ablation."""
    return kind_of(folder) == "ablation"
