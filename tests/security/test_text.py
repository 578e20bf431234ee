"""Names from outside in what is written for people: shown as they are, never run."""

import csv
import io
import json
import re
from html.parser import HTMLParser

import pandas as pd
import pytest

from dmt_ray.api.predicting import TABLE, _Table
from dmt_ray.deploy.card import card
from dmt_ray.deploy.model_info import DataUsed, ModelInfo
from dmt_ray.experiments.sweep import Sweep, Trial
from dmt_ray.methods.space import Choice
from dmt_ray.plan import escape
from dmt_ray.recipes import named
from dmt_ray.report.explore import explore
from dmt_ray.report.tables.build import Table
from dmt_ray.report.tables.grid import Block, Cell
from dmt_ray.report.tables.latex import latex
from dmt_ray.report.tables.text import csv as csv_of
from dmt_ray.report.tables.text import markdown, web
from dmt_ray.results import export
from dmt_ray.search import confirm
from tests.helpers.trained import TINY

FORMULAS = (
    "=1+1",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-1+1",
    "@SUM(A1)",
    "\t=1",
    "\n=1",
    "＝1+1",
    "'=1",
    "=HYPERLINK(1)",
)
NUMBERS = ("-0.5", "+1", "1e-3", "-1e9", ".5", "0", "-.5")
SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(1)>"
MARKUP = f"{SCRIPT} [x](javascript:alert(1)) ![y](http://e/z.png) `a` **b** | c\n# d\n[e]: http://e \\"
TEX = r"\input{/etc/passwd}\write18{id}$x$^^4d%{}_&#~" + "\n\n" + r"\end{document}"


def table(text: str) -> Table:
    """A table in which a text stands wherever a name can."""
    raw = pd.DataFrame({"row": [text], "mean": [-0.5], "config": [text]})
    block = Block(text, (text, text), ((Cell(text, ""), Cell(text, "bold")),), (text,), ())
    return Table(title=text, blocks=(block,), caption=(text,), footer=(text,), raw=raw, label="x", measure="mIoU")


# ---- spreadsheets -------------------------------------------------------------------------------------------------


def cells_of(text: str) -> list[str]:
    return [cell for row in csv.reader(io.StringIO(text)) for cell in row]


@pytest.mark.attack("formula", "cell of a CSV file", "behind a quote; numbers stay numbers")
@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_becomes_text(text):
    assert escape.cell(text) == f"'{text}"
    assert escape.from_cell(escape.cell(text)) == text


@pytest.mark.attack("formula", "cell of a CSV file, behind a carriage return", "a line break between quotes")
@pytest.mark.parametrize("text", ["\r=1", "a\r=1", "a\r\n=1"])
def test_no_cell_begins_a_line(tmp_path, text):
    export.write(pd.DataFrame({"row": [text]}), tmp_path / "records.csv")
    content = (tmp_path / "records.csv").read_bytes()
    assert b"\r" not in content
    assert cells_of(content.decode()) == ["row", escape.cell(text)]


@pytest.mark.parametrize("text", [*NUMBERS, "", "a-b", "DMT (=)", "'quoted'", "l'été"])
def test_other_texts_stay_as_they_are(text):
    assert escape.cell(text) == escape.from_cell(text) == text


@pytest.mark.parametrize("number", [-1, -0.5, None, True])
def test_numbers_stay_numbers(number):
    assert escape.cell(number) is number


@pytest.mark.attack("formula", "row, column and settings in an ablation's table (CSV)", "behind a quote")
@pytest.mark.parametrize("text", FORMULAS)
def test_the_csv_of_a_table_holds_no_formula(text):
    assert cells_of(csv_of(table(text)))[-3:] == [f"'{text}", "-0.5", f"'{text}"]


@pytest.mark.attack("formula", "exported records (CSV)", "behind a quote")
@pytest.mark.parametrize("text", FORMULAS)
def test_exported_records_hold_no_formula(tmp_path, text):
    frame = pd.DataFrame({"row": pd.Categorical([text, "b"]), text: [-1.5, 2], "class": [None, text]})
    export.write(frame, tmp_path / "records.csv")
    with (tmp_path / "records.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [["row", f"'{text}", "class"], [f"'{text}", "-1.5", ""], ["b", "2.0", f"'{text}"]]


@pytest.mark.attack("formula", "trials of a sweep that are confirmed (CSV)", "behind a quote")
def test_a_confirmation_holds_no_formula(tmp_path):
    rows = [{"who": "=1+1", "seed": 7, "searched": True, "selection_miou": 0.5, "reported_miou": -0.5}]
    confirm.write(tmp_path, {"rows": rows, "difference": {}, "fresh_seeds": [7]})
    assert "'=1+1,7,true" in (tmp_path / "confirm.csv").read_text(encoding="utf-8")


@pytest.mark.attack("formula", "names of pictures in predictions.csv", "behind a quote, and found again on resuming")
def test_predictions_hold_no_formula_and_are_resumed(tmp_path):
    rows = [[f"{text}.png", "d1", "4", "4", "0.5", "1.0"] for text in ("=1+1", "-x", "plain", "'=q")]
    begun = _Table(tmp_path / TABLE, ["=class"])
    for row in rows:
        begun.append(row)
    cells = cells_of((tmp_path / TABLE).read_text(encoding="utf-8"))
    assert [cell for cell in cells if cell[:1] in "=+-@" and cell] == []
    assert list(_Table(tmp_path / TABLE, ["=class"]).rows.values()) == rows


# ---- HTML -----------------------------------------------------------------------------------------------------


class Tags(HTMLParser):
    """Collects the tags and attributes of a page, and the texts of its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}


@pytest.mark.attack("script", "names in a table or report (HTML)", "shown as text")
@pytest.mark.parametrize(
    "text", [SCRIPT, '"><svg onload=alert(1)>', f"</title></style>{SCRIPT}", "&lt;b&gt;", "\u202ea"]
)
def test_a_page_holds_no_tag_of_a_name(text):
    plain, page = Tags(web(table("x"))), web(table(text))
    assert Tags(page).tags == plain.tags
    assert Tags(page).attributes == plain.attributes
    assert "\u202e" not in page


@pytest.mark.attack("script", "settings of trials in the numbers of a report's script", "cannot end the script")
@pytest.mark.parametrize("text", ["</script>" + SCRIPT, "<!--<script>", "\u2028"])
def test_the_numbers_of_a_page_end_no_script(text):
    sweep = Sweep("q", "What?", named("shapes"), "dmt", {"model.encoder": Choice(text, "b")}, (0,))
    trials = [Trial(0, {"model.encoder": text}, "complete", {0: 0.5})]
    page = "\n".join(explore(sweep, trials))
    assert Tags(page).tags.count("script") == 1
    (numbers,) = re.findall(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)
    assert json.loads(numbers)["axes"][0]["choices"][0] == text


# ---- Markdown and LaTeX -----------------------------------------------------------------------------------------


def is_harmless(text: str) -> bool:
    """Whether Markdown makes no tag, link, picture, heading or definition of our text in it."""
    live = re.sub(r"\\[\\`*_{}\[\]()#+\-.!|<>]", "", text)
    return not re.search(r"<(?!/?ins>)|\]\(|\]\[|^\s*#{1,6} d|\]:", live, re.MULTILINE)


@pytest.mark.attack("markup", "names in a table (Markdown), and so in MLflow's descriptions", "shown as text")
def test_a_table_in_markdown_holds_no_markup_of_a_name():
    assert not is_harmless(MARKUP)
    assert is_harmless(markdown(table(MARKUP)))
    assert len(markdown(table(MARKUP)).splitlines()) < len(markdown(table("x" * 300)).splitlines()) + 12


@pytest.mark.attack("markup", "names in a model card", "shown as text")
def test_a_model_card_holds_no_markup_of_a_name():
    info = ModelInfo(
        name=MARKUP,
        model=TINY,
        classes=(MARKUP, "a\n---\nlicense: mit"),
        palette=((0, 0, 0), (1, 1, 1)),
        key="k",
        data=DataUsed(name=MARKUP, split=MARKUP, split_digest=MARKUP, fingerprint=MARKUP),
        method=MARKUP,
        recipe=MARKUP,
        command="dmt run\n```\n<script>",
        code={"commit": MARKUP},
        first_weights={"name": MARKUP, "origin": MARKUP},
    )
    text = card(info)
    _, head, body = text.split("---\n", 2)
    assert [line for line in head.splitlines() if line.startswith("- ")][-1] == f"- {json.dumps(MARKUP)}"
    assert "license" not in head
    code = re.compile(r"^(`{3,})[a-z]*\n.*?^\1$", re.DOTALL | re.MULTILINE)
    assert "````sh\ndmt run\n```\n<script>\n````" in body
    assert is_harmless(code.sub("", body))


@pytest.mark.attack("markup", "command in a block of code (Markdown)", "cannot end the block")
@pytest.mark.parametrize("text", ["a\n```\nb", "````", "`` ` ``"])
def test_code_ends_where_it_ends(text):
    first, *middle, last = escape.fenced(text, "sh").splitlines()
    assert first == f"{last}sh"
    assert "\n".join(middle) == text
    assert last not in text
    fence = re.match("`+", escape.code(text))[0]
    assert fence not in text
    assert escape.code(text).endswith(fence)


@pytest.mark.attack("markup", "names in a table (LaTeX)", "printed as text, in one line")
def test_a_table_in_latex_holds_no_command_of_a_name():
    made = latex(table(TEX))
    assert r"\input{/etc" not in made
    assert r"\write18" not in made
    assert "^^" not in made
    body = made.partition(r"\begin{table}")[2]
    assert "\n\n" not in body.partition(r"\end{table}")[0]
    assert made.count(r"\end{document}") == 1  # the table's own


@pytest.mark.attack("terminal codes", "names that stand in one line of Markdown or LaTeX", "left out")
@pytest.mark.parametrize("code", ["\x1b[2J", "\0", "\x07", "\u202e", "\u2067", "\u2028"])
def test_control_characters_are_left_out(code):
    assert set(escape.one_line(f"a{code}b")) <= set("ab [2J")


def test_intervals_and_names_with_underscores_look_as_ever():
    assert escape.markdown("[-0.10, +0.20] mean_weight") == "[-0.10, +0.20] mean_weight"
    assert escape.fenced("dmt run", "sh") == "```sh\ndmt run\n```"
    assert escape.code("dmt run") == "`dmt run`"
