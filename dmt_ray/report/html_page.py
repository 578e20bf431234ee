"""A self-contained HTML page about an ablation or a sweep."""

import base64
import html
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pandas as pd
import yaml

from dmt_ray.config import Config
from dmt_ray.errors import ConfigError, MissingStages, UserError
from dmt_ray.experiments import experiment_file
from dmt_ray.experiments.diagnose import diagnose
from dmt_ray.experiments.locate import is_ablation
from dmt_ray.experiments.sweep import short
from dmt_ray.experiments.trials import STUDY
from dmt_ray.files import write_text
from dmt_ray.methods.space import as_text
from dmt_ray.report.figures.drawing import AblationFigures, Drawing, caption_of, of_sweep
from dmt_ray.report.figures.kit import render
from dmt_ray.report.figures.predictions import Predictor
from dmt_ray.report.status import all_statuses
from dmt_ray.report.summary import CAVEAT
from dmt_ray.report.tables.build import build
from dmt_ray.report.tables.caption import sources
from dmt_ray.report.tables.grid import Block, Cell
from dmt_ray.report.tables.metrics import of_each_class
from dmt_ray.report.tables.paper_numbers import paper_numbers
from dmt_ray.report.tables.text import grids, lists, page
from dmt_ray.report.titles import IMAGES, NONE, RULES, percent
from dmt_ray.results import tidy

DPI = 110
PREDICT = "Predictions of models are computed and cached by <code>dmt figures NAME --predict</code>."
MANY = 50  # trials that are listed
STYLE = """
h2 { font-size: 1.2rem; border-bottom: 1px solid; padding-bottom: .2rem; }
h3 { font-size: 1rem; margin: 1.4rem 0 .3rem; }
pre { overflow-x: auto; padding: .6rem .8rem; border-radius: 4px; }
pre { background: color-mix(in srgb, currentColor 7%, transparent); }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(33rem, 100%), 1fr)); gap: 1.5rem; }
figure { margin: 0; } img { max-width: 100%; height: auto; background: #fff; border-radius: 4px; }
figcaption { font-size: .9rem; opacity: .85; } summary { cursor: pointer; } .lead { font-size: 1.05rem; }
"""


@dataclass(frozen=True)
class Page:
    """The content of a report."""

    title: str  # the question
    lead: str  # what it is, and how far it has come, in a sentence or two
    command: str  # what computes it
    tables: Sequence[Block]  # grids of numbers
    caption: Sequence[str]  # what they mean
    per_class: Sequence[Block]  # grids of the scores of each class
    drawings: Iterable[Drawing]  # figures, each drawn when it is needed
    wrong: str  # what went wrong, as `dmt why` prints it
    made_from: Sequence[str]  # data, splits, code and packages
    settings: dict[str, str]  # title -> settings


def write(folder: Path, file: Path) -> None:
    """Write the page of an ablation or a sweep.

    Args:
        folder: Its folder, as `<storage>/ablations/<name>` or `<storage>/sweeps/<name>`.
        file: An .html file.

    Raises:
        ConfigError: If the file cannot be written there.
        StoreError: If the folder holds neither.
    """
    if file.suffix != ".html" or not file.absolute().parent.is_dir():
        raise ConfigError(f"a report must be an .html file in an existing folder, but got {str(file)!r}")
    write_text(file, as_html(page_of_ablation(folder) if is_ablation(folder) else page_of_sweep(folder)))


def write_all(storage: Path, out: Path) -> Iterator[Path]:
    """Write a page for every sweep and ablation in a storage folder, and index.html, which lists them.

    Args:
        storage: Folder of the results.
        out: Folder of the pages; it is made if it is not there.

    Yields:
        Each file that was written, the index last.

    Raises:
        MissingStages: If there is no experiment in the storage folder.
    """
    statuses = list(all_statuses(storage))
    if not statuses:
        raise MissingStages(f"there is no experiment in {storage}. Pass the folder of the results as --storage")
    out.mkdir(parents=True, exist_ok=True)
    lines = []
    for status in statuses:
        name = html.escape(status.name)
        if status.kind != "run":
            file = out / f"{status.name}.html"
            write(status.folder, file)
            yield file
            name = f'<a href="{html.escape(quote(file.name))}">{name}</a>'
        counts = ", ".join(f"{count} {state}" for state, count in status.members.items())
        best = status.best
        score = "" if best is None else f"{html.escape(best.what)}: validation {best.measure} {percent(best.score)} %"
        lines.append(f'<tr><th scope="row">{name}</th><td>{status.kind}</td><td>{counts}</td><td>{score}</td></tr>')
    head = "".join(f'<th scope="col">{title}</th>' for title in ("", "kind", "trials or runs", "best so far"))
    table = ['<div class="grid"><table><thead><tr>', head, "</tr></thead><tbody>", *lines, "</tbody></table></div>"]
    write_text(out / "index.html", page(f"Experiments in {storage.absolute().name}", table, STYLE))
    yield out / "index.html"


# ---- an ablation -----------------------------------------------------------------------------------------------


def page_of_ablation(folder: Path) -> Page:
    """The page of an ablation in its folder."""
    file, frame = experiment_file.read(folder), tidy.of_ablation(folder)
    ablation = file.ablation
    complete = len(frame[frame["state"] == "there"][["row", "column", "seed"]].drop_duplicates())
    try:
        table = build(frame, paper=paper_numbers(frame.attrs["about"]))
        blocks, caption, footer = table.blocks, table.caption, table.footer
        classes = build(frame, per_class=True).blocks if complete else ()
    except ValueError as error:
        blocks, caption, footer, classes = (), (f"There is no table: {error}",), (), ()
    several = len(ablation.columns) > 1
    reference = next(cell.config for cell in ablation.cells if cell.row == ablation.reference)
    names = [cell.row + f", {cell.column}" * several for cell in ablation.cells]
    texts = [f"{cell.method}  {' '.join(cell.changes)}".strip() for cell in ablation.cells]
    changed = [f"{name}: {text}" for name, text in zip(names, texts, strict=True)]
    rows = f"{len(ablation.rows)} rows" + f" in {len(ablation.columns)} columns" * several
    return Page(
        title=ablation.title,
        lead=f"{ablation.name}: {rows}, {len(ablation.seeds)} seeds; {complete} of "
        f"{len(ablation.cells) * len(ablation.seeds)} runs are complete.",
        command=file.command,
        tables=blocks,
        caption=caption,
        per_class=[block for block in classes if "of each class" in block.title],
        drawings=AblationFigures(folder, Predictor(folder.parents[1], file.data, "cpu", computes=False)).drawings(),
        wrong=diagnose(folder).text(),
        made_from=footer,
        settings={
            f"{ablation.reference}, all settings": _yaml(reference),
            "Every row: its method, and what it changes": "\n".join(changed),
        },
    )


# ---- a sweep ---------------------------------------------------------------------------------------------------


def page_of_sweep(folder: Path) -> Page:
    """The page of a sweep in its folder."""
    file, frame = experiment_file.read(folder), tidy.of_sweep(folder)
    sweep, origin = file.sweep, frame.attrs["about"]
    ranked = _ranked(frame)
    states = ranked["state"].map({"there": "complete", "missing": "not complete"}).fillna(ranked["state"])
    counts = ", ".join(f"{count} {state}" for state, count in states.value_counts(sort=False).items())
    caption = [
        f"Trials by the score that the search maximises: {sweep.score_name} on the validation images, mean over "
        f"models and seeds ({', '.join(map(str, sweep.seeds))}). The other columns are on the test images,"
        " under the three rules.",
        CAVEAT,
    ]
    best = ranked["trial"].iloc[0] if ranked["score"].notna().any() else None
    if best is not None:
        commands = dict(zip(frame["trial"].unique(), origin["commands"], strict=True))
        caption.append(f"To reproduce the best trial: {commands[best][2]}")
    return Page(
        title=sweep.title,
        lead=f"{sweep.name}: {file.trials} trials of {sweep.method}, of which {counts or 'none is begun'}.",
        command=origin["command"],
        tables=[_trials(ranked, list(sweep.space), sweep.score_name)] if len(ranked) else [],
        caption=caption,
        per_class=list(_classes(frame, best)) if best is not None else [],
        drawings=of_sweep(folder) if (folder / STUDY).exists() else (),
        wrong=diagnose(folder).text(),
        made_from=list(sources(frame)),
        settings={
            "What is searched": "\n".join(f"{setting}: {values}" for setting, values in origin["space"].items()),
            "All other settings": _yaml(sweep.config),
        },
    )


def _ranked(frame: pd.DataFrame) -> pd.DataFrame:
    """One line per trial, the best first: its own columns, and the test score by rule as test/<rule>."""
    means = tidy.scored(frame, rule=None).groupby(["trial", "rule"])["value"].mean().unstack()
    trials = frame.drop_duplicates("trial").set_index("trial")
    for rule in RULES:
        trials[f"test/{rule}"] = means[rule] if rule in means else float("nan")
    return trials.sort_values("score", ascending=False, kind="stable", na_position="last").reset_index()


def _trials(ranked: pd.DataFrame, space: Sequence[str], measure: str) -> Block:
    rows = []
    for line in ranked.head(MANY).to_dict("records"):
        scores = [line["score"], *(line[f"test/{rule}"] for rule in RULES)]
        settings = [as_text(line[f"param/{setting}"]) for setting in space]
        texts = [str(line["trial"]), *settings, "complete" if line["state"] == "there" else str(line["state"])]
        texts += [NONE if score is None or pd.isna(score) else percent(float(score)) for score in scores]
        rows.append(tuple(map(Cell, texts)))
    header = ("trial", *map(short, space), "state", "validation score", *(RULES[rule] for rule in RULES))
    notes = (f"The best {MANY} of {len(ranked)} trials.",) if len(ranked) > MANY else ()
    return Block(f"{measure} (%)", header, tuple(rows), notes)


def _classes(frame: pd.DataFrame, trial: int) -> Iterator[Block]:
    """The scores of every class after the last rung of a trial."""
    own = frame[(frame["trial"] == trial) & (frame["rule"] == "last")]
    start, name = of_each_class(frame)
    rows = []
    for metric in dict.fromkeys(own["metric"]):
        if str(metric).startswith(start):
            lines = own[own["metric"] == metric]
            values = [lines[lines["images"] == images]["value"].tolist() for images in IMAGES]
            texts = [percent(statistics.fmean(group)) if group else NONE for group in values]
            rows.append(tuple(map(Cell, (metric.removeprefix(start), *texts))))
    header = ("", *(f"{images} images" for images in IMAGES.values()))
    yield Block(f"{name} (%) of each class, trial {trial} after its last iteration", header, tuple(rows))


# ---- HTML ------------------------------------------------------------------------------------------------------


def as_html(content: Page) -> str:
    """The page, with its figures in it."""
    shown, left_out = _figures(content.drawings)
    parts = [
        f'<p class="lead">{html.escape(content.lead)}</p>',
        _code(content.command),
        "<h2>Scores</h2>",
        *grids(content.tables, "h3"),
        lists(content.caption),
        *(["<h2>Figures</h2>", '<div class="figures">', *shown, "</div>"] if shown else []),
        *([f'<p class="note">Left out: {html.escape("; ".join(left_out))}. {PREDICT}</p>'] if left_out else []),
        *(["<h2>Class by class</h2>", *grids(content.per_class, "h3")] if content.per_class else []),
        "<h2>Failures</h2>",
        _code(content.wrong),
        "<h2>Data, code and settings</h2>",
        lists(content.made_from),
    ]
    details = "<details><summary>{}</summary>{}</details>"
    parts += [details.format(html.escape(name), _code(text)) for name, text in content.settings.items()]
    return page(content.title, parts, STYLE)


def _figures(drawings: Iterable[Drawing]) -> tuple[list[str], list[str]]:
    """Figures as parts of the page, and the names of those that cannot be drawn, each with the reason."""
    shown, left_out = [], []
    for name, draw in drawings:
        try:
            picture = base64.b64encode(render(draw(), dpi=DPI)).decode("ascii")
        except (UserError, ValueError) as error:
            left_out.append(f"{name} ({' '.join(str(error).split()).rstrip('.')})")
            continue
        caption = html.escape(caption_of(name))
        shown.append(f'<figure><img alt="{caption}" src="data:image/png;base64,{picture}">')
        shown.append(f"<figcaption>{caption}</figcaption></figure>")
    return shown, left_out


def _code(text: str) -> str:
    return f"<pre>{html.escape(text)}</pre>" if text else ""


def _yaml(config: Config) -> str:
    return str(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)).rstrip()
