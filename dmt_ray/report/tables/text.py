"""Write a table as Markdown, HTML or CSV, or print it."""

import html
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from dmt_ray.experiments.commands import runnable
from dmt_ray.plan import escape
from dmt_ray.report.tables.build import Table
from dmt_ray.report.tables.grid import Block, Cell
from dmt_ray.report.tables.numbers import Mark

WIDTH = 120
UNLIMITED = 1000  # characters of a line that no terminal cuts
MEANINGS: dict[Mark, str] = {
    "bold": "the best: its paired interval to every other row excludes 0",
    "underline": "the best, and the rows that cannot be told apart from it",
}

# Colours of the reader's system, light or dark; no font and no file has to be fetched.
STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1a1a1a; --link: #0b57a4; }
@media (prefers-color-scheme: dark) { :root { --paper: #161616; --ink: #e8e8e8; --link: #8fc1ff; } }
html { background: var(--paper); color: var(--ink); } a { color: var(--link); }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; }
body { overflow-wrap: anywhere; }
h1 { font-size: 1.35rem; } h2 { font-size: 1.05rem; margin: 2rem 0 .4rem; }
.grid { overflow-x: auto; }
table { border-collapse: collapse; border: solid; border-width: 2px 0; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .9rem .25rem 0; text-align: left; white-space: nowrap; }
thead th, thead td { border-bottom: 1px solid; font-weight: 600; } tbody th { font-weight: 400; }
thead button { all: unset; cursor: pointer; } thead button:focus-visible { outline: 2px solid; }
thead button::after { content: " ↕"; opacity: .55; }
[aria-sort=ascending] button::after { content: " ↑"; opacity: 1; }
[aria-sort=descending] button::after { content: " ↓"; opacity: 1; }
p, li { max-width: 62rem; } footer, .note { font-size: .85rem; opacity: .8; } footer { overflow-wrap: anywhere; }
"""


# Makes the heads of all tables buttons that sort by their columns: numbers from the highest on, texts by the alphabet,
# and "–" always last. Without it the page is the same, unsorted.
SCRIPT = r"""
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  if (body.rows.length < 3) continue;
  const value = (row, place) => row.cells[place].textContent.trim().replace(/(\d),(?=\d)/g, "$1");
  heads.forEach((head, place) => {
    if (head.tagName !== "TH") return;
    const button = document.createElement("button");
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const rows = [...body.rows], number = row => parseFloat(value(row, place));
      const numeric = rows.some(row => !isNaN(number(row)));
      const before = head.getAttribute("aria-sort");
      const down = before ? before === "ascending" : numeric;
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const sign = down ? -1 : 1;
      rows.sort((a, b) => {
        if (!numeric) return sign * value(a, place).localeCompare(value(b, place));
        const [x, y] = [number(a), number(b)];
        return isNaN(x) || isNaN(y) ? isNaN(x) - isNaN(y) : sign * (x - y);
      });
      body.append(...rows);
    });
  });
}
"""


def markdown(table: Table) -> str:
    """As a Markdown document. Underlines are `<ins>`, which Markdown has no sign for."""
    signs = {"": "{}", "bold": "**{}**", "underline": "<ins>{}</ins>"}
    parts = [f"# {escape.markdown(table.title)}"]
    for block in table.blocks:
        parts.append(f"## {escape.markdown(block.title)}")
        parts.append(_grid(block, lambda cell: signs[cell.mark].format(escape.markdown(cell.text))))
        notes = block.remarks(escape.markdown, escape.code)
        parts += ["\n".join(f"- {note}" for note in notes)] if notes else []
    for lines in (table.caption, table.footer):
        parts.append("\n".join(_wrapped(escape.markdown(line)) for line in lines))
    return "\n\n".join(parts) + "\n"


def _wrapped(line: str) -> str:
    return textwrap.fill(
        line, WIDTH, initial_indent="- ", subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def _grid(block: Block, write: Callable[[Cell], str]) -> str:
    lines = [[escape.markdown(name) for name in block.header], *([write(cell) for cell in row] for row in block.rows)]
    widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(block.header))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(map(str.ljust, line, widths))} |" for line in lines)


def show(table: Table, console: Console) -> None:
    """Print a table. A terminal shows bold and underlined texts as such; in plain text a sign stands for each."""
    styles = {"": "", "bold": "bold", "underline": "underline"}
    signs = dict.fromkeys(styles, "") if console.is_terminal else {"": "", "bold": " *", "underline": " ~"}
    if not console.is_terminal:
        console = Console(file=console.file, width=UNLIMITED, markup=False)
    console.print(Text(table.title, "bold"))
    for block in table.blocks:
        grid = Grid(*block.header, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for row in block.rows:
            grid.add_row(*(Text().append(cell.text + signs[cell.mark], styles[cell.mark]) for cell in row))
        console.print("", Text(block.title, "bold"), grid, sep="\n")
        for note in block.remarks(str, runnable):
            console.print(Text(f"  {note}"), soft_wrap=True)
        marks = {cell.mark for row in block.rows for cell in row}
        for mark, meaning in MEANINGS.items():
            if mark in marks and signs[mark]:
                console.print(Text(f" {signs[mark]} {meaning}"))
    for lines, style in ((table.caption, ""), (table.footer, "dim")):
        console.print()
        for line in lines:
            console.print(Text(line, style))


def web(table: Table) -> str:
    """As a self-contained HTML page."""
    footer = f"<footer>{lists(table.footer)}</footer>"
    return page(table.title, [*grids(table.blocks), lists(table.caption), footer])


def page(title: str, parts: Iterable[str], style: str = "", script: str = "") -> str:
    """An HTML page under a title; `style` comes on top of `STYLE`, and `script` on top of `SCRIPT`."""
    title = html.escape(title)
    head = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}</title><style>{STYLE}{style}</style></head><body><main>",
        f"<h1>{title}</h1>",
    ]
    return (
        escape.DIRECTIONS.sub("", "\n".join([*head, *parts, f"</main><script>{SCRIPT}{script}</script></body></html>"]))
        + "\n"
    )


def grids(blocks: Sequence[Block], heading: str = "h2") -> list[str]:
    """Blocks as parts of an HTML page, in the style of `STYLE`."""
    tags = {"": "{}", "bold": "<b>{}</b>", "underline": "<u>{}</u>"}
    parts, count = [], Counter(block.title for block in blocks)
    for place, block in enumerate(blocks, 1):
        label = block.title if count[block.title] == 1 else f"{block.title}, table {place}"  # no two regions alike
        parts.append(f"<{heading}>{html.escape(block.title)}</{heading}>")
        parts.append(open_grid(block.header, label))
        for row in block.rows:
            cells = "".join(f"<td>{tags[cell.mark].format(html.escape(cell.text))}</td>" for cell in row[1:])
            parts.append(f'<tr><th scope="row">{html.escape(row[0].text)}</th>{cells}</tr>')
        parts.append(CLOSE_GRID)
        notes = block.remarks(html.escape, lambda command: f"<code>{html.escape(command)}</code>")
        parts += [f'<p class="note">{note}</p>' for note in notes]
    return parts


CLOSE_GRID = "</tbody></table></div>"


def open_grid(header: Sequence[str], title: str) -> str:
    """The beginning of a grid, up to its first row; it can be scrolled by keys where it is wider than the page."""
    cells = (f'<th scope="col">{html.escape(name)}</th>' if name else "<td></td>" for name in header)
    label = html.escape(title, quote=True)
    begin = f'<div class="grid" tabindex="0" role="region" aria-label="{label}"><table><thead><tr>'
    return f"{begin}{''.join(cells)}</tr></thead><tbody>"


def lists(lines: Sequence[str]) -> str:
    """Sentences as a list of an HTML page."""
    return "<ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in lines) + "</ul>"


def csv(table: Table) -> str:
    """The raw numbers; scores are fractions. Ten digits: summation order only affects later ones."""
    text: str = escape.cells(table.raw).to_csv(index=False, float_format="%.10g", lineterminator="\n")
    return text
