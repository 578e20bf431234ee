"""A self-contained HTML page about an ablation or a sweep."""

import base64
import html
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

from dmt_ray.errors import ConfigError, MissingStages, UserError
from dmt_ray.experiments.locate import is_ablation
from dmt_ray.files import obstacle, write_text
from dmt_ray.report import explore
from dmt_ray.report.comparing import Compared
from dmt_ray.report.figures.drawing import Drawing, caption_of
from dmt_ray.report.figures.kit import render
from dmt_ray.report.pages import Page, page_of_ablation, page_of_sweep
from dmt_ray.report.status import all_statuses
from dmt_ray.report.tables.text import CLOSE_GRID, grids, lists, open_grid, page
from dmt_ray.report.titles import percent
from dmt_ray.tracking.view import run_page

DPI = 110
INDEX = "index.html"
UI = "http://127.0.0.1:5000"  # where `dmt ui` listens by default
PREDICT = "Predictions of models are computed and cached by <code>dmt figures NAME --predict</code>."
STYLE = """
h2 { font-size: 1.2rem; border-bottom: 1px solid; padding-bottom: .2rem; }
h3 { font-size: 1rem; margin: 1.4rem 0 .3rem; }
pre { white-space: pre-wrap; padding: .6rem .8rem; border-radius: 4px; }
pre { background: color-mix(in srgb, currentColor 7%, transparent); }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(33rem, 100%), 1fr)); gap: 1.5rem; }
figure { margin: 0; } img { max-width: 100%; height: auto; background: #fff; border-radius: 4px; }
figcaption { font-size: .9rem; opacity: .85; } summary { cursor: pointer; }
.answer { font-size: 1.15rem; font-weight: 500; }
"""


def write(folder: Path, file: Path, index: str = "") -> None:
    """Write the page of an ablation or a sweep.

    Args:
        folder: Its folder, as `<storage>/ablations/<name>` or `<storage>/sweeps/<name>`.
        file: An .html file.
        index: Name of the page beside it that lists all pages, to which it links; "": there is none.

    Raises:
        ConfigError: If the file cannot be written there.
        StoreError: If the folder holds neither.
    """
    if reason := obstacle(file, ".html"):
        raise ConfigError(f"the report cannot be written: {reason}")
    content = page_of_ablation(folder) if is_ablation(folder) else page_of_sweep(folder)
    write_text(file, as_html(content, index, run_page(folder.parents[1], folder.name) or ""))


def write_comparison(compared: Compared, file: Path) -> None:
    """Write the page of a comparison."""
    parts = [*grids(compared.table.blocks), lists(compared.table.caption)]
    if compared.pictures is not None:
        parts.append(_figure("The test images on which the two disagree most.", render(compared.pictures, dpi=DPI)))
    write_text(file, page(compared.table.title, parts, STYLE))


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
            write(status.folder, file, INDEX)
            yield file
            name = f'<a href="{html.escape(quote(file.name))}">{name}</a>'
        best = status.best
        score = "" if best is None else f"{html.escape(best.what)}: validation {best.measure} {percent(best.score)} %"
        cells = f"<td>{status.kind}</td><td>{status.counts()}</td><td>{score}</td>"
        lines.append(f'<tr><th scope="row">{name}</th>{cells}</tr>')
    title = f"Experiments in {storage.absolute().name}"
    table = [open_grid(("name", "kind", "trials or runs", "best so far"), title), *lines, CLOSE_GRID]
    write_text(out / INDEX, page(title, table, STYLE))
    yield out / INDEX


# ---- HTML ------------------------------------------------------------------------------------------------------


def as_html(content: Page, index: str = "", run: str = "") -> str:
    """The page, with its figures in it; `index` as in `write`, `run` where the MLflow UI shows it, if it does."""
    shown, left_out = _figures(content.drawings)
    links = [f'<a href="{html.escape(quote(index))}">All experiments</a>'] if index else []
    if run:
        links.append(f'<a href="{UI}/{html.escape(run)}">In MLflow</a>, while <code>dmt ui</code> runs')
    parts = [
        *([f"<nav>{' · '.join(links)}</nav>"] if links else []),
        *(f'<p class="answer">{html.escape(sentence)}</p>' for sentence in content.answer),
        f"<p>{html.escape(content.lead)}</p>",
        _code(content.command),
        "<h2>Scores</h2>",
        *grids(content.tables, "h3"),
        lists(content.caption),
        *(["<h2>Figures</h2>", '<div class="figures">', *shown, "</div>"] if shown else []),
        *([f'<p class="note">Left out: {html.escape("; ".join(left_out))}. {PREDICT}</p>'] if left_out else []),
        *content.explored,
        *(["<h2>Class by class</h2>", *grids(content.per_class, "h3")] if content.per_class else []),
        "<h2>Failures</h2>",
        _code(content.wrong),
        "<h2>Data, code and settings</h2>",
        lists(content.made_from),
    ]
    details = "<details><summary>{}</summary>{}</details>"
    parts += [details.format(html.escape(name), _code(text)) for name, text in content.settings.items()]
    style, script = (explore.STYLE, explore.SCRIPT) if content.explored else ("", "")
    return page(content.title, parts, STYLE + style, script)


def _figures(drawings: Iterable[Drawing]) -> tuple[list[str], list[str]]:
    """Figures as parts of the page, and the names of those that cannot be drawn, each with the reason."""
    shown, left_out = [], []
    for name, draw in drawings:
        try:
            shown.append(_figure(caption_of(name), render(draw(), dpi=DPI)))
        except (UserError, ValueError) as error:
            left_out.append(f"{name} ({' '.join(str(error).split()).rstrip('.')})")
    return shown, left_out


def _figure(caption: str, picture: bytes) -> str:
    """A picture as part of a page; what its axes show stands in the caption, which is also what is read aloud."""
    text = html.escape(caption, quote=True)
    source = f"data:image/png;base64,{base64.b64encode(picture).decode('ascii')}"
    return f'<figure><img alt="{text}" src="{source}"><figcaption>{text}</figcaption></figure>'


def _code(text: str) -> str:
    return f"<pre>{html.escape(text)}</pre>" if text else ""
