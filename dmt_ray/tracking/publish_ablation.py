"""An ablation in MLflow: a run for the table, and below it a run for every cell and seed."""

import csv
import io
import logging
import re
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args
from urllib.parse import quote, urlencode

from dmt_ray.config import SelectionRule
from dmt_ray.errors import MissingStages, StoreError
from dmt_ray.experiments.ablation import Ablation, Wanted
from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.experiments.reproduce_ablation import command
from dmt_ray.plan import Plan
from dmt_ray.plan.key import key_of
from dmt_ray.results import curves
from dmt_ray.results.curves import Point
from dmt_ray.store import Store
from dmt_ray.tracking import artifacts, describe
from dmt_ray.tracking.connection import Mirror
from dmt_ray.tracking.publish_shared import (
    DONE,
    FILES,
    KIND,
    NAME,
    PARENT,
    began,
    children,
    ended,
    found_or_new,
    publish_files,
    publish_plans,
    stored,
)
from dmt_ray.tracking.results import AblationResults

if TYPE_CHECKING:
    from mlflow.entities import Run

log = logging.getLogger(__name__)

CELL = "dmt.cell"
STATE = "state"
NOTE_LENGTH = 4800  # characters of a description that MLflow keeps on every database
RULES = get_args(SelectionRule)

State = Literal["there", "failed", "running", "interrupted", "waiting"]
STATUS = {"there": "FINISHED", "failed": "FAILED", "running": "RUNNING", "interrupted": "KILLED"}


class Part(NamedTuple):
    """A cell for one seed, as far as it has come.

    Attributes:
        wanted: The cell, the seed and their plan.
        order: Sorts the runs like the table: "03-1" is the third cell's second seed.
        state: "waiting": nothing of it is there yet.
        error: Why it failed; "" where it did not.
    """

    wanted: Wanted
    order: str
    state: State
    error: str

    @property
    def plans(self) -> dict[int, Plan]:
        """As the functions that replay plans want it."""
        return {self.wanted.seed: self.wanted.plan}

    @property
    def identity(self) -> str:
        """What makes it this run and no other."""
        cell = self.wanted.cell
        settings = key_of([cell.row, cell.column, cell.method, cell.config.identity()])
        return f"{settings[:8]}-seed{self.wanted.seed}"


def publish_ablation(mirror: Mirror, results: AblationResults) -> None:
    """Bring MLflow up to date with an ablation; see `publish.publish`."""
    ablation = results.file.ablation
    parent = found_or_new(mirror, {KIND: "ablation", NAME: ablation.name}, ablation.name, None)
    above = parent.info.run_id
    parts = list(_parts(results))
    shown = {part.identity: _shown(results.store, part) for part in parts if part.state != "waiting"}
    news = [
        part
        for part in parts
        if part.identity in shown and mirror.told.get((above, part.identity)) != shown[part.identity]
    ]
    known = children(mirror, above, CELL, [part.identity for part in news])
    # First the cells: the table never speaks of one that is not there.
    for part in news:
        done = shown[part.identity]
        if _publish_cell(mirror, results, above, part, known.get(part.identity), done):
            mirror.told[above, part.identity] = done
    _set_aside(mirror, above, {part.identity for part in parts})
    _publish_parent(mirror, results, parent, parts)


def _parts(results: AblationResults) -> Iterable[Part]:
    ablation, store = results.file.ablation, results.store
    places = {(cell.row, cell.column): place for place, cell in enumerate(ablation.cells, 1)}
    width, digits = max(2, len(str(len(places)))), len(str(len(ablation.seeds) - 1))
    for wanted in sorted(ablation.wanted(), key=lambda one: (places[one.cell.row, one.cell.column], one.seed)):
        place, seed = places[wanted.cell.row, wanted.cell.column], ablation.seeds.index(wanted.seed)
        state, error = _state(results, store, wanted)
        yield Part(wanted, f"{place:0{width}}-{seed:0{digits}}", state, error)


def _state(results: AblationResults, store: Store, wanted: Wanted) -> tuple[State, str]:
    evaluations = [evaluation for rung in wanted.plan.rungs for evaluation in rung.values()]
    if all(store.has(evaluation) for evaluation in evaluations):
        return "there", ""
    why = next((results.failed[one.name] for one in store.missing(evaluations) if one.name in results.failed), None)
    if why is not None:
        return "failed", why
    if not any(store.has(evaluation) for evaluation in evaluations):
        return "waiting", ""
    return ("running" if results.state == "running" else "interrupted"), ""


def _shown(store: Store, part: Part) -> str:
    """Changes whenever a cell's run has more or something else to show."""
    return key_of([part.order, part.state, part.error, *stored(store, part.plans)])


def _publish_cell(
    mirror: Mirror, results: AblationResults, parent: str, part: Part, run: "Run | None", done: str
) -> bool:
    """Bring the run of a cell and seed up to date; False if a stage turned out to be damaged, or was just finished."""
    (cell, seed, plan), plans, store = part.wanted, part.plans, results.store
    status = STATUS[part.state]
    if run is not None and run.data.tags.get(DONE) == done and run.info.status == status:
        return True
    if run is None:
        tags = {PARENT: parent, KIND: "cell", NAME: results.name, CELL: part.identity}
        run = mirror.create(_name(results.file.ablation, part.wanted), tags, began(store, plans, None))
        mirror.runs[parent, part.identity] = run.info.run_id
    elif run.info.status != "RUNNING" and status == "RUNNING":
        mirror.set_status(run, "RUNNING")
    dataset_info = _dataset_info(results, cell.column)
    place = {"row": cell.row, "column": cell.column}
    mirror.log_params(run, describe.params(cell.config, method=cell.method, seed=seed, **place))
    again = command(results.file, part.wanted)
    tags = describe.common_tags(cell.method, cell.config, [seed], dataset_info)
    tags |= describe.made_tags(store, (unit.evaluation for unit in curves.units(plans)))
    tags |= place | {"seed": str(seed), "order": part.order, STATE: part.state}
    tags |= {"command": again, describe.NOTE: f"Again:\n```\n{again}\n```"}
    mirror.tag(run, tags | ({"error": part.error} if part.error else {}))
    mirror.untag(run, () if part.error else ["error"])
    publish_plans(mirror, run, store, plans, dataset_info)
    if status != "RUNNING":
        keys = [stage.key for stage in plan.stages()]
        publish_files(
            mirror, run, lambda folder: artifacts.write_run(folder, store, cell.config, plans, keys, dataset_info)
        )
        mirror.set_status(run, status, ended(store, plans, None))
    if _shown(store, part) != done:
        return False
    mirror.tag(run, {DONE: done})
    return True


def _name(ablation: Ablation, wanted: Wanted) -> str:
    """As it stands in the table: "DMT · 1/20 · seed 0", the column only where there are several."""
    column = [wanted.cell.column] if len(ablation.columns) > 1 else []
    return " · ".join([wanted.cell.row, *column, f"seed {wanted.seed}"])


def _dataset_info(results: AblationResults, column: str) -> DatasetInfo:
    said = results.file.dataset_info.get(column)
    return DatasetInfo() if said is None else DatasetInfo.from_json(said)


def _set_aside(mirror: Mirror, parent: str, wanted: set[str]) -> None:
    """Runs that the table has no place for any more, as a row was left out or has other settings, say so."""
    gone = {name: run for (above, name), run in mirror.runs.items() if above == parent and name not in wanted}
    for run in mirror.find_ids(list(gone.values())):
        mirror.tag(run, {STATE: "not in the table"})
        mirror.untag(run, ["order", DONE])
    for name in gone:
        mirror.told.pop((parent, name), None)


# ---- the table -------------------------------------------------------------------------------------------------


class Mean(NamedTuple):
    """A cell over its seeds: rule -> mean and sample sd of the reported mIoU in [0, 1]; the sd of one is None."""

    row: str
    column: str
    seeds: int
    rules: Mapping[str, tuple[float, float | None]]


def _publish_parent(mirror: Mirror, results: AblationResults, parent: "Run", parts: Sequence[Part]) -> None:
    ablation, store = results.file.ablation, results.store
    whole = not any(part.state == "failed" for part in parts)
    status = {"running": "RUNNING", "finished": "FINISHED" if whole else "FAILED", "stopped": "KILLED"}[results.state]
    rows = [[part.identity, part.state, part.error] for part in parts]
    done = key_of([results.state, results.file.command, *rows])
    if parent.data.tags.get(DONE) == done and parent.info.status == status:
        return
    mirror.set_status(parent, "RUNNING")
    table = _table(results)
    means = list(_means(store, parts))
    evaluations = [unit.evaluation for part in parts for unit in curves.units(part.plans)]
    seeds = ", ".join(map(str, ablation.seeds))
    mirror.log_params(parent, {"recipe": ablation.recipe, "rows": str(len(ablation.rows))})
    tags = {
        "recipe": ablation.recipe,
        "seeds": seeds,
        "reference": ablation.reference,
        "rows": ", ".join(ablation.rows),
    }
    tags |= {"columns": ", ".join(ablation.columns), "command": results.file.command}
    tags |= describe.made_tags(store, evaluations)
    tags[describe.NOTE] = _note(mirror, results, parts, table)
    mirror.tag(parent, tags)
    mirror.log_points(parent, _points(store, parts, means))
    drawn = key_of([results.state == "running", table, [list(mean[:3]) for mean in means]])
    if parent.data.tags.get(FILES) != drawn:
        publish_files(mirror, parent, lambda folder: _write(folder, table, means))
        mirror.tag(parent, {FILES: drawn})
    mirror.set_status(parent, status)
    if sum(mean.seeds for mean in means) == sum(part.state == "there" for part in parts):  # else one was damaged
        mirror.tag(parent, {DONE: done})


def _table(results: AblationResults) -> str:
    """The table in Markdown, or why there is none: what is not yet a table must not keep the runs back."""
    if results.table is None:
        return ""
    try:
        return results.table()
    except (ValueError, StoreError, MissingStages) as error:
        log.warning("%s has no table yet: %s", results.name, error)
        return f"There is no table yet: {error}\n"


def _means(store: Store, parts: Sequence[Part]) -> Iterable[Mean]:
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    for part in parts:
        if part.state == "there":
            try:
                scores = curves.finals(store, part.plans)
            except (StoreError, MissingStages) as error:
                log.warning("%s is left out of the means: %s", part.wanted.name, error)
            else:
                found.setdefault((part.wanted.cell.row, part.wanted.cell.column), []).append(scores)
    for (row, column), seeds in found.items():
        values = {rule: [one[f"reported_{rule}"] for one in seeds] for rule in RULES}
        rules = {rule: (statistics.fmean(v), statistics.stdev(v) if len(v) > 1 else None) for rule, v in values.items()}
        yield Mean(row, column, len(seeds), rules)


def _points(store: Store, parts: Sequence[Part], means: Sequence[Mean]) -> list[Point]:
    """ "reported_last/DMT" and the like; the step is the number of seeds, so that a curve shows how they settle."""
    when = {
        (part.wanted.cell.row, part.wanted.cell.column): ended(store, part.plans, None) or 0
        for part in parts
        if part.state == "there"
    }
    names = _metric_names(means)
    found = []
    for mean, name in zip(means, names, strict=True):
        time = when[mean.row, mean.column]
        found.append(Point(f"seeds/{name}", mean.seeds, mean.seeds, time))
        for rule, (value, sd) in mean.rules.items():
            found.append(Point(f"reported_{rule}/{name}", value, mean.seeds, time))
            if sd is not None:
                found.append(Point(f"reported_{rule}_sd/{name}", sd, mean.seeds, time))
    return found


def _metric_names(means: Sequence[Mean]) -> list[str]:
    """Row, and column where there are several, in the characters that MLflow allows; no two the same."""
    several = len({mean.column for mean in means}) > 1
    found: list[str] = []
    for mean in means:
        words = [mean.column, mean.row] if several else [mean.row]
        name = "/".join(re.sub(r"[^\w.\- ]", "_", word) for word in words)
        while name in found:
            name += "_"
        found.append(name)
    return found


def _write(folder: Path, table: str, means: Sequence[Mean]) -> None:
    if table:
        (folder / "table.md").write_text(table, encoding="utf-8")
    if means:
        text = io.StringIO()
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow(["row", "column", "seeds", *(f"reported_{rule}{end}" for rule in RULES for end in ("", "_sd"))])
        for mean in means:
            values = [value for pair in mean.rules.values() for value in pair]
            lines.writerow([*mean[:3], *("" if value is None else value for value in values)])
        (folder / "means.csv").write_text(text.getvalue(), encoding="utf-8")


def _note(mirror: Mirror, results: AblationResults, parts: Sequence[Part], table: str) -> str:
    """The head of an ablation's page, in Markdown: what it asks, what there is, the table, and how to compute it."""
    words = {"there": "complete", "waiting": "not begun"}
    counts = Counter(words.get(part.state, part.state) for part in parts)
    # The result early, as MLflow folds all but some lines.
    start = (
        f"## {results.file.ablation.title}\n\n"
        f"{len(parts)} runs: {', '.join(f'{count} {state}' for state, count in counts.items())} "
        f"([in the order of the table]({_in_order(mirror, results.name)}))."
    )
    end = (
        f"\n\n```\n{results.file.command}\n```\n\nMetrics are fractions from 0 to 1; here `reported_last/DMT` is the "
        "mean of that row over its seeds. In the list of runs, the tag `order` sorts them like the table, and grouped "
        "by the tag `row` they show means."
    )
    rest = "\n\nThe whole table is among the artifacts, in `table.md`."
    return start + _beginning(table, NOTE_LENGTH - len(start) - len(end) - len(rest), rest) + end


def _in_order(mirror: Mirror, name: str) -> str:
    """Where the UI lists the runs of an ablation in the order of its table."""
    wanted = {"searchFilter": f"tags.`{NAME}` = '{name}' AND tags.`{KIND}` = 'cell'", "orderByKey": "tags.order"}
    return f"#/experiments/{mirror.experiment}/runs?{urlencode(wanted | {'orderByAsc': 'true'}, quote_via=quote)}"


def _beginning(table: str, room: int, rest: str) -> str:
    """As many paragraphs of a table as there is room for, without its title, and where the others are."""
    paragraphs = [part for part in table.strip().split("\n\n") if part and not part.startswith("# ")]
    taken: list[str] = []
    for part in paragraphs:
        if sum(len(one) + 4 for one in [*taken, part]) > room:
            break
        taken.append(part)
    whole = len(taken) == len(paragraphs)
    while taken and not whole and taken[-1].startswith("#"):
        taken.pop()  # a title without what it is the title of
    text = "".join(f"\n\n{'#' if part.startswith('#') else ''}{part}" for part in taken)
    return text if whole else text + rest
