"""Find sweeps and ablations by their names."""

import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from dmt_ray.config.settings import close_to
from dmt_ray.errors import ConfigError, MissingStages
from dmt_ray.experiments.experiment_file import FOLDERS, Kind, kind_of
from dmt_ray.experiments.questions import Command, titles
from dmt_ray.plan.words import counted, listed

OF_MANY: tuple[Kind, ...] = ("sweep", "ablation")  # members
MOST_NAMES = 8  # of a storage folder that an error message lists
_SEEN_BY: dict[Kind, str] = {"sweep": "report", "ablation": "report", "run": "status"}
_COMPUTED_BY: dict[Kind, Command] = {"sweep": "sweep", "ablation": "ablate"}


def locate(storage: Path, name: str, recipe: str | None = None, kinds: Sequence[Kind] = OF_MANY) -> Path:
    """The folder of a sweep or an ablation, or of a run.

    Args:
        storage: Folder of the results.
        name: Its full name, or its folder; or the question (or another beginning of its name): then the one of these
            that was begun, or gone on with, last.
        recipe: Of several only those of this recipe.
        kinds: What is looked for.

    Raises:
        MissingStages: If there is none, with what may have been meant, what there is, or the command that computes one.
    """
    if kind_of(Path(name)) in kinds:
        return Path(name).absolute()
    known = {path.name: path for path in all_folders(storage, kinds)}
    if name in known:
        return known[name]
    begin = name if recipe is None else f"{name}-{recipe.replace('/', '-')}-"
    fitting = [path for one, path in known.items() if one.startswith(begin)]
    if not fitting:
        others = [kind for kind in FOLDERS if kind not in kinds]
        folders = [Path(name), *(path for path in all_folders(storage, others) if path.name.startswith(begin))]
        for folder in folders:
            if (kind := kind_of(folder)) is not None:
                seen = f"`dmt {_SEEN_BY[kind]}` shows it"
                raise MissingStages(f"{folder.name} is a {kind}, and this is for {_many(kinds)}; {seen}")
        raise MissingStages(what_to_do(storage, name, known, kinds, recipe))
    return max(fitting, key=lambda folder: max(path.stat().st_mtime_ns for path in folder.iterdir()))


def all_folders(storage: Path, kinds: Sequence[Kind] = OF_MANY) -> list[Path]:
    """The folders of all sweeps and ablations, or of other kinds of experiment, by name."""
    folders = [path.absolute() for kind in kinds for path in (storage / FOLDERS[kind]).glob("*")]
    return sorted((folder for folder in folders if kind_of(folder) is not None), key=lambda folder: folder.name)


def is_ablation(folder: Path) -> bool:
    """Whether a folder belongs to an ablation."""
    return kind_of(folder) == "ablation"


def what_to_do(
    storage: Path, name: str, known: Iterable[str], kinds: Sequence[Kind] = OF_MANY, recipe: str | None = None
) -> str:
    """The message for a name that nothing in a storage folder has.

    Args:
        storage: Folder of the results.
        name: What was given.
        known: The full names of what there is, of these kinds.
        kinds: What was looked for.
        recipe: The recipe that it should have.

    Returns:
        With the nearest name, or what there is; and the command that computes it, if it is one of our questions.
    """
    known, command = sorted(known), _command(storage, name, kinds, recipe)
    alike = [one for one in known if one.startswith(name)]  # of other recipes
    if not known:
        what = (
            f"there are no {_many(kinds, 'or')} in {storage}. Pass the folder of the results as --storage, or compute"
        )
        example = "`dmt run`" if "run" in kinds else "`dmt ablate components` or `dmt sweep gamma_sweep`"
        return f"{what} {f'one first, as with {example}' if command is None else f'it first: `{command}`'}"
    what = f"there is no {listed(kinds, 'or')} {name!r}{'' if recipe is None else f' with the recipe {recipe}'}"
    if not alike and (near := close_to(Path(name).name, _beginnings(known))):
        return f"{what} in {storage}; did you mean {near[0]!r}?"
    first, others = (alike or known)[:MOST_NAMES], len(alike or known) - MOST_NAMES
    holds = listed([*first, counted(others, "other")] if others > 0 else first)
    compute = "" if command is None else f". Run `{command}` to compute it"
    return f"{what} in {storage}, which holds {holds}{compute}"


def _many(kinds: Sequence[Kind], last: str = "and") -> str:
    return listed([f"{kind}s" for kind in kinds], last)


def _beginnings(names: Iterable[str]) -> Iterator[str]:
    """Each name, and its beginnings that leave out the digest, and the recipe: `locate` takes all of them."""
    for name in names:
        parts = name.split("-")
        yield from ("-".join(parts[:count]) for count in range(1, len(parts) + 1))


def _command(storage: Path, name: str, kinds: Sequence[Kind], recipe: str | None) -> str | None:
    """The command that computes what a name asks for; None: it begins with none of our questions."""
    for kind, command in _COMPUTED_BY.items():
        try:
            ours = titles(command) if kind in kinds else {}
        except ConfigError:  # an installation without them
            continue
        for question in ours:
            if name == question or name.startswith(f"{question}-"):
                of_recipe = [] if recipe is None else ["--recipe", recipe]
                return shlex.join(["dmt", command, question, *of_recipe, "--storage", str(storage)])
    return None
