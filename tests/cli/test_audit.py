"""`dmt audit` and `dmt bundle`: what they say, what they refuse, and how they end."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dmt_ray.cli.audit import _Lines
from dmt_ray.cli.main import main
from dmt_ray.experiments import audit_file, experiment_file
from dmt_ray.experiments.audit import Audit, Step
from dmt_ray.experiments.audit_file import AuditFile, Recomputed
from dmt_ray.experiments.audited import Audited


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(["nothing"], "there is no sweep, ablation or run 'nothing'", id="unknown"),
        pytest.param(
            ["components", "--storage", "nowhere"], "there are no sweeps, ablations or runs in nowhere", id="no storage"
        ),
        pytest.param(["components", "--hours", "0"], "--hours must be above 0, but got 0", id="no time"),
        pytest.param(["components", "--hours", "nan"], "--hours must be above 0, but got nan", id="no number"),
        pytest.param(["components", "--seed", "-1"], "--seed must be a number from 0", id="seed"),
        pytest.param(["components", "--hours", "0.001"], "alone takes about 10 s", id="too little time"),
        pytest.param(["components", "--set", "external.masks=x"], "--set is for bundles", id="--set"),
        pytest.param(["none.tar.xz"], "there is no file none.tar.xz", id="no bundle"),
    ],
)
def test_what_cannot_be_is_said_before_any_work(
    storage: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    given = [*words, *([] if "--hours" in words else ["--hours", "1"])]
    given += [] if "--storage" in words else ["--storage", str(storage)]
    assert main(["audit", *given]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("out", "reason"),
    [
        pytest.param("x.zip", "the name of the file must end in .tar.xz, but got 'x.zip'", id="ending"),
        pytest.param("nowhere/x.tar.xz", "nowhere: create it, or name another one", id="no folder"),
        pytest.param("file/x.tar.xz", "file is a file and no folder: name another one", id="a file for a folder"),
        pytest.param("folder.tar.xz", "folder.tar.xz is a folder: name a file", id="a folder for a file"),
        pytest.param("closed/x.tar.xz", "closed: allow it, or name another folder", id="not writable"),
    ],
)
def test_where_a_bundle_cannot_be_written_is_said_before_any_work(
    storage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    out: str, reason: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("dmt_ray.files.os.access", lambda path, _: Path(path).name != "closed")
    (tmp_path / "file").touch()
    for folder in ("folder.tar.xz", "closed"):
        (tmp_path / folder).mkdir()
    assert main(["bundle", "components", "--storage", str(storage), "--out", out]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: --out: ")
    assert said.endswith(f"{reason}\n")


def test_a_dry_run_says_how_many_stages_there_are_and_fit(storage: Path, dmt: Callable[..., str]) -> None:
    said = dmt("audit", "components", "--hours", "0.006", "--dry-run", "--storage", storage)
    assert "stages of" in said
    assert "planned are computed, which took" in said
    assert "to be drawn with seed 0: about 2 stages, 20 s by the recorded times" in said
    assert not (storage / "audits").exists()


@pytest.fixture
def copied(storage: Path, tmp_path: Path) -> Audited:
    shutil.copytree(storage, tmp_path / "runs")
    (folder,) = (tmp_path / "runs" / "ablations").iterdir()
    return Audited.of_folder(folder, None, None)


def recomputed(table: Audited, differing: int) -> AuditFile:
    """All stages as they would be noted; the first ones of the draw differ."""
    digests, noted = table.digests(), {}
    for place, stage in enumerate(audit_file.drawn(digests, 0)):
        what = "model.safetensors: head by up to 0.5" if place < differing else ""
        noted[stage.name] = Recomputed(digests[stage], not what, True, what, 1.0, "2026-01-01T00:00:00+00:00", 0)
    return AuditFile(0, [{"device": "cpu"}], noted)


def test_an_audit_that_is_gone_on_with_counts_on(
    copied: Audited, dmt: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = recomputed(copied, 0)
    first, second, third, *_ = audit_file.drawn(copied.digests(), 0)
    known = {stage.name: whole.stages[stage.name] for stage in (first, second)}
    audit_file.write(copied.file, AuditFile(0, whole.machines, known))

    def one_more(made: Audit) -> None:
        made.content.stages[third.name] = whole.stages[third.name]
        made._say(Step(third, whole.stages[third.name], True, 1.0, 60.0))

    monkeypatch.setattr(Audit, "perform", one_more)
    said = dmt("audit", "components", "--hours", "1", "--storage", copied.file.parents[2])
    assert "drawn so far: 2 stages, in 2 s of 1 h 00 min" in said
    assert f"   3  {third.name} (1 s) agrees | time left: about 1 min 00 s" in said
    assert f"\n3 of {len(copied.records)} stages recomputed, 3 agree: with 95 % confidence at most" in said


def test_the_time_left_goes_on_while_a_long_stage_does(
    copied: Audited, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    lines, stage = _Lines(), next(iter(copied.records))
    lines.step(Step(stage, None, True, 100.0, 300.0))
    for now in (31.0, 62.0):
        lines.progress(stage, int(now), 100)
    assert [line.rpartition("about ")[2] for line in capsys.readouterr().out.splitlines()] == [
        "4 min 29 s",
        "3 min 58 s",
    ]


@pytest.mark.parametrize(("differing", "status"), [(0, 0), (1, 1)])
def test_a_difference_is_named_and_has_a_status_of_its_own(
    copied: Audited, dmt: Callable[..., str], monkeypatch: pytest.MonkeyPatch, differing: int, status: int
) -> None:
    audit_file.write(copied.file, recomputed(copied, differing))
    monkeypatch.setattr(Audit, "perform", lambda self: None)  # all is done already
    storage = copied.file.parents[2]
    said = dmt("audit", "components", "--hours", "1", "--storage", storage, status=status)
    count = len(copied.records)
    end = "none differs" if not differing else "1 differs"
    assert said.splitlines()[-1] == f"{count} of {count} stages recomputed, {count - differing} agree: {end}"
    assert ("differs: " in said) == bool(differing)
    assert ("seed 0): model.safetensors: head by up to 0.5" in said or "seed 1)" in said) == bool(differing)


def test_the_table_marks_cells_that_were_computed_again(copied: Audited, dmt: Callable[..., str]) -> None:
    storage = copied.file.parents[2]
    assert "Audit:" not in dmt("table", "components", "--storage", storage)
    audit_file.write(copied.file, recomputed(copied, 0))
    said = dmt("table", "components", "--storage", storage)
    count = len(copied.records)
    assert f"Audit: {count} of {count} stages recomputed, {count} agree: none differs" in said
    assert "†: all stages behind the score agree." in said
    assert "(n=2) †" in said
    baseline = next(iter(copied.records))
    content = recomputed(copied, 0)
    content.stages[baseline.name] = Recomputed(copied.digests()[baseline], False, True, "x", 1.0, "2026", 0)
    audit_file.write(copied.file, content)
    assert "(n=2) ‡" in dmt("table", "components", "--storage", storage)


def test_a_run_can_be_audited_like_a_table(storage: Path, dmt: Callable[..., str]) -> None:
    names = [file.experiment.name for file in experiment_file.saved_runs(storage)]
    said = dmt("audit", names[0], "--hours", "1", "--dry-run", "--storage", storage)
    assert said.startswith(f"{names[0]}: 2 stages are computed, which took 20 s in all")
