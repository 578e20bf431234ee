"""Two candidates beside each other, as a table: settings, where their work parts, scores, classes, pictures."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dmt_ray.errors import ConfigError, MissingStages
from dmt_ray.experiments.ablation import Ablation, Cell
from dmt_ray.experiments.experiment_file import ExperimentFile
from dmt_ray.plan.words import be, counted
from dmt_ray.report.figures.maps import qualitative
from dmt_ray.report.figures.predictions import Predictor
from dmt_ray.report.tables import grid
from dmt_ray.report.tables.build import Table, build
from dmt_ray.report.tables.files import further_metrics
from dmt_ray.report.tables.grid import Block
from dmt_ray.report.tables.metrics import of_each_class
from dmt_ray.report.titles import NONE, RULES, percent
from dmt_ray.results import tidy
from dmt_ray.results.comparison import Candidate, Parting, Setting, Work, of_plans, partings, settings_that_differ
from dmt_ray.results.statistics import Interval, common, paired_interval

CHANGED = 12  # classes that are listed
PICTURES = 4  # images that are shown
STAGE = 8  # digits of a key


@dataclass(frozen=True)
class Compared:
    """A comparison: what is printed, and the pictures on which the two disagree most."""

    table: Table
    pictures: Figure | None


def compare(first: Candidate, second: Candidate, predictor: Predictor | None = None) -> Compared:
    """Compare two candidates: the second one's differences to the first.

    Args:
        first: A run, a row or a trial.
        second: Another one.
        predictor: Computes their predictions for the pictures; None: there are none.

    Raises:
        ConfigError: If both are the same.
        MissingStages: If predictions are wanted, and weights of a model are gone.
    """
    if first.name == second.name:
        raise ConfigError(f"both sides of the comparison are {first.name}; name two different ones")
    blocks = [_settings(settings_that_differ(first, second), (first.name, second.name)), _parting(first, second)]
    caption: tuple[str, ...] = ()
    scored, why = _scores(first, second)
    if scored is None:
        blocks.append(Block("Scores", ("", ""), (), (why,)))
    else:
        frame, table = scored
        blocks += table.blocks
        blocks += list(_classes(frame, (first.name, second.name)))
        caption = table.caption
    pictures = None
    if predictor is not None:
        shown, pictures = _pictures(first, second, predictor)
        blocks.append(shown)
    raw = pd.DataFrame() if scored is None else scored[1].raw
    return Compared(Table(f"{second.name} against {first.name}", tuple(blocks), caption, (), raw), pictures)


def compare_stages(first: Work, second: Work) -> Table:
    """Where the work behind two stored stages parts."""
    found = partings(first, second)
    notes = () if found else ("Both are the same work.",)
    blocks = [Block("Where they part", PARTING, tuple(_parting_rows(found)), notes)]
    return Table(f"{second.name} against {first.name}", tuple(blocks), (), (), pd.DataFrame())


PARTING = ("first", "second", "differs in")


def _settings(settings: Sequence[Setting], names: tuple[str, str]) -> Block:
    rows = tuple(tuple(map(grid.Cell, setting)) for setting in settings)
    notes = () if rows else ("None: settings and method are the same.",)
    return Block("Settings that differ", ("", *names), rows, notes)


def _parting(first: Candidate, second: Candidate) -> Block:
    shared = [seed for seed in first.plans if seed in second.plans]
    ours, theirs = (one.plans[shared[0]] if shared else next(iter(one.plans.values())) for one in (first, second))
    parted, count = of_plans(ours, theirs)
    total = " and ".join(f"{len(plan.stages()):,} of {one.name}" for one, plan in ((first, ours), (second, theirs)))
    seed = f"seed {shared[0]}" if shared else "the first seed of each, as they have none in common"
    notes = [f"With {seed}: {counted(count, 'stage')} {be(count)} common to both, of {total}."]
    notes += [] if parted else ["They do not part."]
    title = "The first stages at which they part"
    return Block(title, PARTING, tuple(_parting_rows(parted)), tuple(notes))


def _parting_rows(parted: Sequence[Parting]) -> Iterator[tuple[grid.Cell, ...]]:
    for one in parted:
        names = [f"{name.rpartition('-')[0]}-{name.rpartition('-')[2][:STAGE]}" if name else NONE for name in one[:2]]
        what = "; ".join(f"{name} {ours} -> {theirs}" for name, ours, theirs in one.settings)
        yield tuple(map(grid.Cell, (*names, what or one.what or "the operation")))


def _scores(first: Candidate, second: Candidate) -> tuple[tuple[pd.DataFrame, Table] | None, str]:
    """The records of the seeds that both have, and their table; or None, and why there is none."""
    seeds = tuple(seed for seed in first.plans if seed in second.plans)
    if not seeds:
        return None, "They have no seed in common, so that no two of their runs can be paired."
    recipe = first.config.recipe
    cells = tuple(Cell(one.name, "", one.method, one.config, recipe) for one in (first, second))
    title = f"{second.name} against {first.name}"
    ablation = Ablation("compare", title, recipe, cells, seeds, first.name)
    info = {f" / {one.name}": one.info.to_json() for one in (first, second)}
    frame = tidy.tabulate_ablation(first.store, ExperimentFile(ablation, first.storage, dataset_info=info))
    frame.attrs["about"] |= {"commands": [], "protocol": []}
    try:
        return (frame, build(frame, metrics=further_metrics(frame, ["all"]))), ""
    except ValueError as error:
        return None, f"Their scores cannot be compared: {error}."


def _classes(frame: pd.DataFrame, names: tuple[str, str]) -> Iterator[Block]:
    """The classes whose scores differ most on the test images, after the last iteration."""
    start, title = of_each_class(frame)
    lines = frame[(frame["rule"] == "last") & (frame["images"] == "reported")]
    changes: list[tuple[str, float, float, Interval]] = []
    for metric, own in lines[lines["metric"].astype(str).str.startswith(start)].groupby("metric", sort=False):
        by_row = [dict(zip(part["seed"], part["value"])) for part in (own[own["row"] == name] for name in names)]
        seeds, differences = common(by_row[1], by_row[0])
        if seeds:
            ours, theirs = (float(np.mean([values[seed] for seed in seeds])) for values in by_row)
            changes.append((str(metric).removeprefix(start), ours, theirs, paired_interval(differences)))
    if changes:
        changes.sort(key=lambda change: -abs(change[3].mean))
        rows = tuple(
            tuple(map(grid.Cell, (name, percent(one), percent(other), grid.interval_text(interval))))
            for name, one, other, interval in changes[:CHANGED]
        )
        more = (f"The {CHANGED} of {len(changes)} classes that differ most.",) if len(changes) > CHANGED else ()
        yield Block(f"{title} (%) of each class, {RULES['last']}", ("", *names, "difference, 95 % t"), rows, more)


def _pictures(first: Candidate, second: Candidate, predictor: Predictor) -> tuple[Block, Figure]:
    """The test images on which model A of both disagrees most, with the first seed that both have."""
    shared = [seed for seed in first.plans if seed in second.plans]
    if not shared:
        raise MissingStages("they have no seed in common, so that there are no predictions to compare")
    evaluations = [one.plans[shared[0]].rungs[-1]["A"] for one in (first, second)]
    if first.info.palette is None:
        raise MissingStages("the records do not contain the colours of the classes")
    table = predictor.disagreement(*evaluations)
    shown = table.sort_values("disagreement", ascending=False, kind="stable").head(PICTURES)
    ids = shown["id"].tolist()
    rows = tuple((grid.Cell(name), grid.Cell(percent(share))) for name, share in zip(ids, shown["disagreement"]))
    examples: dict[str, Any] = {
        one.name: predictor.examples(evaluation, ids=ids) for one, evaluation in zip((first, second), evaluations)
    }
    mean, over = percent(float(table["disagreement"].mean())), counted(len(table), "test image")
    notes = (f"Over {over} model A of both disagrees on {mean} % of the pixels, seed {shared[0]}.",)
    title = "Test images on which they disagree most (% of the pixels)"
    figure = qualitative(examples, first.info.palette, first.info.classes)
    return Block(title, ("", "disagreement"), rows, notes), figure
