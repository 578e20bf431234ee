"""Confirmation: the best trial and the recipe, run again on fresh seeds and compared."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from dmt_ray.config import Config
from dmt_ray.experiments.run import Run
from dmt_ray.experiments.sweep import Sweep, Trial
from dmt_ray.experiments.trials import best
from dmt_ray.files import write_text
from dmt_ray.methods import METHODS
from dmt_ray.plan import Plan, Stage, escape, in_order
from dmt_ray.plan.measures import Measure
from dmt_ray.results.scores import Which, rung_score
from dmt_ray.results.sequential import Outcome, error_of_a_look, outcome
from dmt_ray.results.statistics import ERROR, paired_interval
from dmt_ray.store import Store

NAME = "confirm.json"
RULES: tuple[Which, Which] = ("selection", "reported")


@dataclass(frozen=True)
class Candidate:
    """A method and settings that are run again; the name is "winner" or "recipe"."""

    name: str
    method: str
    config: Config

    def plan(self, seed: int) -> Plan:
        """The plan for a seed."""
        return METHODS[self.method](self.config, seed)


@dataclass(frozen=True)
class Confirmation:
    """What is run again: the best trial of a search, and its recipe, on fresh seeds."""

    sweep: Sweep
    winner: Trial
    seeds: tuple[int, ...]  # all of them, or with looks those up to the look that it has come to
    looks: tuple[int, ...] = ()  # numbers of seeds, fixed beforehand, after which it is seen whether the two differ

    def candidates(self) -> list[Candidate]:
        """The winner, and the recipe as it was before the search; the winner alone if it is the recipe."""
        params = self.winner.params
        winner = Candidate("winner", self.sweep.method_of(params), self.sweep.config_of(params))
        recipe = Candidate("recipe", self.sweep.method, self.sweep.config)
        same = winner.plan(self.seeds[0]).stages() == recipe.plan(self.seeds[0]).stages()
        return [winner] if same else [winner, recipe]

    def groups(self) -> list[list[Stage]]:
        """The evaluations of each plan."""
        plans = [candidate.plan(seed) for seed in self.seeds for candidate in self.candidates()]
        return [plan.targets() for plan in plans]

    def stages(self) -> list[Stage]:
        """All that has to be there."""
        return in_order(stage for group in self.groups() for stage in group)

    def runs(self) -> list[Run]:
        """The runs, as `dmt run` would have performed them."""
        return [Run(one.method, one.config, seed) for one in self.candidates() for seed in self.seeds]


def confirmation(
    sweep: Sweep, trials: Sequence[Trial], seeds: Sequence[int], looks: tuple[int, ...] = (), store: Store | None = None
) -> Confirmation | None:
    """What is to be run again, or None if no trial is complete.

    Args:
        sweep: The search.
        trials: Its trials.
        seeds: Fresh seeds; with looks as many as the last one takes.
        looks: Numbers of seeds after which it is seen whether winner and recipe differ, by the test images; ().
        store: With looks, where the results are: seeds are added as long as they leave the question open.
    """
    winner, seeds = best(trials), tuple(sorted(seeds))
    if winner is None:
        return None
    if store is None or not looks:
        return Confirmation(sweep, winner, seeds, looks)
    for count in looks:
        found = Confirmation(sweep, winner, seeds[:count], looks)
        if store.missing(found.stages()) or len(found.candidates()) == 1:
            break
        if _outcome(found, result(found, store), "reported").look is not None:
            break
    return found


def _outcome(confirmed: Confirmation, content: dict[str, Any], rule: Which) -> Outcome:
    """Winner minus recipe at the looks, for the scores in confirm.json under a rule."""
    winner, recipe = (scores_of(content, name, rule, searched=False) for name in ("winner", "recipe"))
    gains = dict(zip(confirmed.seeds, (a - b for a, b in zip(winner, recipe, strict=True)), strict=True))
    return outcome(gains, gains.keys(), confirmed.seeds, confirmed.looks, error_of_a_look(confirmed.looks, 1))


def difference(first: Sequence[float], second: Sequence[float], error: float = ERROR) -> dict[str, float | int | None]:
    """First minus second, pair by pair, as confirm.json holds it: mean, low and high of the 95 % t interval, and n.

    With so few seeds a bootstrap interval would be too narrow, and a rank test could not reach 0.05. Of one pair there
    is no interval: low and high are None. `error` is how often it may miss the truth, which looks have to share.
    """
    interval = paired_interval([a - b for a, b in zip(first, second, strict=True)], error)
    low, high = (interval.low, interval.high) if interval.known else (None, None)
    return {"mean": interval.mean, "low": low, "high": high, "n": len(first)}


def result(confirmed: Confirmation, store: Store) -> dict[str, Any]:
    """All scores, and the differences on the fresh seeds, as JSON values; scores in [0, 1] after the last rung."""
    rows, measure = [], confirmed.sweep.measure
    for candidate in confirmed.candidates():
        for searched, seeds in ((True, confirmed.sweep.seeds), (False, confirmed.seeds)):
            last = {seed: candidate.plan(seed).rungs[-1] for seed in seeds}
            if not all(store.has(evaluation) for rung in last.values() for evaluation in rung.values()):
                continue  # the recipe need not be a point of the search
            for seed, rung in last.items():
                scores = {f"{rule}_{measure}": rung_score(store, rung, rule) for rule in RULES}
                rows.append({"who": candidate.name, "seed": seed, "searched": searched, **scores})
    params = confirmed.winner.params
    content: dict[str, Any] = {
        "sweep": confirmed.sweep.name,
        "measure": measure,
        "searched_seeds": list(confirmed.sweep.seeds),
        "fresh_seeds": list(confirmed.seeds),
        "winner": {
            "trial": confirmed.winner.number,
            "params": dict(params),
            "method": confirmed.sweep.method_of(params),
            "settings": confirmed.sweep.settings(params),
        },
        "rows": rows,
        "difference": {},
    }
    if len(confirmed.candidates()) == 2:
        for rule in RULES:
            winner, recipe = (scores_of(content, name, rule, searched=False) for name in ("winner", "recipe"))
            error = error_of_a_look(confirmed.looks, 1) if confirmed.looks else ERROR
            content["difference"][rule] = difference(winner, recipe, error)
        if confirmed.looks:
            at = _outcome(confirmed, content, "reported")
            content["looks"] = {"seeds": list(confirmed.looks), "decided": at.look, "needed": at.needed}
    return content


def scores_of(content: dict[str, Any], name: str, images: str, *, searched: bool) -> list[float]:
    """The scores of a candidate in confirm.json, by seed: fractions, on the seeds of the search or on fresh ones.

    `images` are "selection", the validation images, or "reported", the test images.
    """
    rows = [row for row in content["rows"] if row["who"] == name and row["searched"] == searched]
    return [row[f"{images}_{measure_of(content)}"] for row in sorted(rows, key=lambda row: row["seed"])]


def measure_of(content: dict[str, Any]) -> Measure:
    """What the models in confirm.json are measured by."""
    measure: Measure = content.get("measure", "miou")  # earlier versions knew no other one
    return measure


def write(folder: Path, content: dict[str, Any]) -> None:
    """Write confirm.json and, a line for each seed, confirm.csv into the sweep's folder."""
    write_text(folder / NAME, json.dumps(content, indent=1) + "\n")
    rows = [row | {"searched": str(row["searched"]).lower()} for row in content["rows"]]
    columns = ["who", "seed", "searched", *(f"{rule}_{measure_of(content)}" for rule in RULES)]
    write_text(folder / "confirm.csv", escape.cells(pd.DataFrame(rows, columns=columns)).to_csv(index=False))
