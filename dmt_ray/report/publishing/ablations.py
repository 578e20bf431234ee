"""An ablation and the runs below it, as they are published."""

import functools
import logging
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from dmt_ray.errors import MissingStages, StoreError
from dmt_ray.experiments import reproduce
from dmt_ray.experiments.ablation import Member
from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.experiments.driver import State
from dmt_ray.experiments.experiment_file import ExperimentFile
from dmt_ray.plan import Plan, escape
from dmt_ray.plan.key import key_of
from dmt_ray.plan.words import counted
from dmt_ray.report import model_facts
from dmt_ray.report.publishing.members import (
    NAMES,
    REPORT,
    STATUS,
    MemberRun,
    best_model,
    code_tags,
    entry_of,
    evaluations_of,
    listed,
    write_page,
)
from dmt_ray.report.tables.build import build
from dmt_ray.report.tables.paper_numbers import paper_numbers
from dmt_ray.report.tables.text import markdown
from dmt_ray.report.titles import RULES
from dmt_ray.results import curves, names, tidy
from dmt_ray.results.curves import Point
from dmt_ray.store import Store
from dmt_ray.tracking import Content, Entry, Publication, Series, View
from dmt_ray.tracking.publication import CHILDREN, FILES, KIND, NAME, NOTE_LENGTH, ORDER, Status

log = logging.getLogger(__name__)

COLUMNS = [("metrics", "reported_last"), ("tags", "state"), ("tags", "row"), ("tags", "column"), ("tags", "seed")]
VIEW = View(COLUMNS, ("tags", ORDER), ascending=True)


class _Cell(NamedTuple):
    """A cell for one seed, as far as it has come."""

    run: Member
    order: str  # sorts the runs like the table: "03-1" is the third cell's second seed
    state: str  # a key of `STATUS`; "waiting": nothing of it is stored yet
    error: str  # why it failed; "" where it did not

    @property
    def identity(self) -> str:
        """What makes it this run and no other."""
        cell = self.run.cell
        settings = key_of([cell.row, cell.column, cell.method, cell.config.identity()])
        return f"{settings[:8]}-seed{self.run.seed}"


@dataclass(frozen=True)
class _Ablation:
    """An ablation as it is now; what of it is stored is looked up whenever it is needed."""

    folder: Path
    file: ExperimentFile
    store: Store
    state: State
    failed: Mapping[str, str]

    def cells(self) -> list[_Cell]:
        """All cells and seeds, in the order of the table."""
        ablation = self.file.ablation
        places = {(cell.row, cell.column): place for place, cell in enumerate(ablation.cells, 1)}
        width, digits = max(2, len(str(len(places)))), len(str(len(ablation.seeds) - 1))
        cells = [
            _Cell(one, f"{place:0{width}}-{ablation.seeds.index(one.seed):0{digits}}", *self._state(one.plan))
            for one in ablation.members()
            for place in [places[one.cell.row, one.cell.column]]
        ]
        return sorted(cells, key=lambda cell: cell.order)

    def _state(self, plan: Plan) -> tuple[str, str]:
        evaluations = evaluations_of([plan])
        missing = self.store.missing(evaluations)
        errors = [self.failed[stage.name] for stage in missing if stage.name in self.failed]
        if errors or not missing:
            return ("failed", errors[0]) if errors else ("there", "")
        if not any(map(self.store.has, evaluations)):
            return "waiting", ""
        return ("running" if self.state == "running" else "interrupted"), ""

    def status(self) -> Status:
        """Its state for MLflow: failed if a cell is."""
        if self.state == "finished" and any(cell.state == "failed" for cell in self.cells()):
            return "FAILED"
        return STATUS[self.state]

    def digest(self) -> str:
        """Changes whenever the page has something else to show."""
        rows = [[cell.identity, cell.state, cell.error] for cell in self.cells()]
        return key_of([NAMES, self.state, self.file.command, *rows])

    def children(self) -> list[Entry]:
        """The runs below the table."""
        best = self._best(self.cells())
        # Looked at anew: a stage that has just proved damaged counts as missing.
        return [self._child(cell, best.get(cell.identity, {})) for cell in self.cells()]

    def _best(self, cells: Sequence[_Cell]) -> dict[str, dict[int, Plan]]:
        """Of each row and column of a finished table, the run whose model is logged, and the plans that it is best of.

        The models of all runs would take the disk space of the store's once more.
        """
        groups: dict[tuple[str, str], list[_Cell]] = {}
        for cell in cells if self.state == "finished" else ():
            if cell.state == "there":
                groups.setdefault((cell.run.cell.row, cell.run.cell.column), []).append(cell)
        chosen = {}
        for group in groups.values():
            plans = {cell.run.seed: cell.run.plan for cell in group}
            best = model_facts.best_of(self.store, plans)
            for cell in group:
                if best in cell.run.plan.rungs[-1].values():
                    chosen[cell.identity] = plans
        return chosen

    def _child(self, cell: _Cell, best_of: Mapping[int, Plan]) -> Entry:
        """A run; `best_of`: the plans among which its model is the best; none: it is not."""
        (place, seed, plan), ablation = cell.run, self.file.ablation
        found = self.file.dataset_info_of(place)
        info = DatasetInfo() if found is None else DatasetInfo.from_json(found)
        where = {"row": place.row, "column": place.column}
        status, command = STATUS[cell.state], reproduce.of_member(self.file, cell.run)
        # As it stands in the table: "DMT · 1/20 · seed 0", the column only where there are several.
        name = " · ".join([place.row, *([place.column] if len(ablation.columns) > 1 else []), f"seed {seed}"])
        facts = {"name": f"{ablation.name} {name}", "method": place.method, "recipe": place.config.recipe}
        model = functools.partial(best_model, self.store, best_of, info, **facts, command=command)
        member = MemberRun(
            store=self.store,
            method=place.method,
            config=place.config,
            plans={seed: plan},
            info=info,
            state=[cell.order, cell.state, cell.error, *(["with its model"] if best_of else [])],
            params={"seed": seed, **where},
            tags={**where, "seed": str(seed), ORDER: cell.order, "state": cell.state, "error": cell.error or None},
            command=command,
            files=status != "RUNNING",
            best_model=model if best_of else None,
        )
        identity = {KIND: "cell", NAME: ablation.name, "dmt.cell": cell.identity}
        entry = entry_of(name, identity, status, lambda: member, member.digest())
        return entry if cell.state != "waiting" else replace(entry, content=None)

    def content(self) -> Content:
        """The page of the table."""
        (table, means), ablation, cells = self._table(), self.file.ablation, self.cells()
        ends = {
            (cell.row, cell.column): times[1]
            for (cell, seed, plan), _, state, _ in cells
            if state == "there" and (times := curves.span(self.store, {seed: plan}))
        }

        def write_files(folder: Path) -> None:
            (folder / "table.md").write_text(table, encoding="utf-8")
            if len(means):
                shown = escape.cells(means.reset_index())
                shown.to_csv(folder / "means.csv", index=False, lineterminator="\n")
            if self.state != "running":
                write_page(self.folder, folder / REPORT)

        tags = {"recipe": ablation.recipe, "seeds": listed(ablation.seeds), "reference": ablation.reference}
        tags |= {
            "state": self.state,
            "rows": ", ".join(ablation.rows),
            "columns": ", ".join(ablation.columns),
            "command": self.file.command,
        }
        return Content(
            params={"recipe": ablation.recipe, "rows": str(len(ablation.rows))},
            tags=tags | code_tags(self.store, [cell.run.plan for cell in cells]),
            note=self._note(cells, table),
            series=[Series("", "", lambda: list(_mean_points(means, ends)))],
            write_files=write_files,
            files_digest=key_of([self.state == "running", table, means["seeds"].reset_index().to_numpy().tolist()]),
        )

    def _table(self) -> tuple[str, pd.DataFrame]:
        """The table in Markdown, or why there is none, which must not keep the runs back; and its means."""
        means = pd.DataFrame({"seeds": []})
        try:
            frame = tidy.of_ablation(self.folder, self.store)
            means = _means(frame)
            return markdown_table(frame), means
        except (ValueError, StoreError, MissingStages) as error:
            log.warning("%s has no table yet: %s", self.file.ablation.name, error)
            return f"There is no table yet: {escape.markdown(str(error))}\n", means

    def _note(self, cells: Sequence[_Cell], table: str) -> str:
        """The head of the page, in Markdown: the question, the counts, the table, and how to compute it."""
        words = {"there": "complete", "waiting": "not begun"}
        states = Counter(words.get(cell.state, cell.state) for cell in cells)
        counts = ", ".join(f"{count:,} {state}" for state, count in states.items())
        # The result early, as MLflow folds all but some lines.
        links = f"[in the order of the table]({CHILDREN})"
        links += f", [report]({FILES}/{REPORT})" if self.state != "running" else ""
        start = f"## {escape.markdown(self.file.ablation.title)}\n\n{counted(len(cells), 'run')}: {counts} ({links})."
        end = (
            f"\n\n{escape.fenced(self.file.command)}\n\nMetrics are fractions from 0 to 1; here `reported_last/DMT` is "
            "the mean of that row over its seeds. In the list of runs, the tag `order` sorts them like the table, and "
            "grouped by the tag `row` they show means."
        )
        rest = "\n\nThe whole table is among the artifacts, in `table.md`."
        return start + _beginning(table, NOTE_LENGTH - len(start) - len(end) - len(rest), rest) + end


def of_ablation(
    folder: Path, file: ExperimentFile, store: Store, state: State, failed: Mapping[str, str]
) -> Publication:
    """An ablation in its folder, as it is now.

    Args:
        state: "running" while the caller performs it; else what is begun and not complete counts as interrupted.
        failed: Name of a stage -> why it failed in the last start.
    """
    ablation, name = _Ablation(folder, file, store, state, failed), file.ablation.name
    entry = Entry(name, {KIND: "ablation", NAME: name}, ablation.status(), ablation.digest, ablation.content)
    # Rows that were left out, or have other settings now.
    return Publication(entry, ablation.children, {"state": "not in the table", ORDER: None}, VIEW)


def markdown_table(frame: pd.DataFrame) -> str:
    """The table of tidy records in Markdown.

    Raises:
        ValueError: If they cannot be put in a table.
    """
    return markdown(build(frame, paper=paper_numbers(frame.attrs["about"])))


def _means(frame: pd.DataFrame) -> pd.DataFrame:
    """Row and column -> how many seeds, and for each rule mean and sample sd of the reported score in [0, 1]."""
    scores = tidy.scored(frame[frame["state"] == "there"], rule=None)
    by_rule = scores[scores["rule"].isin(RULES)].groupby(["row", "column", "rule"], sort=False)["value"]
    table = by_rule.agg(["mean", "std", "count"]).unstack("rule", sort=False)
    if not len(table):
        return pd.DataFrame({"seeds": []})
    columns = {f"reported_{rule}{end}": table[of, rule] for rule in RULES for of, end in (("mean", ""), ("std", "_sd"))}
    return pd.DataFrame({"seeds": table["count", "last"], **columns})


def _mean_points(means: pd.DataFrame, ends: Mapping[tuple[str, str], int]) -> Iterator[Point]:
    """ "reported_last/DMT" and the like; the step is the number of seeds, so that a curve shows how they settle."""
    several = len({column for _, column in means.index}) > 1
    columns, rows = (names.distinct((pair[at] for pair in means.index), names.metric) for at in (1, 0))
    for (row, column), values in zip(means.index, means.to_dict("records"), strict=True):
        name = f"{columns[column]}/{rows[row]}" if several else rows[row]
        for metric, value in values.items():
            if not math.isnan(value) and (row, column) in ends:
                yield Point(f"{metric}/{name}", value, int(values["seeds"]), ends[row, column])


def _beginning(table: str, room: int, rest: str) -> str:
    """As many paragraphs of a table as there is room for, without its title, and where the others are."""
    paragraphs = [part for part in table.strip().split("\n\n") if part and not part.startswith("# ")]
    count = sum(length <= room for length in accumulate(len(part) + 4 for part in paragraphs))
    whole = count == len(paragraphs)
    while count and not whole and paragraphs[count - 1].startswith("#"):
        count -= 1  # a title without what it is the title of
    text = "".join(f"\n\n{'#' if part.startswith('#') else ''}{part}" for part in paragraphs[:count])
    return text if whole else text + rest
