"""Records of ablations and sweeps in files."""

import sys
from pathlib import Path

import pandas as pd
import pytest

from dmt_ray.cli import main as cli
from dmt_ray.errors import ConfigError, MissingStages, StoreError
from dmt_ray.experiments.experiment_file import ExperimentFile, write, write_failed
from dmt_ray.experiments.trials import read_trials
from dmt_ray.report.tables.build import build
from dmt_ray.report.tables.text import csv, markdown
from dmt_ray.results import export, tidy
from dmt_ray.results.scores import selected
from dmt_ray.store import Store
from tests.helpers.fake_stages import POINTS, TWO_ROWS, fill, sweep
from tests.helpers.fake_stages import ablation_file as made


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """Results without a sweep or an ablation."""
    Store(tmp_path / "runs")
    return tmp_path / "runs"


def ablation(storage: Path) -> ExperimentFile:
    """An ablation whose last run has failed."""
    file, store = made("components", TWO_ROWS), Store(storage)
    *there, last = file.ablation.members()
    for wanted in there:
        fill(store, wanted.plan, gain=0.1 * wanted.seed)
    folder = storage / "ablations" / file.ablation.name
    write(folder, file)
    write_failed(folder, {last.plan.rungs[-1]["A"].name: "the loss became NaN or infinite"})
    return file


def test_a_trial_of_a_sweep_has_the_scores_of_its_plans(storage: Path) -> None:
    one = sweep(storage)
    frame = tidy.of_sweep(storage / "sweeps" / one.name)
    assert list(frame["row"].unique()) == [
        "gamma1=0 method=dmt",
        "gamma1=1 method=dst",
        "gamma1=2 method=dmt",
        "gamma1=3 method=dmt",
    ]
    assert dict(zip(frame["trial"], frame["state"], strict=True)) == {0: "there", 1: "there", 2: "failed", 3: "missing"}
    assert list(frame[frame["trial"] == 1]["method"].unique()) == ["dst"]
    assert list(frame[frame["trial"] == 2]["param/weight.gamma1"].unique()) == [2.0]
    store = Store(storage)
    reported = frame[(frame["images"] == "reported") & (frame["metric"] == "miou")].set_index(["trial", "seed", "rule"])
    for number in (0, 1):
        for seed, plan in one.plans(POINTS[number]).items():
            for rule, chosen in selected(store, plan).items():
                assert reported.loc[(number, seed, rule), "value"].item() == chosen.reported
    assert frame[frame["trial"] == 0]["score"].unique().tolist() == [pytest.approx(0.65)]


def test_of_a_trial_that_is_not_complete_there_is_what_was_scored_and_one_line_without_a_value(storage: Path) -> None:
    one = sweep(storage)
    frame = tidy.of_sweep(storage / "sweeps" / one.name)
    part = frame[(frame["trial"] == 2) & (frame["seed"] == 0)]
    assert part[part["rule"] == "each"]["rung"].unique().tolist() == [0, 1]
    (last,) = part[part["rule"] != "each"].to_dict("records")
    assert (last["state"], last["error"], last["rule"], last["metric"]) == ("failed", "out of memory", "last", "miou")
    assert pd.isna(last["value"])
    assert frame[frame["trial"] == 2]["score"].isna().all()


def test_two_trials_with_the_same_settings_are_two_rows(storage: Path) -> None:
    one = sweep(storage)
    trials = read_trials(storage / "sweeps" / one.name, one.name)
    twice = [trials[0], trials[1], trials[0].__class__(7, trials[0].params, "pruned", {})]
    assert tidy.rows_of(twice) == {
        0: "gamma1=0 method=dmt (trial 0)",
        1: "gamma1=1 method=dst",
        7: "gamma1=0 method=dmt (trial 7)",
    }


def test_parquet_gives_back_the_same_table(storage: Path, tmp_path: Path) -> None:
    file = ablation(storage)
    export.write(tidy.of_all(storage, "components"), tmp_path / "one.parquet")
    back = export.read(tmp_path / "one.parquet")
    direct = tidy.of_ablation(storage / "ablations" / file.ablation.name)
    assert back.attrs["about"] == direct.attrs["about"]
    assert markdown(build(back)) == markdown(build(direct))
    assert csv(build(back)) == csv(build(direct))
    assert "the loss became NaN or infinite" in markdown(build(back))


def test_everything_goes_into_one_file_and_comes_out_one_by_one(storage: Path, tmp_path: Path) -> None:
    file, one = ablation(storage), sweep(storage)
    frame = tidy.of_all(storage)
    assert frame["experiment"].unique().tolist() == [file.ablation.name, one.name]
    assert "about" not in frame.attrs
    export.write(frame, tmp_path / "all.parquet")
    back = export.read(tmp_path / "all.parquet", "components")
    direct = tidy.of_ablation(storage / "ablations" / file.ablation.name)
    assert markdown(build(back)) == markdown(build(direct))
    assert export.read(tmp_path / "all.parquet", "joint")["param/method"].unique().tolist() == ["dmt", "dst"]
    with pytest.raises(MissingStages, match="several experiments; name one of"):
        export.read(tmp_path / "all.parquet")
    with pytest.raises(MissingStages, match="no records of 'other'"):
        export.read(tmp_path / "all.parquet", "other")


def test_csv_has_the_same_numbers(storage: Path, tmp_path: Path) -> None:
    ablation(storage)
    sweep(storage)
    frame = tidy.of_all(storage)
    export.write(frame, tmp_path / "all.csv")
    back = pd.read_csv(tmp_path / "all.csv")
    assert list(back.columns) == list(frame.columns)
    assert back["value"].tolist() == pytest.approx(frame["value"].tolist(), abs=0, nan_ok=True)


def test_the_command_says_what_it_wrote(
    storage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = ablation(storage)
    words = ["dmt", "export", "comp", "--storage", str(storage), "--out", str(tmp_path / "x.parquet")]
    monkeypatch.setattr(sys, "argv", words)
    assert cli.main() == 0
    count = len(export.read(tmp_path / "x.parquet"))
    assert capsys.readouterr().out == (
        f"{count} numbers of {file.ablation.name} are written to {tmp_path / 'x.parquet'}\n"
    )


def test_what_cannot_be_written_or_read_is_said(storage: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.parquet or \.csv, but got 'x\.xlsx'"):
        export.check(Path("x.xlsx"))
    with pytest.raises(ConfigError, match="there is no folder"):
        export.check(tmp_path / "none" / "x.csv")
    with pytest.raises(ConfigError, match="there are no sweeps or ablations"):
        tidy.of_all(storage)
    (tmp_path / "bad.parquet").write_text("nothing")
    with pytest.raises(StoreError, match="cannot be read as records"):
        export.read(tmp_path / "bad.parquet")
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "other.parquet")
    with pytest.raises(StoreError, match="holds no records"):
        export.read(tmp_path / "other.parquet")
