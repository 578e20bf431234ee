"""All figures of an ablation or a sweep, by name, each drawn only when it is asked for."""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dmt_ray.config import nearest
from dmt_ray.errors import ConfigError, MissingStages
from dmt_ray.experiments import ablation_file
from dmt_ray.experiments.ablation import Ablation, Wanted
from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.experiments.dimensions import LABEL_FRACTION
from dmt_ray.plan.measures import MEASURES
from dmt_ray.report.figures.best_of import best_of_k, best_of_k_plot
from dmt_ray.report.figures.compute import costs, score_against_compute, trial_costs
from dmt_ray.report.figures.coupling import coupling, coupling_plot
from dmt_ray.report.figures.disagreement import disagreement_rates, disagreements
from dmt_ray.report.figures.forest import forest_plot, paired_differences
from dmt_ray.report.figures.fractions import fraction_scores, score_by_fraction, searched_fraction_scores
from dmt_ray.report.figures.importances import importance_plot, importances
from dmt_ray.report.figures.iterations import iteration_scores, score_by_iteration
from dmt_ray.report.figures.kit import curves, landscape
from dmt_ray.report.figures.maps import qualitative, stored_examples, weight_maps
from dmt_ray.report.figures.predictions import Predictor
from dmt_ray.report.figures.pseudo_labels import (
    error_among_surest,
    error_by_class,
    errors_by_share,
    label_errors,
    teacher_errors,
)
from dmt_ray.report.figures.reliability import reliability, reliability_plot
from dmt_ray.report.figures.setting import score_by_setting, setting_scores
from dmt_ray.report.figures.slices import slices
from dmt_ray.report.figures.trials import Searched, parallel_coordinates, searched
from dmt_ray.results import tidy
from dmt_ray.store import Store

Drawing = tuple[str, Callable[[], Figure]]
"""The name of a figure, and what draws it: it raises a UserError where the records do not allow it."""

GAMMAS = ("weight.gamma1", "weight.gamma2")
OF_ABLATIONS = (
    *("forest", "iterations", "gains", "compute", "hours", "label-errors", "teachers", "class-errors", "disagreement"),
    *("coupling", "reliability", "weights", "qualitative", "surest", "fractions"),
)
OF_SWEEPS = (
    *("curves", "landscape", "slices", "parallel", "importances", "setting", "best-of-k", "compute", "fractions"),
)


class AblationFigures:
    """The figures of an ablation. Only cells and seeds that are complete count.

    Args:
        folder: The ablation's folder, as `<storage>/ablations/<name>`.
        predictor: For the figures that need what stored models say.
        rows: Rows whose pictures are shown; empty: the reference, and DMT or else the last row that has iterations.
    """

    def __init__(self, folder: Path, predictor: Predictor, rows: Sequence[str] = ()) -> None:
        self.file = ablation_file.read(folder)
        self.ablation: Ablation = self.file.ablation
        for row in rows:
            if row not in self.ablation.rows:
                raise ConfigError(f"{folder.name} has no row {row!r}; {nearest(row, self.ablation.rows)}")
        self.store = Store(folder.parents[1])
        self.frame = tidy.of_ablation(folder, self.store)
        self._measure = MEASURES[tidy.headline(self.frame)]
        self._predictor = predictor
        self._rows = list(rows)
        there = self.frame[self.frame["state"] == "there"]
        complete = set(there[["row", "column", "seed"]].itertuples(index=False, name=None))
        self._wanted = [one for one in self.ablation.wanted() if (one.cell.row, one.cell.column, one.seed) in complete]

    def incomplete(self) -> Iterator[tuple[str, str, int, str]]:
        """Row, column, seeds that are missing or failed, and the command that computes them."""
        lacking = self.frame[self.frame["state"] != "there"]
        for row, column, command in self.frame.attrs["about"]["commands"]:
            count = len(lacking[(lacking["row"] == row) & (lacking["column"] == column)])
            if count:
                yield row, column, count, command

    def drawings(self) -> Iterator[Drawing]:
        """All figures; those of a column are named after it where there are several."""
        several = len(self.ablation.columns) > 1
        for column in self.ablation.columns:
            for name, draw in self._of_column(column):
                yield f"{name}-{_as_file(column)}" if several else name, draw
        if several:
            yield (
                "fractions",
                lambda: score_by_fraction(fraction_scores(self.frame, self.ablation), measure=self._measure),
            )

    def _of_column(self, column: str) -> Iterator[Drawing]:
        frame, reference = self.frame, self.ablation.reference
        dataset_info = (
            DatasetInfo.from_json(self.file.dataset_info[column]) if column in self.file.dataset_info else DatasetInfo()
        )
        wanted = [one for one in self._wanted if one.cell.column == column]
        measure = self._measure
        yield "forest", lambda: forest_plot(paired_differences(frame, column), reference, measure=measure)
        yield "iterations", lambda: score_by_iteration(iteration_scores(frame, column), measure=measure)
        yield "gains", lambda: score_by_iteration(iteration_scores(frame, column), gain=True, measure=measure)
        yield "compute", lambda: score_against_compute(costs(frame, column), measure=measure)
        hours = partial(score_against_compute, unit="hours", measure=measure)
        yield "hours", lambda: hours(costs(frame, column, unit="hours"))
        yield (
            "label-errors",
            lambda: error_among_surest(errors_by_share(label_errors(self.store, wanted, dataset_info))),
        )
        of = "images" if self._measure == MEASURES["accuracy"] else "pixels"
        teachers = partial(error_among_surest, one_teacher=True, of=of)
        yield "teachers", lambda: teachers(errors_by_share(teacher_errors(self.store, wanted)))
        yield "class-errors", lambda: self._class_errors(wanted, dataset_info)
        # With twice the steps, its line would be twice as long as all others.
        alike = [one for one in wanted if one.cell.method != "dst_double"]
        yield "disagreement", lambda: disagreement_rates(disagreements(self.store, alike))
        yield "coupling", lambda: coupling_plot(coupling(self.store, wanted))
        yield "reliability", lambda: reliability_plot(reliability(self.store, wanted))
        yield "weights", lambda: self._weights(wanted, dataset_info)
        yield "qualitative", lambda: self._qualitative(wanted, dataset_info)
        yield "surest", lambda: self._surest(wanted, dataset_info)

    def _shown(self, wanted: Sequence[Wanted]) -> list[Wanted]:
        """The rows that pictures are of, each with its first seed that all of them have."""
        iterated = [one.cell.row for one in wanted if len(one.plan.rungs) > 1]
        main = "DMT" if "DMT" in iterated else next(reversed(iterated), "")
        rows = self._rows or list(dict.fromkeys([self.ablation.reference, main]))
        seeds = [{one.seed for one in wanted if one.cell.row == row} for row in rows]
        common = sorted(set.intersection(*seeds))
        if not common:
            raise MissingStages(f"no seed of {' and '.join(filter(None, rows))} is complete yet")
        return [one for row in rows for one in wanted if (one.cell.row, one.seed) == (row, common[0])]

    def _class_errors(self, wanted: Sequence[Wanted], dataset_info: DatasetInfo) -> Figure:
        errors = label_errors(self.store, wanted, dataset_info)
        known = set(errors["row"])
        rows = [row for row in self._rows or ("CBST", "DST", "DMT") if row in known]
        return error_by_class(errors, rows or None)

    def _weights(self, wanted: Sequence[Wanted], dataset_info: DatasetInfo) -> Figure:
        taught = [one for one in self._shown(wanted) if len(one.plan.rungs) > 1]
        if not taught:
            raise MissingStages("no row that makes pseudo labels is complete yet")
        return weight_maps(stored_examples(self.store, taught[-1].plan), _palette(dataset_info), dataset_info.classes)

    def _qualitative(self, wanted: Sequence[Wanted], dataset_info: DatasetInfo) -> Figure:
        examples = {one.cell.row: self._predictor.examples(one.plan.rungs[-1]["A"]) for one in self._shown(wanted)}
        return qualitative(examples, _palette(dataset_info), dataset_info.classes)

    def _surest(self, wanted: Sequence[Wanted], dataset_info: DatasetInfo) -> Figure:
        rows = {one.cell.row for one in self._shown(wanted)}
        found = [
            self._predictor.surest_errors(one.plan.rungs[-1]["A"], dataset_info, row=one.cell.row)
            for one in wanted
            if one.cell.row in rows
        ]
        return error_among_surest(errors_by_share(pd.concat(found)), one_teacher=True)


def of_sweep(folder: Path) -> Iterator[Drawing]:
    """The figures of a sweep in its folder, as `<storage>/sweeps/<name>`."""
    found = searched(folder)
    sweep, trials, measure = found.sweep, found.trials, found.sweep.score_name
    if not sweep.seed_by_seed:
        yield "curves", lambda: curves([(f"trial {t.number}", t.scores, t.state) for t in trials], measure)
    if tuple(sweep.space) == GAMMAS:
        yield "landscape", lambda: _landscape(found)
    yield "slices", lambda: slices(sweep.space, trials, measure)
    yield "parallel", lambda: parallel_coordinates(sweep.space, trials, measure)
    if len(sweep.space) > 1:
        yield "importances", lambda: importance_plot(importances(sweep.space, trials))
    else:
        [setting] = sweep.space
        yield "setting", lambda: score_by_setting(setting_scores(found), setting, measure=measure)
    yield "best-of-k", lambda: _best_of_k(found)
    if sweep.second == "compute":
        yield "compute", lambda: score_against_compute(trial_costs(trials), images="selection", measure=measure)
    if LABEL_FRACTION in sweep.space:
        yield "fractions", lambda: score_by_fraction(searched_fraction_scores(found), measure=measure)


def _landscape(found: Searched) -> Figure:
    one, two = GAMMAS
    points = [
        (float(t.params[one]), float(t.params[two]), t.score, t.state) for t in found.trials if len(t.params) == 2
    ]
    own = found.sweep.config.weight.numbers()
    return landscape(points, (own["gamma1"], own["gamma2"]), found.sweep.score_name)


def _best_of_k(found: Searched) -> Figure:
    complete = found.complete
    if not complete:
        raise MissingStages("no trial is complete yet")
    known = all(trial.number in found.reported for trial in complete)
    reported = [found.reported_mean(trial) for trial in complete] if known else None
    curve = best_of_k([trial.score or 0.0 for trial in complete], reported)
    return best_of_k_plot(curve, found.sweep.score_name)


def _palette(dataset_info: DatasetInfo) -> NDArray[np.uint8]:
    if dataset_info.palette is None:
        raise MissingStages("the records do not know the colours of the classes")
    return dataset_info.palette


def _as_file(column: str) -> str:
    """A column as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9_.]+", "-", column).strip("-")
