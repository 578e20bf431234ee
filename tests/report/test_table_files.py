"""Tables as Markdown, LaTeX, HTML and CSV, on a terminal, and from the command line."""

import html
import io
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from dmt_ray.cli.main import main
from dmt_ray.report.tables.build import Table, build
from dmt_ray.report.tables.latex import compact, escape, latex
from dmt_ray.report.tables.numbers import PaperNumbers
from dmt_ray.report.tables.paper_numbers import paper_numbers
from dmt_ray.report.tables.text import csv, markdown, show, web
from dmt_ray.results import export, tidy

Records = Callable[..., pd.DataFrame]

BASELINE = {0: 0.60, 1: 0.62, 2: 0.64}
CBST = {0: 0.63, 1: 0.64, 2: 0.68}
DMT = {0: 0.65, 1: 0.69, 2: 0.70}
PLAIN = {"Baseline": BASELINE, "CBST": CBST, "DMT": DMT}
BEST = {name: {seed: score + 0.01 for seed, score in runs.items()} for name, runs in PLAIN.items()}


PAPER = PaperNumbers(
    "DMT, Table 9",
    "VOC, one run.",
    pd.DataFrame({"row": ["DMT"], "column": ["1/8"], "value": [70.16], "sd": [0.3]}),
    "paper",
    {"1/8": "1/8"},
)


@pytest.mark.parametrize("columns", [["1/8"], ["1/106", "1/50", "1/20", "1/8"]])
def test_a_terminal_of_120_characters_shows_every_row_in_one_line(records: Records, columns: list[str]) -> None:
    frames = [records({"last": PLAIN, "val": BEST, "paper": BEST}, column=column) for column in columns]
    frame = pd.concat(frames, ignore_index=True)
    frame.attrs = frames[0].attrs
    out = io.StringIO()
    show(build(frame, paper=PAPER), Console(file=out, width=120, force_terminal=True))
    shown = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())
    for block in build(frame, paper=PAPER).blocks:
        for row in block.rows:
            assert re.search(" +".join(re.escape(cell.text) for cell in row), shown)
    assert "\x1b[4m68.00 ± 2.65 (n=3)" in out.getvalue()


def test_output_to_a_file_is_plain_text_in_which_signs_stand_for_bold_and_underlined(records: Records) -> None:
    out = io.StringIO()
    table = build(records({"last": PLAIN}))
    show(table, Console(file=out))
    text = out.getvalue()
    assert not re.search(r"<ins>|\*\*|\x1b|\|", text)
    signs = {"": "", "bold": " *", "underline": " ~"}
    for row in table.blocks[0].rows:
        assert re.search(" +".join(re.escape(cell.text + signs[cell.mark]) for cell in row), text)
    assert "  ~ the best, and the rows that cannot be told apart from it\n" in text


def test_csv_holds_the_raw_numbers(records: Records) -> None:
    raw = pd.read_csv(io.StringIO(csv(build(records({"last": PLAIN, "paper": BEST}), paper=PAPER))))
    line = raw[(raw["row"] == "DMT") & (raw["rule"] == "paper")].iloc[0]
    assert (line["mean"], line["difference"]) == pytest.approx((0.69, 0.06))
    assert (line["n"], line["planned"], line["wins"], line["p"], line["holm"]) == (3, 3, 3, 0.25, 0.5)
    assert (line["paper_percent"], line["snapshots_most"], line["mark"]) == (70.16, 12, "underline")
    assert pd.isna(raw.loc[raw["row"] == "Baseline", "difference"]).all()


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("50 % of A_B & C#", r"50 \% of A\_B \& C\#"),
        ("γ₁=3", "$\\gamma$$_1$=3"),
        ("[-1.20, +3]", "[$-$1.20, +3]"),
        ("--rows DMT-Naive", "-{}-rows DMT-Naive"),
        ("2 × 10 ± 1 –", r"2 $\times$ 10 $\pm$ 1 \textendash{}"),
        ("a\\b{c}^~", r"a\textbackslash{}b\{c\}\textasciicircum{}\textasciitilde{}"),
    ],
)
def test_latex_prints_every_letter(text: str, written: str) -> None:
    assert escape(text) == written


def test_the_compact_table_is_one_table_with_a_label_and_points_below_each_other(records: Records) -> None:
    dms = {seed: score + 0.1 for seed, score in DMT.items()}
    text = compact(build(records({"last": {"Baseline": BASELINE, "DMS 80 %": dms, "DMT": {0: "50 %\n", 1: None}}})))
    assert text.count(r"\begin{table}") == 1
    assert r"\label{tab:components-shapes}" in text
    assert r"\begin{tabular}{lr@{\,}lrl}" in text  # points stand below each other: two decimals, right-aligned
    lines = dict(line.split(" & ", 1) for line in text.splitlines() if line.endswith(r"\\") and " & " in line)
    mean = 100 * sum(dms.values()) / 3
    assert lines[r"DMS 80 \%"].startswith(rf"\textbf{{{mean:.2f}}} & {{\footnotesize$\pm$")
    assert f"& {mean - 100 * sum(BASELINE.values()) / 3:+.2f} & {{}}[" in lines[r"DMS 80 \%"]
    assert lines["DMT"] == r"\textendash{} &  & \textendash{} &  \\"


def test_the_compact_table_has_all_columns_of_an_ablation(records: Records) -> None:
    frames = [records({"last": PLAIN}, column=column) for column in ("1/8", "1/4")]
    frame = pd.concat(frames, ignore_index=True)
    frame.attrs = frames[0].attrs
    text = compact(build(frame))
    assert r"\begin{tabular}{lr@{\,}lr@{\,}l}" in text
    assert r" & \multicolumn{2}{c}{1/8} & \multicolumn{2}{c}{1/4} \\" in text


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
@pytest.mark.parametrize("write", [latex, compact])
@pytest.mark.parametrize(
    "host", [None, "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n\\input{t}\n"]
)
def test_latex_compiles_alone_and_within_a_document(
    records: Records, tmp_path: Path, host: str | None, write: Callable[[Table], str]
) -> None:
    frame = records({"last": {"Baseline": BASELINE, "DMS 80 % & γ₁_{x}~^#$\\": DMT, "DMT": {0: "50 %\n", 1: None}}})
    table = build(frame, commands={("DMT", "1/8"): "python -m x --rows DMT"}, paper=PAPER)
    (tmp_path / "t.tex").write_text(write(table), encoding="utf-8")
    if host:
        (tmp_path / "host.tex").write_text(host + "\\end{document}\n", encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "host" if host else "t"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Output written" in done.stdout


class Structure(HTMLParser):
    """Checks that tags are closed in order, and collects the texts."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert "src" not in dict(attrs)
        assert "href" not in dict(attrs)
        self.open += [] if tag == "meta" else [tag]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_html_needs_no_other_file_and_shows_every_cell(records: Records) -> None:
    frame = records({"last": PLAIN | {"<i>x</i> & y": DMT}})
    page = Structure()
    page.feed(web(build(frame)))
    assert page.open == []
    for block in build(frame).blocks:
        for row in block.rows:
            for cell in row:
                assert cell.text in page.texts
    assert html.escape("<i>x</i> & y") in web(build(frame))


def test_markdown_shows_names_as_they_are(records: Records) -> None:
    frame = records({"last": {"Baseline": BASELINE, "a|b *c* dms_alpha _d_": DMT}})
    assert r"| a\|b \*c\* dms_alpha \_d\_ |" in markdown(build(frame))


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["dmt", "table", *map(str, words)])
    return main()


def test_command_writes_all_five_files(
    records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = records({"last": PLAIN, "paper": BEST}, paper="dmt-9", paper_columns={"1/8": "1/20"}, command="x")
    export.write(tidy.together([frame]), tmp_path / "records.parquet")
    assert run(monkeypatch, "components", "--records", tmp_path / "records.parquet", "--out", tmp_path / "out") == 0
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        *("components-shapes-compact.tex", "components-shapes.csv", "components-shapes.html"),
        *("components-shapes.md", "components-shapes.tex"),
    ]
    printed = capsys.readouterr().out
    row = r"CBST +{0} 1/8 +{0} 66.00 ± 2.65 \(n=3\) +{0} 65.09 +{0} \+0.91"
    assert re.search(row.format(""), printed)
    written = (tmp_path / "out" / "components-shapes.md").read_text(encoding="utf-8")
    assert re.search(row.format(r"\|"), written)


def test_command_says_in_one_line_why_there_is_no_table(
    records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    export.write(tidy.together([records({"last": PLAIN})]), tmp_path / "records.parquet")
    assert run(monkeypatch, "components", "--records", tmp_path / "records.parquet", "--per-class") == 2
    assert "cannot be put in a table: no record has the IoU of a class" in capsys.readouterr().err


def test_the_papers_column_is_the_one_that_the_records_name() -> None:
    dataset_info = {"paper": "dmt-9", "paper_columns": {"voc-1/20": "1/20", "voc-1/8": None}}
    named = paper_numbers(dataset_info)
    assert named is not None
    assert named.columns == {"voc-1/20": "1/20"}
    assert named.selection == "paper"
    assert paper_numbers(dataset_info | {"paper": None}) is None


def test_rows_of_two_tables_of_a_paper_stand_in_one() -> None:
    found = paper_numbers({"paper": "rwms-3 rwms-5", "paper_columns": {}, "command": ""})
    assert found is not None
    assert found.name == "Liu et al. 2024, Table 3 and Table 5"
    printed = found.printed()
    assert printed["W/o reweighting", "1/8"][0] == 73.8
    assert printed["One-phase retraining", "1/8"][0] == 72.1
    assert len(found.values) == 4 * 3  # RWMS, which both have, once


def test_papers_that_print_fractions_are_shown_in_percent() -> None:
    found = paper_numbers({"paper": "pets-1", "paper_columns": {}, "command": ""})
    assert found is not None
    assert found.values["value"].min() > 1


def test_command_without_an_ablation_says_what_computes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "components", "--storage", tmp_path, "--recipe", "camvid") == 2
    said = capsys.readouterr().err
    assert f"there are no ablations in {tmp_path}. Pass the folder of the results as --storage, or compute it" in said
    assert f"ablate components --recipe camvid --storage {tmp_path}`" in said
