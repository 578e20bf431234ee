"""Pages about an ablation and a sweep, made of real records."""

import base64
import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from dmt_ray.cli import main as cli
from dmt_ray.errors import ConfigError
from dmt_ray.experiments import experiment_file
from dmt_ray.report import html_page, pages
from dmt_ray.report.tables.build import build
from dmt_ray.results import tidy
from tests.helpers.ablations import perform
from tests.helpers.fake_stages import sweep

PNG = b"\x89PNG\r\n\x1a\n"


class Page(HTMLParser):
    """What a browser would fetch, and whether all that was opened is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.open: list[str] = []
        self.pictures: list[bytes] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "img"):
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href"):
                if str(value).startswith("data:image/png;base64,"):
                    self.pictures.append(base64.b64decode(str(value).partition(",")[2]))
                else:
                    self.fetched.append(str(value))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def ablation(tmp_path_factory: pytest.TempPathFactory, pictures: Path, settings: Path) -> Path:
    """The folder of a real ablation of three rows and two seeds."""
    return perform(tmp_path_factory.mktemp("report") / "runs", pictures, settings)


@pytest.fixture(scope="module")
def text(ablation: Path) -> str:
    file = ablation.parents[1] / "page.html"
    html_page.write(ablation, file)
    return file.read_text(encoding="utf-8")


def test_a_page_needs_no_other_file(text: str) -> None:
    page = Page(text)
    assert page.fetched == []
    assert page.open == []
    assert "url(" not in text


def test_a_page_has_the_question_the_command_and_every_number_of_the_table(ablation: Path, text: str) -> None:
    assert "<h1>What is each part of DMT worth?</h1>" in text
    assert "3 rows, 2 seeds; 6 of 6 runs are complete." in text
    assert "<pre>python -m ablations.components</pre>" in text
    table = build(tidy.of_ablation(ablation))
    cells = [cell.text for block in table.blocks for row in block.rows for cell in row if "±" in cell.text]
    assert cells
    assert all(cell in text for cell in cells)
    assert all(line.replace("<", "&lt;") in text for line in table.footer)


def test_a_page_opens_with_its_answer_and_its_cost(ablation: Path, text: str) -> None:
    sentences = re.findall(r'<p class="answer">(.*?)</p>', text)
    raw = build(tidy.of_ablation(ablation)).raw
    last = raw[raw["rule"] == "last"].set_index("row")
    best = last["mean"].idxmax()
    assert sentences[0].startswith(
        f"{best} has the highest test mIoU, {100 * last.loc[best, 'mean']:.2f} % (mean of 2 runs)"
    )
    if best != "Baseline":
        assert f"{100 * last.loc[best, 'difference']:+.2f} [" in sentences[0]
    assert re.fullmatch(r"It cost \d+\.\d\d device hours in \d+ stages, of which shared .*", sentences[1])
    assert text.index(sentences[0]) < text.index("<h2>Scores</h2>") < text.index("<figure>")


def test_a_page_says_what_is_missing_and_has_every_other_metric(text: str) -> None:
    for name in ("Dice (%)", "boundary IoU (%)", "ECE (%)", "NLL (nats × 100)"):
        assert f'<th scope="col">{name}</th>' in text
    assert "How often decisions are right, by how confident the model is of them." in text


def test_a_page_has_figures_classes_settings_and_what_went_wrong(text: str) -> None:
    pictures = Page(text).pictures
    assert len(pictures) >= 6
    assert all(picture.startswith(PNG) for picture in pictures)
    assert "Score after each iteration." in text
    assert '<th scope="col">triangle</th>' in text
    assert "No stage failed, and no worker was lost." in text
    assert "dms_alpha: " in text
    assert "CBST: cbst" in text


def test_an_ablation_of_which_nothing_is_there_has_a_page_too(ablation: Path, tmp_path: Path) -> None:
    from dmt_ray.store import Store

    Store(tmp_path / "runs")
    folder = tmp_path / "runs" / "ablations" / ablation.name
    experiment_file.write(folder, experiment_file.read(ablation))
    stage = next(experiment_file.read(folder).ablation.members()).plan.rungs[0]["A"]
    experiment_file.write_failed(folder, {stage.name: "out of <memory>"})
    html_page.write(folder, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "0 of 6 runs are complete." in text
    assert "out of &lt;memory&gt;" in text
    assert Page(text).pictures == []


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_sweep_has_a_page_with_its_trials_the_best_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from dmt_ray.store import Store

    Store(tmp_path / "runs")
    one = sweep(tmp_path / "runs")
    out = tmp_path / "sweep.html"
    monkeypatch.setattr(sys, "argv", ["dmt", "report", "joint", "--storage", str(tmp_path / "runs"), "--out", str(out)])
    assert cli.main() == 0
    assert capsys.readouterr().out == f"written: {out}\n"
    text = out.read_text()
    assert f"{one.name}: 4 trials of dmt, of which 2 complete, 1 not complete, 1 failed." in text
    rows = re.findall(r'<tr><th scope="row">(\d+)</th>(.*?)</tr>', text)
    assert [int(number) for number, _ in rows] == [0, 1, 3, 2]  # complete, then running, then failed
    # mIoU of the two seeds differs by a tenth: their means are .65, .63, .62 and .63.
    first = ["65.00", "2 of 2", "complete", "0", "dmt", "63.00", "62.00", "63.00"]
    assert re.findall(r"<td>(.*?)</td>", rows[0][1]) == first
    [failed] = [cells for number, cells in rows if number == "2"]
    assert re.findall(r"<td>(.*?)</td>", failed) == ["67.00", "1 of 2", "failed", "2", "dmt", "–", "–", "–"]
    assert '<p class="answer">Best of 2 complete trials is trial 0, gamma1=' in text
    # Trials 0 and 1 have the same scores with every seed.
    assert "It is +0.00 [+0.00, +0.00] points above the next best, trial 1 (paired 95 % interval)" in text
    [numbers] = re.findall(r'<script type="application/json">(.*?)</script>', text)
    explored = json.loads(numbers)
    assert [axis["name"] for axis in explored["axes"]] == ["gamma1", "method"]
    third = {"number": 2, "state": "failed", "values": [2.0, "dmt"], "score": 67.0, "step": "rung 1"}
    assert explored["trials"][2] == third
    assert "trial 2 failed: gamma1=2 method=dmt" in text
    assert "dmt run --recipe shapes --method dmt --set weight.gamma1=0.0" in text
    assert Page(text).open == []
    assert all(picture.startswith(PNG) for picture in Page(text).pictures)


def test_what_is_no_html_file_is_refused(ablation: Path, tmp_path: Path) -> None:
    for file, reason in (
        (tmp_path / "page.pdf", "must end in .html"),
        (tmp_path / "none/page.html", "there is no folder"),
    ):
        with pytest.raises(ConfigError, match=f"the report cannot be written: .*{reason}"):
            html_page.write(ablation, file)


def test_a_page_links_to_its_run_in_mlflow_where_there_is_one() -> None:
    content = pages.Page("Which?", [], "As far as it came.", "", (), (), (), (), (), "", (), {})
    linked = html_page.as_html(content, "", "#/experiments/1/runs/abc")
    assert '<a href="http://127.0.0.1:5000/#/experiments/1/runs/abc">In MLflow</a>' in linked
    assert "MLflow" not in html_page.as_html(content)
