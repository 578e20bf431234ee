"""What is checked of sweeps and ablations before any of their work begins."""

import sys

import pytest

from dmt_ray.cli import main as cli
from dmt_ray.cli.dry_run import bound_ablation, bound_sweep, keeping_nothing
from dmt_ray.config import override
from dmt_ray.errors import DataError, ModelError
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
