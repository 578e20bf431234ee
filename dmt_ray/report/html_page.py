"""A page about an ablation or a sweep for people without a notebook: HTML that needs no other file."""

import base64
import html
import io
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from matplotlib.figure import Figure

from dmt_ray.config import Config
from dmt_ray.errors import ConfigError, UserError
from dmt_ray.experiments import ablation_file, sweep_file
from dmt_ray.experiments import diagnose_ablation as why_ablation
from dmt_ray.experiments import diagnose_sweep as why_sweep
from dmt_ray.experiments.locate import is_ablation
from dmt_ray.experiments.sweep import short
from dmt_ray.files import write_text
from dmt_ray.methods.space import as_text
from dmt_ray.report.figures.drawing import AblationFigures, Drawing, of_sweep
from dmt_ray.report.figures.predictions import Predictor
from dmt_ray.report.summary import CAVEAT
from dmt_ray.report.tables.build import Block, Cell, build, of_each_class, percent
from dmt_ray.report.tables.numbers import RULES, PaperNumbers
from dmt_ray.report.tables.text import STYLE, grids, lists
from dmt_ray.results import tidy, tidy_sweep

Papers = Callable[[Mapping[str, Any]], PaperNumbers | None]
"""Finds the paper's numbers, given what the records say of themselves."""

DPI = 110
PREDICT = "What models say of images, <code>dmt figures NAME --predict</code> computes and keeps."
MANY = 50  # trials that are listed
CAPTIONS = {
    "forest": "Every row's difference to the reference, paired by seed.",
    "iterations": "Score after each iteration.",
    "gains": "What each iteration adds to the same seed's score before any pseudo label.",
    "compute": "What a row costs in optimizer steps, and what it scores.",
    "hours": "What a row costs in hours of all devices, and what it scores.",
    "label-errors": "How many pseudo labels are wrong among the surest shares.",
    "teachers": "How many labels of a teacher are wrong among its surest ones.",
    "class-errors": "How many pseudo labels are wrong, class by class.",
    "disagreement": "How often student and teacher disagree while the student learns.",
    "coupling": "How far apart two teachers stay while they teach, and how right their labels are.",
    "reliability": "How much two teachers agree on the images of each phase.",
    "weights": "Pseudo labels, their weights and what the student then predicts.",
    "qualitative": "The same images as several models see them.",
    "surest": "How many decisions of a model are wrong among its surest ones.",
    "fractions": "Score against the number of labelled images.",
    "curves": "Every trial's selection score after each rung.",
    "landscape": "Selection score over both exponents.",
    "slices": "Selection score against each setting.",
    "parallel": "Every trial across all settings to its score.",
    "importances": "How much each setting matters, and how sure that is.",
    "setting": "Reported score against what is searched.",
    "best-of-k": "What a search of fewer trials would have found.",
}
MORE_STYLE = """
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
    """What a report says.

    Attributes:
        title: The question.
        lead: What it is, and how far it has come, in a sentence or two.
        command: What computes it.
        tables: Grids of numbers.
        caption: What they mean.
        per_class: Grids of the scores of each class.
        drawings: Figures, each drawn when it is wanted.
        wrong: What went wrong, as `dmt why` says it.
        made_from: Data, splits, code and packages.
        settings: Title -> settings.
    """

    title: str
    lead: str
    command: str
    tables: Sequence[Block]
    caption: Sequence[str]
    per_class: Sequence[Block]
    drawings: Iterable[Drawing]
    wrong: str
    made_from: Sequence[str]
    settings: dict[str, str]


def write(folder: Path, file: Path, paper: Papers | None = None) -> None:
    """Write the page of an ablation or a sweep.

    Args:
        folder: Its folder, as `<storage>/ablations/<name>` or `<storage>/sweeps/<name>`.
        file: An .html file.
        paper: Finds the paper's numbers beside an ablation's.

    Raises:
        ConfigError: If the file cannot be written there.
        StoreError: If the folder holds neither.
    """
    if file.suffix != ".html" or not file.absolute().parent.is_dir():
        raise ConfigError(f"a report is an .html file in a folder that is there, but got {str(file)!r}")
    page = of_ablation(folder, paper) if is_ablation(folder) else of_sweep_folder(folder)
    write_text(file, as_html(page))


# ---- an ablation -----------------------------------------------------------------------------------------------


def of_ablation(folder: Path, paper: Papers | None = None) -> Page:
    """What the page of an ablation says."""
    file = ablation_file.read(folder)
    ablation, frame = file.ablation, tidy.of_ablation(folder)
    there = frame[frame["state"] == "there"]
    complete = len(there[["row", "column", "seed"]].drop_duplicates())
    try:
        table = build(frame, paper=None if paper is None else paper(frame.attrs["about"]))
        blocks, caption, footer = table.blocks, table.caption, table.footer
        classes = build(frame, per_class=True).blocks if complete else ()
    except ValueError as error:
        blocks, caption, footer, classes = (), (f"There is no table: {error}",), (), ()
    several = len(ablation.columns) > 1
    settings = {f"{ablation.reference}, all settings": _yaml(_of_row(file, ablation.reference))}
    changed = {
        cell.row + (f", {cell.column}" if several else ""): f"{cell.method}  {' '.join(cell.changes)}".strip()
        for cell in ablation.cells
    }
    settings["Every row: its method, and what it changes"] = "\n".join(
        f"{row}: {text}" for row, text in changed.items()
    )
    rows = f"{len(ablation.rows)} rows" + (f" in {len(ablation.columns)} columns" if several else "")
    return Page(
        title=ablation.title,
        lead=f"{ablation.name}: {rows}, {len(ablation.seeds)} seeds; {complete} of "
        f"{len(ablation.cells) * len(ablation.seeds)} runs are complete.",
        command=file.command,
        tables=blocks,
        caption=caption,
        per_class=[block for block in classes if "of each class" in block.title],
        drawings=AblationFigures(folder, Predictor(folder.parents[1], file.data, "cpu", computes=False)).drawings(),
        wrong=why_ablation.explain(folder),
        made_from=footer,
        settings=settings,
    )


def _of_row(file: ablation_file.AblationFile, row: str) -> Config:
    return next(cell.config for cell in file.ablation.cells if cell.row == row)


# ---- a sweep ---------------------------------------------------------------------------------------------------


def of_sweep_folder(folder: Path) -> Page:
    """What the page of a sweep says."""
    file, frame = sweep_file.read(folder), tidy_sweep.of_sweep(folder)
    sweep, dataset_info = file.sweep, frame.attrs["about"]
    ranked = _ranked(frame)
    states = ranked["state"].map({"there": "complete", "missing": "not complete"}).fillna(ranked["state"])
    counts = ", ".join(f"{count} {state}" for state, count in states.value_counts(sort=False).items())
    caption = [
        f"Trials by the score that the search maximises: {sweep.score_name} on the validation images, mean over "
        f"models and seeds ({', '.join(map(str, sweep.seeds))}). The other columns are on the test images,"
        " under the three rules.",
        CAVEAT,
    ]
    if len(ranked) and ranked["score"].notna().any():
        caption.append(f"The best trial again: {dataset_info['commands'][_place(ranked, frame)][2]}")
    return Page(
        title=sweep.title,
        lead=f"{sweep.name}: {file.trials} trials of {sweep.method}, of which {counts or 'none is begun'}.",
        command=dataset_info["command"],
        tables=[_trials(ranked, list(sweep.space), sweep.score_name)] if len(ranked) else [],
        caption=caption,
        per_class=list(_classes_of_best(frame, ranked)),
        drawings=of_sweep(folder) if (folder / "study.db").exists() else (),
        wrong=why_sweep.explain(folder),
        made_from=list(_made_from(frame)),
        settings={
            "What is searched": "\n".join(f"{setting}: {values}" for setting, values in dataset_info["space"].items()),
            "All other settings": _yaml(sweep.config),
        },
    )


def _ranked(frame: pd.DataFrame) -> pd.DataFrame:
    """A line a trial, the best first: its own columns, and the reported score by rule as reported/<rule>."""
    asked = (frame["images"] == "reported") & (frame["metric"] == tidy.headline(frame))
    reported = frame[asked & (frame["state"] == "there")]
    means = reported.groupby(["trial", "rule"])["value"].mean().unstack()
    trials = frame.drop_duplicates("trial").set_index("trial")
    for rule in RULES:
        trials[f"reported/{rule}"] = means[rule] if rule in means else float("nan")
    return trials.sort_values("score", ascending=False, kind="stable", na_position="last").reset_index()


def _place(ranked: pd.DataFrame, frame: pd.DataFrame) -> int:
    return list(frame["trial"].unique()).index(ranked["trial"].iloc[0])


def _trials(ranked: pd.DataFrame, space: Sequence[str], measure: str) -> Block:
    rows = []
    for line in ranked.head(MANY).to_dict("records"):
        scores = [line["score"], *(line[f"reported/{rule}"] for rule in RULES)]
        settings = [as_text(line[f"param/{setting}"]) for setting in space]
        texts = [str(line["trial"]), *settings, "complete" if line["state"] == "there" else str(line["state"])]
        texts += ["–" if score is None or pd.isna(score) else percent(float(score)) for score in scores]
        rows.append(tuple(map(Cell, texts)))
    header = ("trial", *map(short, space), "state", "selection", *(RULES[rule] for rule in RULES))
    notes = (f"The best {MANY} of {len(ranked)} trials.",) if len(ranked) > MANY else ()
    return Block(f"{measure} (%)", header, tuple(rows), notes)


def _classes_of_best(frame: pd.DataFrame, ranked: pd.DataFrame) -> Iterator[Block]:
    """What is said of every class after the last rung of the best trial."""
    if not len(ranked) or ranked["score"].isna().all():
        return
    best = frame[(frame["trial"] == ranked["trial"].iloc[0]) & (frame["rule"] == "last")]
    start, name = of_each_class(frame)
    classes = [metric for metric in dict.fromkeys(best["metric"]) if str(metric).startswith(start)]
    rows = []
    for metric in classes:
        lines = best[best["metric"] == metric]
        cells = [lines[lines["images"] == images]["value"].tolist() for images in ("selection", "reported")]
        texts = [percent(statistics.fmean(values)) if values else "–" for values in cells]
        rows.append(tuple(map(Cell, (metric.removeprefix(start), *texts))))
    title = f"{name} (%) of each class, trial {ranked['trial'].iloc[0]} after its last iteration"
    yield Block(title, ("", "validation images", "test images"), tuple(rows))


def _made_from(frame: pd.DataFrame) -> Iterator[str]:
    dataset_info: dict[str, Any] = frame.attrs["about"]

    def unique(name: str) -> str:
        return ", ".join(map(str, dict.fromkeys(frame[name])))

    if len(frame):
        yield f"Data: {unique('data')}, fingerprint {unique('fingerprint')}."
        splits = frame[["split", "split_digest"]].drop_duplicates().itertuples(index=False)
        yield f"Splits (digest): {', '.join(f'{one.split} {one.split_digest}' for one in splits)}."
    git, versions = dataset_info["git"], dataset_info["versions"]
    dirty = " with uncommitted changes" if git.get("dirty") else ""
    yield f"git commit {git['commit']}{dirty}." if git.get("commit") else "git commit unknown."
    yield f"Packages: {', '.join(f'{name} {versions[name]}' for name in sorted(versions)) or 'unknown'}."


# ---- HTML ------------------------------------------------------------------------------------------------------


def as_html(page: Page) -> str:
    """The page, with its figures in it."""
    title = html.escape(page.title)
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>{title}</title><style>{STYLE}{MORE_STYLE}</style></head><body>",
        f'<h1>{title}</h1><p class="lead">{html.escape(page.lead)}</p>',
        _code(page.command),
        "<h2>Scores</h2>",
        *grids(page.tables, "h3"),
        lists(page.caption),
    ]
    shown, left = _figures(page.drawings)
    parts += ["<h2>Figures</h2>", '<div class="figures">', *shown, "</div>"] if shown else []
    parts += [f'<p class="note">Left out: {html.escape("; ".join(left))}. {PREDICT}</p>'] if left else []
    parts += ["<h2>Class by class</h2>", *grids(page.per_class, "h3")] if page.per_class else []
    parts += ["<h2>What went wrong</h2>", _code(page.wrong), "<h2>Data, code and settings</h2>", lists(page.made_from)]
    parts += [
        f"<details><summary>{html.escape(name)}</summary>{_code(text)}</details>"
        for name, text in page.settings.items()
    ]
    return "\n".join([*parts, "</body></html>"]) + "\n"


def _figures(drawings: Iterable[Drawing]) -> tuple[list[str], list[str]]:
    """Figures as parts of the page, and what is to be said of those that cannot be drawn."""
    shown, left = [], []
    for name, draw in drawings:
        try:
            picture = _png(draw())
        except (UserError, ValueError) as error:
            left.append(f"{name} ({' '.join(str(error).split()).rstrip('.')})")
            continue
        kind = next((kind for kind in CAPTIONS if name == kind or name.startswith(f"{kind}-")), "")
        column = name.removeprefix(kind).strip("-")
        caption = html.escape(f"{column}: {CAPTIONS.get(kind, name)}" if column else CAPTIONS.get(kind, name))
        shown.append(f'<figure><img alt="{caption}" src="data:image/png;base64,{picture}">')
        shown.append(f"<figcaption>{caption}</figcaption></figure>")
    return shown, left


def _png(figure: Figure) -> str:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DPI, bbox_inches="tight", metadata={"Software": None})
    return base64.b64encode(content.getvalue()).decode("ascii")


def _code(text: str) -> str:
    return f"<pre>{html.escape(text)}</pre>" if text else ""


def _yaml(config: Config) -> str:
    return str(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)).rstrip()
