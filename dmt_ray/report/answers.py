"""The answer of an ablation or a sweep in a sentence or two, with its interval and what it cost."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pandas as pd

from dmt_ray.experiments.ablation import Ablation
from dmt_ray.experiments.sweep import Sweep, Trial, in_words
from dmt_ray.experiments.trials import best, complete, ranked
from dmt_ray.plan import Plan
from dmt_ray.plan.measures import MEASURES
from dmt_ray.plan.words import counted, listed
from dmt_ray.report import confirmation
from dmt_ray.report.tables.grid import interval_text
from dmt_ray.report.tables.numbers import Numbers, Position, numbers
from dmt_ray.report.titles import percent
from dmt_ray.results import tidy
from dmt_ray.results.statistics import common, paired_interval
from dmt_ray.store import Store

NOTHING = "There is no answer yet: "


def of_ablation(frame: pd.DataFrame, ablation: Ablation, store: Store) -> list[str]:
    """Which row is best after the last iteration, column by column, and what the table cost.

    Args:
        frame: Its tidy table.
        ablation: The ablation.
        store: Where its stages are.
    """
    if not (frame["state"] == "there").any():
        return [f"{NOTHING}no run is complete."]
    measure = tidy.headline(frame)
    try:
        content = numbers(frame, measure, ablation.reference)
    except ValueError as error:
        return [f"{NOTHING}{error}."]
    several = len(content.columns) > 1
    sentences = [
        (f"{column}: " if several else "") + _best_row(content, column, MEASURES[measure]) for column in content.columns
    ]
    return [*sentences, _cost([one.plan for one in ablation.members()], store)]


def _best_row(content: Numbers, column: str, measure: str) -> str:
    """The best row that is ranked: oracles have no mark, nor have rows that cannot be compared."""
    places = {row: Position(row, column, content.rules[0]) for row in content.rows}
    scores = {row: content.scores[place] for row, place in places.items()}
    marked = [row for row, place in places.items() if content.marks.get(place)]
    candidates = marked or [row for row, score in scores.items() if score.values and content.methods[row] != "oracle"]
    if not candidates:
        return "no run is complete."
    first = max(candidates, key=lambda row: scores[row].mean)
    runs = len(scores[first].values)
    of = f"mean of {runs} runs" if runs > 1 else "one run"
    text = f"{first} has the highest test {measure}, {percent(scores[first].mean)} % ({of})"
    compared = content.comparisons.get(places[first])
    if compared is not None:
        sure = "" if compared.paired.excludes_zero else ", which is not told apart from 0"
        text += f": {interval_text(compared.paired)} points to {content.reference}, paired 95 % interval{sure}"
    others = [row for row in marked if row != first]
    if others:
        does = "Its intervals to {} do" if len(others) > 1 else "Its interval to {} does"
        text += f". {does.format(listed(others))} not exclude 0: the table does not decide between them"
    elif marked:
        text += ". Its interval to every other row excludes 0"
    return f"{text}."


def of_sweep(folder: Path, frame: pd.DataFrame, sweep: Sweep, trials: Sequence[Trial]) -> list[str]:
    """Which trial is best, by how much, whether that was confirmed, and what the sweep cost.

    Args:
        folder: Its folder.
        frame: Its tidy table.
        sweep: The sweep.
        trials: Its trials.
    """
    begun = [trial for trial in trials if trial.params.keys() == sweep.space.keys()]
    plans = [plan for trial in begun for plan in sweep.plans(trial.params).values()]
    winner, cost = best(trials), _cost(plans, Store(folder.parents[1]))
    if winner is None or winner.score is None:
        return [f"{NOTHING}no trial is complete.", *([cost] if begun else [])]
    finished = complete(trials)
    text = f"Best of {counted(len(finished), 'complete trial')} is trial {winner.number}, {in_words(winner.params)}: "
    text += f"validation {sweep.score_name} {percent(winner.score)} %"
    test = tidy.scored(frame[frame["trial"] == winner.number])["value"]
    text += f", test {percent(float(test.mean()))} %" if len(test) else ""
    return [f"{text}.", *_lead(frame, winner, finished, sweep), *confirmation.sentences(folder), cost]


def _lead(frame: pd.DataFrame, winner: Trial, finished: Sequence[Trial], sweep: Sweep) -> Iterator[str]:
    """How far the best trial is above the next one, paired by seed."""
    others = [trial for trial in ranked(finished) if trial.number != winner.number]
    if not others:
        return
    lines = tidy.scored(frame, images="selection")
    by_trial = [
        dict(zip(part["seed"], part["value"]))
        for part in (lines[lines["trial"] == number] for number in (winner.number, others[0].number))
    ]
    seeds, differences = common(*by_trial)
    if seeds:
        interval = paired_interval(differences)
        what = interval_text(interval)
        sure = "paired 95 % interval" if interval.known else "no interval from one seed"
        yield (
            f"It is {what} points above the next best, trial {others[0].number} ({sure}), and the best of many is "
            "biased upwards by selection."
        )


def _cost(plans: Iterable[Plan], store: Store) -> str:
    """What the stored stages of some plans took, each counted once."""
    stages = [stage for stage in dict.fromkeys(stage for plan in plans for stage in plan.stages()) if store.has(stage)]
    made = [store.record(stage).made for stage in stages]
    hours = sum(float(work.get("seconds", 0)) * int(work.get("workers", 1)) for work in made) / 3600
    return (
        f"It cost {hours:.2f} device hours in {counted(len(stages), 'stage')}, of which shared ones are counted once."
    )
