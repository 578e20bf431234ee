r"""Write a table as LaTeX. It needs booktabs and nothing else.

The file can be compiled as it is, and it can be put into a document with ``\input``: it opens a document of its own
only where none is open, which LaTeX tells by ``\@nodocument``.
"""

import re
import unicodedata
from typing import Any

import pandas as pd

from dmt_ray.plan.escape import one_line
from dmt_ray.plan.words import counted
from dmt_ray.report.tables.build import Table
from dmt_ray.report.tables.grid import Block, Cell
from dmt_ray.report.titles import NONE, percent

SPECIAL = {letter: f"\\{letter}" for letter in "{}$&#%_"} | {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "–": r"\textendash{}",
    "−": "$-$",
    "≤": r"$\le$",
    "≥": r"$\ge$",
}
MARKS = {"": "{}", "bold": r"\textbf{{{}}}", "underline": r"\underline{{{}}}"}

OPEN = r"""% Compile this file as it is, or \input it into a document that uses booktabs.
\expandafter\ifx\csname @nodocument\endcsname\relax\else
  \documentclass[a4paper,landscape]{article}
  \usepackage{booktabs}
  \usepackage[T1]{fontenc}
  \setlength{\textwidth}{265mm}\setlength{\oddsidemargin}{-9mm}
  \setlength{\textheight}{170mm}\setlength{\topmargin}{-20mm}
  \pdfpagewidth=\paperwidth \pdfpageheight=\paperheight
  \begin{document}
  \def\closetable{\end{document}}
\fi
"""
CLOSE = r"""\ifdefined\closetable\expandafter\closetable\fi
"""


def latex(table: Table) -> str:
    """As LaTeX: one float a block, what everything means below the first, what it was made from below the last."""
    parts = [OPEN]
    for number, block in enumerate(table.blocks):
        below = block.remarks(escape, lambda command: rf"\texttt{{{escape(command)}}}")
        if number == 0:
            below += map(escape, table.caption)
        if number == len(table.blocks) - 1:
            below += map(escape, table.footer)
        title = f"{table.title} {block.title}" if number == 0 else block.title
        parts.append(_float(block, title, below))
    return "\n".join([*parts, CLOSE])


def compact(table: Table) -> str:
    r"""As one LaTeX table for a paper: rows and columns under the first rule, with a ``\label`` to refer to it.

    Means and standard deviations have two decimals each and columns of their own, so that points stand below each
    other. With a single column there is also the difference to the reference, with its paired interval.
    """
    raw = table.raw[table.raw["rule"] == table.raw["rule"].iloc[0]]
    columns, alone = list(dict.fromkeys(raw["column"])), raw["column"].nunique() == 1
    reference = str(raw["reference"].iloc[0])
    heads = [r"\multicolumn{2}{c}{" + escape(str(name)) + "}" for name in columns]
    if alone:
        heads = [r"\multicolumn{2}{c}{" + escape(table.measure) + "}", escape(f"vs. {reference}"), escape("95 % t")]
    lines = []
    for row in dict.fromkeys(raw["row"]):
        own = raw[raw["row"] == row].set_index("column")
        cells = [part for column in columns for part in _score_cells(own.loc[column])]
        if alone:
            cells += _difference_cells(own.iloc[0], row == reference)
        lines.append(" & ".join([escape(str(row)), *cells]) + r" \\")
    counts = sorted({int(n) for n in raw["n"] if n})
    runs = (
        counted(counts[0], "run") if len(counts) == 1 else f"{counts[0]} to {counts[-1]} runs" if counts else "no runs"
    )
    marks = "Bold: the best, if its paired 95 % interval to every other row excludes 0; underlined: rows that tie."
    text = f"{table.title} {table.measure} on the test images, mean and standard deviation of {runs}. {marks}"
    return "\n".join([
        OPEN,
        r"\begin{table}[htbp]",
        r"\centering\setlength{\tabcolsep}{4pt}",
        rf"\caption{{{escape(text)}}}",
        rf"\label{{tab:{table.label}}}",
        rf"\begin{{tabular}}{{l{SCORE * len(columns)}{'rl' if alone else ''}}}",
        r"\toprule",
        " & ".join(["", *heads]) + r" \\",
        r"\midrule",
        *lines,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
        "",
        CLOSE,
    ])  # fmt: skip


SCORE = "r@{\\,}l"


def _score_cells(line: "pd.Series[Any]") -> tuple[str, str]:
    """Mean and standard deviation of a cell, in percent."""
    if not line["n"]:
        return escape(NONE), ""
    spread = rf"{{\footnotesize$\pm${percent(line['sd'])}}}" if line["sd"] == line["sd"] else ""
    return MARKS[line["mark"]].format(percent(line["mean"])), spread


def _difference_cells(line: "pd.Series[Any]", is_reference: bool) -> tuple[str, str]:
    """Difference to the reference and its paired interval, in percentage points."""
    if is_reference or line["difference"] != line["difference"]:
        return escape(NONE), ""
    star = "*" if line["star"] else ""
    known = line["low"] == line["low"]
    ends = f"[{100 * line['low']:+z.2f}, {100 * line['high']:+z.2f}]" if known else ""
    return escape(f"{100 * line['difference']:+z.2f}{star}"), "{}" + escape(ends)


def _float(block: Block, title: str, below: list[str]) -> str:
    lines = [
        r"\begin{table}[htbp]",
        r"\centering\footnotesize\setlength{\tabcolsep}{4pt}\renewcommand{\arraystretch}{1.2}",
        rf"\caption{{{escape(title)}}}",
        rf"\begin{{tabular}}{{{'l' * len(block.header)}}}",
        r"\toprule",
        " & ".join(map(escape, block.header)) + r" \\",
        r"\midrule",
        *(" & ".join(map(_cell, row)) + r" \\" for row in block.rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    if below:
        box = r"\parbox{\linewidth}{\footnotesize\raggedright"
        lines += [r"\par\smallskip", box, "\\par\n".join(below) + "}"]
    return "\n".join([*lines, r"\end{table}", ""])


def _cell(cell: Cell) -> str:
    text = escape(cell.text)
    # A bracket after the end of a line would be read as a length.
    return MARKS[cell.mark].format("{}" + text if text.startswith("[") else text)


def escape(text: str) -> str:
    """Text that LaTeX prints as it is; Greek letters and small figures, as in names of settings, are set in maths."""
    # An empty line would end the command around it.
    with_minus = re.sub(r"(?<![\w-])-(?=\d)", "−", one_line(text))
    return "".join(map(_letter, with_minus)).replace("--", "-{}-")  # which would be joined to a dash


def _letter(letter: str) -> str:
    if letter in SPECIAL:
        return SPECIAL[letter]
    name = unicodedata.name(letter, "")
    if name.startswith("GREEK SMALL LETTER "):
        return rf"$\{name.removeprefix('GREEK SMALL LETTER ').lower()}$"
    if name.startswith("SUBSCRIPT "):
        return f"$_{unicodedata.normalize('NFKD', letter)}$"
    return letter
