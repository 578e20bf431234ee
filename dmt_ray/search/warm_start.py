"""The best points of earlier searches of the same space, to be tried first by a new one."""

from dataclasses import replace
from pathlib import Path

from dmt_ray.errors import StoreError
from dmt_ray.experiments.experiment_file import FOLDERS, kind_of, read
from dmt_ray.experiments.sweep import Sweep
from dmt_ray.experiments.trials import complete, ranked, read_trials
from dmt_ray.methods.space import Params

BEST = 3  # trials of an earlier search
MOST = 6  # points in all


def warm_started(sweep: Sweep, storage: Path) -> Sweep:
    """The sweep with the best points of earlier ones behind its own known points.

    Earlier ones are all others in the storage folder with the same method, measure and space, whatever their question,
    data, seeds and other settings. Points are taken and not scores, which may come from other data: they are tried
    again. The first of each search come first. A sweep that has begun keeps the points that it began with.
    """
    folder = storage / FOLDERS["sweep"] / sweep.name.replace("/", "-")
    if kind_of(folder) == "sweep":
        return replace(sweep, known=read(folder).sweep.known)
    bests = [_best(path, sweep) for path in sorted((storage / FOLDERS["sweep"]).glob("*"))]
    found: list[Params] = []
    for place in range(BEST):
        for points in bests:
            if place < len(points) and points[place] not in (*sweep.known, *found):
                found.append(points[place])
    return replace(sweep, known=(*sweep.known, *found[:MOST]))


def _best(folder: Path, sweep: Sweep) -> list[Params]:
    """The best points of the search in a folder, if it is of the same space."""
    if kind_of(folder) != "sweep":
        return []
    try:
        other = read(folder).sweep
        same = (other.method, other.measure, dict(other.space)) == (sweep.method, sweep.measure, dict(sweep.space))
        if not same or other.name == sweep.name:
            return []
        return [trial.params for trial in ranked(complete(read_trials(folder, other.name)))[:BEST]]
    except StoreError:  # of a version or a plug-in that is not here, or damaged: no reason to refuse this search
        return []
