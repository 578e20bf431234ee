r"""Write a table as LaTeX. It needs booktabs and nothing else.

The file can be compiled as it is, and it can be put into a document with ``\input``: it opens a document of its own
only where none is open, which LaTeX tells by ``\@nodocument``.
"""

import re
import unicodedata

from dmt_ray.report.tables.build import Block, Cell, Table

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
    with_minus = re.sub(r"(?<![\w-])-(?=\d)", "−", text)
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
