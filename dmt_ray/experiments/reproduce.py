"""The commands that reproduce part of an experiment, ready to be typed."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from dmt_ray.config import OPAQUE, Config
from dmt_ray.experiments.ablation import Member
from dmt_ray.experiments.experiment_file import ExperimentFile
from dmt_ray.experiments.sweep import Trial
from dmt_ray.methods import Method, configure
from dmt_ray.recipes import RECIPES, load, named


def changes_of(config: Config, method: Method) -> tuple[str, ...] | None:
    """The overrides that turn a recipe into these settings, as `--set` takes them; None if there is no such recipe."""
    if config.recipe not in RECIPES:
        return None
    own = _differences(named(config.recipe).model_dump(mode="json"), config.model_dump(mode="json"))
    # The rule comes first: it decides which numbers there are.
    changes = tuple(sorted(own, key=lambda change: not change.startswith("weight.rule=")))
    return changes if load(config.recipe, changes, partial(configure, method)) == config else None


def _differences(before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in after.items():
        was, dotted = before.get(name), f"{prefix}{name}"
        if value != was:
            if isinstance(value, Mapping) and isinstance(was, Mapping) and name not in OPAQUE:
                yield from _differences(was, value, f"{dotted}.")
            else:
                yield f"{dotted}={json.dumps(value)}"  # which is YAML, too


def of_trial(file: ExperimentFile, trial: Trial) -> str:
    """The command that performs a trial's plans again; what is in the store is not computed twice."""
    settings = file.sweep.settings(trial.params)
    changes = [*file.changes, *(f"{setting}={_text(value)}" for setting, value in settings.items())]
    return _run(file, file.recipe, file.sweep.method_of(trial.params), changes, file.sweep.seeds)


def of_member(file: ExperimentFile, member: Member) -> str:
    """The command that computes one number of an ablation's table again."""
    cell = member.cell
    return _run(file, cell.recipe, cell.method, cell.changes, [member.seed])


def again(file: ExperimentFile) -> str:
    """The command that resumes an experiment from any folder: the one that started it, with absolute paths.

    It is empty if the records do not know it.
    """
    if not file.command:
        return ""
    words = [word for word in _words(shlex.split(file.command)) if word not in ("--fresh", "--dry-run")]
    recipe = file.ablation.cells[0].recipe if file.kind == "ablation" else file.recipe
    paths = {"--storage": str(file.storage.absolute())}
    paths |= {} if file.data is None else {"--data": str(file.data.absolute())}
    paths |= {"--recipe": recipe} if Path(recipe).suffix in (".yaml", ".yml") else {}
    for option, path in paths.items():
        if option in words:
            words[words.index(option) + 1] = path
        else:
            words += [option, path]
    return shlex.join(words)


def _words(words: list[str]) -> list[str]:
    """Translate a command of an earlier version, or of a script in the repository, into a `dmt` command."""
    if match := re.fullmatch(r"python -m ablations\.(\w+)", " ".join(words[:3])):
        return ["dmt", "ablate", match[1], *words[3:]]
    if match := re.fullmatch(r"python (?:\S+/)?searches/(\w+)\.py", " ".join(words[:2])):
        return ["dmt", "sweep", match[1], *words[2:]]
    return words


def _run(file: ExperimentFile, recipe: str, method: str, changes: Sequence[str], seeds: Sequence[int]) -> str:
    return of_settings(recipe, method, changes, file.storage, file.data, seeds)


def of_settings(
    recipe: str, method: str, changes: Sequence[str], storage: Path, data: Path | None, seeds: Sequence[int]
) -> str:
    """The command that performs a method on a recipe with overrides, once for each seed."""
    words = ["dmt", "run", "--recipe", recipe, "--method", method]
    for change in changes:
        words += ["--set", change]
    words += ["--storage", str(storage)]
    if data is not None:
        words += ["--data", str(data)]
    if len(seeds) == 1:
        return shlex.join([*words, "--seed", str(seeds[0])])
    return f"for seed in {' '.join(map(str, seeds))}; do {shlex.join(words)} --seed $seed; done"


def _text(value: Any) -> str:
    """A value as `--set` reads it: exact, and in one word."""
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_text, value))}]"
    if isinstance(value, Mapping):
        return json.dumps(value)  # which is YAML, too
    return value if isinstance(value, str) else repr(value)
