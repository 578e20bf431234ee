"""What is checked of sweeps and ablations before any of their work begins."""

import io
import sys
from dataclasses import replace

import pytest
from rich.console import Console

from dmt_ray.cli import dry_run
from dmt_ray.cli import main as cli
from dmt_ray.cli.dry_run import bound_ablation, bound_sweep, keeping_nothing
from dmt_ray.cli.sweep_options import SweepOptions
from dmt_ray.config import override
from dmt_ray.errors import ConfigError, DataError, ModelError
from dmt_ray.execution import cluster
from dmt_ray.execution.cost import ABOUT
from dmt_ray.execution.options import Options
from dmt_ray.execution.runner import Runner
from dmt_ray.experiments.ablation import Ablation, Cell
from dmt_ray.experiments.sweep import Sweep
from dmt_ray.methods.space import Choice, Uniform

SIXTY = {"model.encoder": "resnet18", "model.arguments": {}, "crop": 60}  # which a Unet takes, and an FPN does not


def test_networks_at_all_ends_of_a_space_are_checked(machine, tiny):
    def sweep_of(config):
        return Sweep("s", "?", config, "dst", {"model.architecture": Choice("Unet", "FPN")}, (0,))

    with pytest.raises(ModelError, match=r"the search would try architecture=FPN: FPN/resnet18 cannot take crops"):
        bound_sweep(Runner(machine), sweep_of, override(tiny, SIXTY), (0,), 2)


def test_a_known_point_that_leaves_a_model_no_image_is_refused(machine, tiny):
    def sweep_of(config):
        return Sweep("s", "?", config, "dmt", {"dms_alpha": Uniform(0.55, 1)}, (0,), ({"dms_alpha": 0.6},))

    config = override(tiny, {"split.labelled": 1, "dms_alpha": 1})
    with pytest.raises(DataError, match=r"a known point cannot be tried .* would see no images: label more"):
        bound_sweep(Runner(machine), sweep_of, config, (0,), 2)


def test_the_row_whose_network_does_not_fit_is_named(machine, tiny):
    fpn = override(tiny, {**SIXTY, "model.architecture": "FPN", "oracle.augment.crop": 64})

    def ablation_of(bind):
        rows = {"Oracle": "oracle", "Baseline": "baseline"}
        cells = tuple(Cell(row, "", method, bind(fpn), "shapes") for row, method in rows.items())
        return Ablation("a", "?", "shapes", cells, (0,), "Oracle")

    with pytest.raises(ModelError, match=r"^Baseline, seed 0: FPN/resnet18 cannot take crops of \(60, 60\)"):
        bound_ablation(Runner(machine), ablation_of, (0,))


def test_a_dry_run_where_nothing_can_be_written_takes_a_temporary_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("dmt_ray.cli.dry_run.os.access", lambda *_: False)
    options = Options(storage=tmp_path / "deep" / "runs")
    with keeping_nothing(options) as chosen:
        assert chosen.storage != options.storage
        assert chosen.storage.is_dir()
    assert not chosen.storage.exists()
    assert f"cannot write to {options.storage}: this dry run keeps nothing" in capsys.readouterr().err


def test_a_dry_run_uses_the_storage_folder_where_it_can_be_written_or_holds_results(tmp_path, monkeypatch):
    options = Options(storage=tmp_path / "deep" / "runs")
    with keeping_nothing(options) as chosen:
        assert chosen is options
    monkeypatch.setattr("dmt_ray.cli.dry_run.os.access", lambda *_: False)
    options.storage.mkdir(parents=True)
    (options.storage / "store.json").write_text("{}")
    with keeping_nothing(options) as chosen:
        assert chosen is options


def test_a_dry_run_refuses_a_limit_that_no_point_keeps(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["dmt", "sweep", "gamma_sweep", "--dry-run", "--trials", "2", "--limit", "compute=5"]
    monkeypatch.setattr(sys, "argv", words)
    assert cli.main() == 2
    assert "--limit compute=5 leaves no point to try: of 300 random points the cheapest" in capsys.readouterr().err


@pytest.fixture
def two_cpus(monkeypatch):
    monkeypatch.setattr(cluster, "cpus", lambda: 2)
    monkeypatch.setattr(cluster, "gpus", lambda: 0)


OF_A_SWEEP = {"recipe": "shapes", "changes": ()}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param({}, ["2 trials at a time, each by 1 worker of 1 CPU"], id="default"),
        pytest.param({"workers": 2}, ["1 trial at a time, by 2 workers of 1 CPU each"], id="workers"),
        pytest.param({"concurrent": 1, "cpus": 2}, ["1 trial at a time, by 1 worker of 2 CPUs"], id="one at a time"),
        pytest.param(
            {"shared_workers": 2},
            [
                "2 trials at a time, each by 1 worker of 1 CPU",
                "the stages that all trials share: by 2 workers of 1 CPU each",
            ],
            id="shared",
        ),
        pytest.param(
            {"workers": 2, "shared_workers": 1},
            ["1 trial at a time, by 2 workers of 1 CPU each", "the stages that all trials share: by 1 worker of 1 CPU"],
            id="fewer shared",
        ),
    ],
)
def test_a_dry_run_says_who_performs_what(tmp_path, two_cpus, given, said):
    options = SweepOptions(storage=tmp_path, **OF_A_SWEEP, **given)
    assert [text for _, text in dry_run._workers(options)] == said


@pytest.mark.parametrize(
    ("given", "option"),
    [
        pytest.param({"workers": 4}, "--workers is 4, but there is room for 2 workers", id="workers"),
        pytest.param({"shared_workers": 4}, "--shared-workers is 4, but there is room for 2 workers", id="shared"),
        pytest.param({"gpus": 1.0}, "--gpus-per-worker is 1, but no node of the Ray cluster has a GPU", id="no GPU"),
    ],
)
def test_a_dry_run_refuses_workers_for_which_there_is_no_room(tmp_path, two_cpus, given, option):
    options = SweepOptions(storage=tmp_path, **OF_A_SWEEP, **given)
    with pytest.raises(ConfigError, match=option):
        list(dry_run._workers(options))
    with pytest.raises(ConfigError, match=option):
        options.check_room()  # which the command itself calls before Ray is started


@pytest.mark.parametrize(
    ("given", "workers"),
    [({}, 2), ({"concurrent": 1}, 1), ({"workers": 2}, 2), ({"concurrent": 8}, 2), ({"address": "auto"}, 1)],
)
def test_times_are_divided_among_workers_that_do_not_share_a_core(tmp_path, two_cpus, given, workers):
    assert dry_run._at_once(Options(storage=tmp_path, **given)) == workers


def test_a_cluster_is_not_asked_in_a_dry_run(tmp_path, two_cpus):
    options = SweepOptions(storage=tmp_path, address="head:6379", workers=64, shared_workers=128, **OF_A_SWEEP)
    ((_, text),) = dry_run._workers(options)
    assert text == "as many as there is room for on the Ray cluster at head:6379, which is asked then"


def test_an_ablation_is_described_once_and_notes_only_times_that_are_about(machine, tiny, two_cpus, monkeypatch):
    monkeypatch.setattr("dmt_ray.execution.calibration._timed", lambda *_: 60.0)
    runner = Runner(machine)
    config = runner.bind(tiny)
    row = Cell("Baseline", "", "baseline", config, "shapes")
    ablation = Ablation("a", "What is it?", "shapes", (row,), tuple(range(600)), "Baseline")

    def said(ablation) -> str:
        console = Console(record=True, width=400, file=io.StringIO())
        dry_run.describe_ablation(console, runner, ablation, Options(storage=machine.store))
        return console.export_text()

    lines = said(ablation)
    assert "What is it?" not in lines  # it is the first line of the command
    assert "stages   1,200, shared between rows where possible; without sharing: 1,200" in lines
    assert "with 2 workers" in lines
    assert lines.rstrip().endswith(ABOUT)
    ablation = replace(ablation, seeds=(0, 1, 2))
    runner.perform([stage for one in ablation.members() for stage in one.plan.targets()])
    lines = said(ablation)
    assert " is about " in lines  # the difference that can be seen
    assert ABOUT not in lines
    assert "workers" not in lines
