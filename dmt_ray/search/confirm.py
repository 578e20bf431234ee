"""The tuned split is not the reported one: the best trial and the recipe, run again on fresh seeds and compared."""

import csv
import io
import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from dmt_ray.config import Config
from dmt_ray.experiments.run import Run
from dmt_ray.experiments.sweep import Sweep, Trial, in_words
from dmt_ray.files import write_text
from dmt_ray.methods import METHODS
from dmt_ray.plan import Plan, Stage, in_order
from dmt_ray.plan.measures import MEASURES, Measure
from dmt_ray.report.summary import best, line
from dmt_ray.results.scores import Which, rung_score
from dmt_ray.store import Store

if TYPE_CHECKING:
    pass

NAME = "confirm.json"
LEVEL = 0.95  # of the interval of a difference
RULES: tuple[Which, Which] = ("selection", "reported")


@dataclass(frozen=True)
class Candidate:
    """A configuration that is run again.

    Attributes:
        name: "winner" or "recipe".
        method: Its method.
        config: Its settings.
    """

    name: str
    method: str
    config: Config

    def plan(self, seed: int) -> Plan:
        """Its plan for a seed."""
        return METHODS[self.method](self.config, seed)


@dataclass(frozen=True)
class Confirmation:
    """What is run again.

    Attributes:
        sweep: The search.
        winner: Its best trial.
        seeds: Fresh seeds.
    """

    sweep: Sweep
    winner: Trial
    seeds: tuple[int, ...]

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
        return [[stage for rung in plan.rungs for stage in rung.values()] for plan in plans]

    def stages(self) -> list[Stage]:
        """All that has to be there."""
        return in_order(stage for group in self.groups() for stage in group)

    def runs(self) -> list[Run]:
        """The runs, as `dmt run` would have performed them."""
        return [Run(one.method, one.config, seed) for one in self.candidates() for seed in self.seeds]


def confirmation(sweep: Sweep, trials: Sequence[Trial], seeds: Sequence[int]) -> Confirmation | None:
    """What is to be run again, or None if no trial is complete."""
    winner = best(trials)
    return None if winner is None else Confirmation(sweep, winner, tuple(sorted(seeds)))


# ---- what came out ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """A mean of paired differences and its t interval; without an interval where there is one pair."""

    mean: float
    low: float | None
    high: float | None
    n: int


def paired(first: Sequence[float], second: Sequence[float]) -> Difference:
    """First minus second, pair by pair, with the 95 % t interval of the mean (df n - 1).

    With so few seeds a bootstrap interval would be too narrow, and a rank test could not reach 0.05.
    """
    differences = [a - b for a, b in zip(first, second, strict=True)]
    n, mean = len(differences), statistics.fmean(differences)
    if n == 1:
        return Difference(mean, None, None, n)
    from scipy import stats  # takes a while to import

    half = float(stats.t.ppf((1 + LEVEL) / 2, n - 1)) * statistics.stdev(differences) / math.sqrt(n)
    return Difference(mean, mean - half, mean + half, n)


def result(confirmed: Confirmation, store: Store) -> dict[str, Any]:
    """All scores, and the differences on the fresh seeds, as JSON values; scores in [0, 1] after the last rung."""
    rows, measure = [], confirmed.sweep.measure
    for candidate in confirmed.candidates():
        for searched, seeds in ((True, confirmed.sweep.seeds), (False, confirmed.seeds)):
            plans = {seed: candidate.plan(seed) for seed in seeds}
            last = {seed: plan.rungs[-1] for seed, plan in plans.items()}
            if not all(store.has(evaluation) for rung in last.values() for evaluation in rung.values()):
                continue  # the recipe need not be a point of the search
            for seed, rung in last.items():
                scores = {f"{rule}_{measure}": rung_score(store, rung, rule) for rule in RULES}
                rows.append({"who": candidate.name, "seed": seed, "searched": searched, **scores})
    found: dict[str, Any] = {
        "sweep": confirmed.sweep.name,
        "measure": measure,
        "searched_seeds": list(confirmed.sweep.seeds),
        "fresh_seeds": list(confirmed.seeds),
        "winner": {
            "trial": confirmed.winner.number,
            "params": dict(confirmed.winner.params),
            "method": confirmed.sweep.method_of(confirmed.winner.params),
            "settings": confirmed.sweep.settings(confirmed.winner.params),
        },
        "rows": rows,
        "difference": {},
    }
    if len(confirmed.candidates()) == 2:
        for rule in RULES:
            winner, recipe = (values(found, who, rule, searched=False) for who in ("winner", "recipe"))
            found["difference"][rule] = vars(paired(winner, recipe))
    return found


def values(found: dict[str, Any], who: str, rule: str, *, searched: bool) -> list[float]:
    """The scores of a candidate, by seed."""
    rows = [row for row in found["rows"] if row["who"] == who and row["searched"] == searched]
    return [row[f"{rule}_{_measure(found)}"] for row in sorted(rows, key=lambda row: row["seed"])]


def _measure(found: dict[str, Any]) -> Measure:
    measure: Measure = found.get("measure", "miou")  # earlier versions knew no other one
    return measure


def _name(found: dict[str, Any]) -> str:
    return MEASURES[_measure(found)]


def mean_and_sd(scores: Sequence[float]) -> str:
    """Mean ± sample standard deviation in percent: 67.15 ± 0.42 (n=3); "–" where there is nothing."""
    if not scores:
        return "–"
    spread = f" ± {100 * statistics.stdev(scores):.2f}" if len(scores) > 1 else ""
    return f"{100 * statistics.fmean(scores):.2f}{spread} (n={len(scores)})"


def difference_in_words(found: dict[str, Any]) -> str:
    """The differences on the fresh seeds, in a sentence."""
    if not found["difference"]:
        return "the best trial is the recipe itself: there is nothing to compare it with"
    parts = []
    for rule in RULES:
        difference = Difference(**found["difference"][rule])
        interval = "no interval from one seed"
        if difference.low is not None and difference.high is not None:
            interval = f"95 % t interval [{100 * difference.low:+.2f}, {100 * difference.high:+.2f}]"
        parts.append(f"{rule} {100 * difference.mean:+.2f}, {interval}")
    pairs = "1 pair" if len(found["fresh_seeds"]) == 1 else f"{len(found['fresh_seeds'])} pairs"
    return f"winner - recipe on fresh seeds, {_name(found)} points, paired by seed ({pairs}): {'; '.join(parts)}"


def write(folder: Path, found: dict[str, Any]) -> None:
    """Write confirm.json and, a line for each seed, confirm.csv into the sweep's folder."""
    write_text(folder / NAME, json.dumps(found, indent=1) + "\n")
    text = io.StringIO()
    columns = ["who", "seed", "searched", *(f"{rule}_{_measure(found)}" for rule in RULES)]
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(row | {"searched": str(row["searched"]).lower()} for row in found["rows"])
    write_text(folder / "confirm.csv", text.getvalue())


def markdown(folder: Path) -> str:
    """What was confirmed in a sweep's folder, for a page that renders Markdown; "" if nothing was."""
    if not (folder / NAME).exists():
        return ""
    found = json.loads((folder / NAME).read_text(encoding="utf-8"))
    lines = [
        f"| {_name(found)} % | searched seeds, selection | fresh seeds, selection | fresh seeds, reported |",
        "|---|---|---|---|",
    ]
    lines += [f"| {' | '.join(row)} |" for row in _rows(found)]
    return "\n".join([*lines, "", f"± is the sample standard deviation over seeds. {difference_in_words(found)}."])


def _rows(found: dict[str, Any]) -> list[list[str]]:
    shown = (("selection", True), ("selection", False), ("reported", False))
    return [
        [who, *(mean_and_sd(values(found, who, rule, searched=searched)) for rule, searched in shown)]
        for who in dict.fromkeys(row["who"] for row in found["rows"])
    ]


def show(console: Console, confirmed: Confirmation, folder: Path) -> None:
    """Print both, the scores that the search saw and those on fresh seeds, if they are there."""
    if not (folder / NAME).exists():
        return
    found = json.loads((folder / NAME).read_text(encoding="utf-8"))
    searched, fresh = (", ".join(map(str, seeds)) for seeds in (confirmed.sweep.seeds, confirmed.seeds))
    table = Table(title=f"confirmed: trial {confirmed.winner.number}, {in_words(confirmed.winner.params)}")
    table.title_justify = "left"
    for title in (f"{_name(found)} %", f"selection, searched seeds {searched}", f"selection, fresh seeds {fresh}"):
        table.add_column(title, justify="left" if title.endswith("%") else "right")
    table.add_column(f"reported, fresh seeds {fresh}", justify="right")
    for row in _rows(found):
        table.add_row(*row)
    console.print(table)
    line(console, "confirm", difference_in_words(found))
    if not confirmed.sweep.config.split.follows_seed:
        line(console, "", "All seeds have the same labelled images (split.follows_seed): only the training is fresh.")
    line(console, "", str(folder / NAME))
