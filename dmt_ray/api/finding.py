"""Find what a user names: stages by their keys, and candidates of a comparison."""

from pathlib import Path

from dmt_ray.api.results import AblationResults, RunResults, SweepResults, open_results
from dmt_ray.config import nearest
from dmt_ray.errors import ConfigError
from dmt_ray.experiments import experiment_file
from dmt_ray.experiments.locate import locate
from dmt_ray.results.comparison import Candidate
from dmt_ray.store.record import RECORD

SHORTEST = 6  # digits of a stage's key that name it


def stage_folder(what: str, storage: Path) -> Path | None:
    """The folder of a stage that is named by its folder or key; None: it is something else."""
    if (Path(what) / RECORD).is_file():
        return Path(what)
    key = what.rpartition("-")[2]  # `dmt store ls` shows finetune-0123abcd
    if len(key) < SHORTEST or set(key) - set("0123456789abcdef"):
        return None
    fitting = sorted(path.parent for path in storage.glob(f"stages/*/{key}*/{RECORD}"))
    if len(fitting) > 1:
        raise ConfigError(f"{len(fitting):,} stages begin with {key!r}; write more digits of the key")
    return fitting[0] if fitting else None


def find_candidate(what: str, storage: Path) -> Candidate:
    """The candidate of a comparison that a user names.

    Args:
        what: A run; "ABLATION:ROW", or "ABLATION:ROW:COLUMN"; a sweep, for its best trial, or "SWEEP:NUMBER".
        storage: Folder of the results.

    Raises:
        MissingStages: If there is none of that name, or no trial is complete.
        ConfigError: If it leaves open which row, or there is no such row, column or trial.
    """
    name, _, part = what.partition(":")
    results = open_results(name, storage)
    if isinstance(results, RunResults):
        if part:
            raise ConfigError(f"{results.name} is a single run and has no {part!r}; got {what!r}")
        runs = {results.run.seed: results}
        data = experiment_file.read(locate(storage, results.name, kinds=("run",))).data
    elif isinstance(results, AblationResults):
        runs, data = _row(results, name, part), results.file.data
    else:
        runs, data = _trial(results, name, part), results.file.data
    first = next(iter(runs.values()))
    plans = {seed: run.plan for seed, run in runs.items()}
    return Candidate(what, first.run.method, first.config, plans, first.info, results.store, storage, data)


def _row(results: AblationResults, name: str, part: str) -> dict[int, RunResults]:
    ablation = results.file.ablation
    if not part:
        raise ConfigError(f"{results.name} has several rows; name one, as in {f'{name}:{ablation.rows[-1]}'!r}")
    row, _, column = (part, "", "") if part in ablation.rows else part.rpartition(":")
    if (row or part) not in ablation.rows:
        raise ConfigError(f"{results.name} has no row {part!r}; {nearest(part, ablation.rows)}")
    if not column and len(ablation.columns) > 1:
        example = f"{name}:{row}:{ablation.columns[0]}"
        raise ConfigError(f"{results.name} has several columns; name one, as in {example!r}")
    return {seed: results.run(row, column or None, seed=seed) for seed in ablation.seeds}


def _trial(results: SweepResults, name: str, part: str) -> dict[int, RunResults]:
    if part and not part.isdecimal():
        raise ConfigError(f"a trial of a sweep is named by its number, as in {f'{name}:3'!r}, but got {part!r}")
    number = int(part) if part else None
    return {seed: results.run(number, seed=seed) for seed in results.file.sweep.seeds}
