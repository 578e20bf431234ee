"""How MLflow lists and charts runs: views that its UI shares between people, kept in tags of the experiment.

The UI opens a shared view where an address names it; without the name it shows what it shows of any experiment.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from dmt_ray.tracking.connection import DATABASE, EXPERIMENT
from dmt_ray.tracking.publication import PARENT, View

TAG = "mlflow.sharedViewState."
ALL = "dmt"  # the view of all runs, with columns for what the latest experiments have
LONGEST = 4900  # characters of a tag of an experiment
COLUMNS = 10  # of the view of all runs
AXES = 3  # settings with a chart of their own

# The sections of charts (`results.curves`), and whether they are unfolded.
SECTIONS: Mapping[str, bool] = {
    "iterations": True,
    "labels": True,
    "loss": True,
    "other": False,
    "per_class": False,
    "Model metrics": False,
}
WORKFLOW = {"workflowType": "machine_learning"}  # else the UI shows its tools for language models at the side
_SEARCHED = "searched"


def below(view: View, run_id: str) -> dict[str, Any]:
    """The view of the runs below a run, as the UI reads it."""
    state: dict[str, Any] = {
        "searchFilter": f"tags.`{PARENT}` = '{run_id}'",
        "orderByKey": _column(view.order),
        "orderByAsc": view.ascending,
        "selectedColumns": [_column(column) for column in view.columns],
    }
    if view.score and view.searched:
        names = [_SEARCHED, *SECTIONS]
        unfolded = {_SEARCHED: True, **SECTIONS}
        state |= {
            "isAccordionReordered": True,  # else the sections would be sorted by name
            "compareRunSections": [
                {
                    "uuid": name,
                    "name": f"{view.score} against what was searched" if name == _SEARCHED else name,
                    "display": unfolded[name],
                    "isReordered": True,
                    "deleted": False,
                    "isGenerated": False,
                }
                for name in names
            ],
            "compareRunCharts": list(_charts(view)),
        }
    return state


def _charts(view: View) -> Iterable[dict[str, Any]]:
    """The score over each setting that is a number, over two together, and over all at once."""
    common = {"metricSectionId": _SEARCHED, "deleted": False, "isGenerated": False}
    score = {"key": view.score, "type": "METRIC"}
    axes = [{"key": name, "type": "PARAM"} for name in view.numbers]
    for axis in axes[:AXES]:
        chart = {"type": "SCATTER", "xaxis": axis, "yaxis": score, "runsCountToCompare": 1000}
        yield {"uuid": f"over {axis['key']}", **chart, **common}
    if len(axes) == 2:
        yield {"uuid": "contour", "type": "CONTOUR", "xaxis": axes[0], "yaxis": axes[1], "zaxis": score, **common}
    chart = {"type": "PARALLEL", "selectedParams": list(view.searched), "selectedMetrics": [view.score]}
    yield {"uuid": "parallel", **chart, "showAllRuns": True, **common}


def together(view: View, before: str | None) -> dict[str, Any]:
    """The view of all runs; its columns are those of this view, and of earlier ones as far as there is room."""
    try:
        known = json.loads(before or "{}").get("selectedColumns", [])
    except (ValueError, AttributeError):
        known = []
    own = [_column(column) for column in view.columns]
    columns = known if set(own) <= set(known) else list(dict.fromkeys([*own, *known]))[:COLUMNS]
    return {"orderByKey": "attributes.start_time", "orderByAsc": False, "selectedColumns": columns}


def as_tag(state: Mapping[str, Any]) -> str | None:
    """The text of a view; None if it is too long for a tag, also without its charts."""
    for left_out in ((), ("compareRunCharts", "compareRunSections", "isAccordionReordered")):
        text = json.dumps({name: value for name, value in state.items() if name not in left_out}, separators=(",", ":"))
        if len(text) <= LONGEST:
            return text
    return None


def page_of(experiment: str, key: str = "", *, charts: bool = False) -> str:
    """Where the UI shows an experiment's runs in a view; without a key, as it shows any."""
    words = {
        **WORKFLOW,
        **({"viewStateShareKey": key} if key else {}),
        **({"compareRunsMode": "CHART"} if charts else {}),
    }
    return f"#/experiments/{experiment}/runs?{urlencode(words)}"


def start_page(storage: Path) -> str:
    """Where the UI of the MLflow in a storage folder shows all training runs."""
    query = """
        SELECT experiment_id, EXISTS (
            SELECT 1 FROM experiment_tags WHERE experiment_tags.experiment_id = experiments.experiment_id AND key = ?
        ) FROM experiments WHERE name = ?
    """
    row = _first(storage, query, [f"{TAG}{ALL}", EXPERIMENT])
    return "#/experiments" if row is None else page_of(str(row[0]), ALL if row[1] else "")


def run_page(storage: Path, name: str) -> str | None:
    """Where the UI of the MLflow in a storage folder shows a sweep, an ablation or a run; None if it has none."""
    query = """
        SELECT experiment_id, run_uuid FROM runs JOIN tags USING (run_uuid)
        WHERE key = 'dmt.name' AND value = ? AND lifecycle_stage = 'active'
        AND EXISTS (
            SELECT 1 FROM tags kind WHERE kind.run_uuid = runs.run_uuid AND kind.key = 'dmt.kind'
            AND kind.value IN ('sweep', 'ablation', 'run')
        ) ORDER BY start_time
    """
    row = _first(storage, query, [name])
    return None if row is None else f"#/experiments/{row[0]}/runs/{row[1]}"


def _first(storage: Path, query: str, values: Sequence[str]) -> tuple[Any, ...] | None:
    """The first row that the database in a storage folder has; None if there is none."""
    file = storage / DATABASE
    if not file.is_file():
        return None
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=5)) as database:
            row: tuple[Any, ...] | None = database.execute(query, values).fetchone()
            return row
    except sqlite3.Error:  # another program's, or it is locked
        return None


def _column(column: tuple[str, str]) -> str:
    return f"{column[0]}.`{column[1]}`"
