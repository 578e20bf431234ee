"""`dmt why` on sweeps and ablations that are on disk; no Ray."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dmt_ray.cli import main as cli
from dmt_ray.execution import journal
from dmt_ray.execution.journal import Activity, locked
from dmt_ray.experiments import experiment_file
from dmt_ray.experiments.ablation import Ablation, Column, Row, cells
from dmt_ray.experiments.commands import runnable
from dmt_ray.experiments.experiment_file import ExperimentFile
from dmt_ray.experiments.sweep import Sweep, Uniform
from dmt_ray.plan import Stage
from dmt_ray.recipes import load
from dmt_ray.search.study import Study
from dmt_ray.store import Store

SPACE = {"weight.gamma1": Uniform(0, 8), "weight.gamma2": Uniform(0, 8)}
POINTS = tuple({"weight.gamma1": float(i), "weight.gamma2": 5.0} for i in range(3))


@pytest.fixture
def sweep() -> Sweep:
    return Sweep("gamma_sweep", "Which?", load("shapes", ["percentiles=[1.0]"]), "dmt", SPACE, (0, 1), POINTS)


@pytest.fixture
def folder(tmp_path, sweep) -> Path:
    """The folder of a sweep of three trials; none has begun."""
    folder = tmp_path / "runs" / "sweeps" / sweep.name
    folder.mkdir(parents=True)
    file = ExperimentFile(sweep, Path("runs"), recipe="shapes", changes=("percentiles=[1.0]",), trials=3)
    experiment_file.write(folder, file)
    return folder


@pytest.fixture
def why(tmp_path, monkeypatch, capsys):
    def said(name: str, status: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["dmt", "why", name, "--storage", str(tmp_path / "runs")])
        assert cli.main() == status
        captured = capsys.readouterr()
        return captured.err if status else captured.out

    return said


def perform(folder: Path, sweep: Sweep, *errors: str | None) -> None:
    with locked(folder):
        study = Study(folder, sweep, 3)
        for error in errors:
            assert study.take("any") is not None
            for rung in range(sweep.last_rungs()[1] + 1):
                study.report("any", rung, 0.5)
            study.finish("any", error)


def activity(sweep: Sweep, number: int = 0) -> Activity:
    """What the trial's worker did last: the fine-tuning of model B."""
    plan = sweep.plans(POINTS[number])[1]
    return Activity.of(plan.rungs[1]["B"].inputs["model"], rung=1)


def test_a_failed_trial_is_explained(folder, sweep, why):
    perform(folder, sweep, None, "the loss became NaN")
    journal.write_fault(folder, 1, "failed", "the loss became NaN", activity(sweep, 1), "node7")
    (folder / "errors").mkdir()
    (folder / "errors" / "1.txt").write_text("Traceback ...")
    said = why(sweep.name)
    lines = {line.split()[0]: line for line in said.splitlines() if line.startswith("  ")}
    assert f"{sweep.name}: 3 trials, 1 complete, 1 failed\n" in said
    assert "\ntrial 1 failed: gamma1=1 gamma2=5\n" in said
    assert lines["error"] == "  error     the loss became NaN"
    assert lines["stage"].startswith(f"  stage     {activity(sweep, 1).stage} (model B: ")
    assert "seed 1, rung 1)" in " ".join(said.split())
    assert lines["node"].endswith("node7")
    assert lines["when"].endswith(" UTC")
    assert lines["traceback"].endswith(str(folder / "errors" / "1.txt"))
    assert (
        lines["replay"].split("replay")[1].strip().startswith(runnable("for seed in 0 1; do dmt run --recipe shapes"))
    )
    assert all(len(line) <= 100 for name, line in lines.items() if name not in ("traceback", "replay"))
    assert "faults that did not end" not in said


def test_the_command_that_goes_on_is_named_as_long_as_something_is_missing(folder, sweep, why):
    file = replace(experiment_file.read(folder), command="dmt sweep gamma_sweep --trials 3 --storage runs")
    experiment_file.write(folder, file)
    perform(folder, sweep, None, "the loss became NaN")
    go_on = runnable(f"dmt sweep gamma_sweep --trials 3 --storage {folder.parents[1]}")
    assert why(sweep.name).endswith(f"\n\nTo go on: {go_on}\n")
    perform(folder, sweep, None)
    experiment_file.write(folder, replace(file, trials=2))  # as many as are complete
    assert "To go on" not in why(sweep.name)


def test_lost_workers_are_told_though_the_trials_are_complete(folder, sweep, why):
    perform(folder, sweep, None, None)
    journal.write_fault(folder, 1, "lost", "no progress for 3 s in finetune-ab step 3 of 9", activity(sweep, 1))
    journal.write_fault(folder, "label-ab", "lost", "its node has died", None)
    said = " ".join(why(sweep.name).split())
    assert "faults that did not end a trial: trial 1 a worker was lost at 20" in said
    assert f" on {activity(sweep).node} in finetune-" in said
    assert "no progress for 3 s in finetune-ab step 3 of 9; now complete" in said
    assert "shared a worker was lost at 20" in said
    assert said.endswith("No trial failed.")


def test_a_shared_stage_that_fails_is_told(folder, sweep, why):
    stage = sweep.plans(POINTS[0])[0].rungs[0]["B"].inputs["model"]
    (folder / "errors").mkdir()
    (folder / "errors" / "shared.txt").write_text("Traceback ...")
    journal.write_fault(folder, stage.name, "failed", "the loss became NaN", Activity.of(stage, None))
    said = " ".join(why(sweep.name).split())
    assert f"in {stage.name} (model B: Unet/" in said
    assert "seed 0, shared by all trials): the loss became NaN traceback " in said


def test_a_trial_that_was_repaired_later_is_no_failure(folder, sweep, why):
    perform(folder, sweep, "out of memory", None, None)
    journal.write_fault(folder, 0, "failed", "out of memory", activity(sweep))
    perform(folder, sweep, None)
    said = " ".join(why(sweep.name).split())
    assert "trial 0 an attempt failed at 20" in said
    assert "out of memory; now complete" in said
    assert said.endswith("No trial failed.")


def test_a_sweep_without_faults_says_so(folder, sweep, why):
    assert why(sweep.name).startswith(f"{sweep.name}: 3 trials, none started\n")
    perform(folder, sweep, None, None, None)
    assert why(sweep.name).endswith("3 complete\n\nNo trial failed, and no worker was lost.\n")


def test_a_failure_of_which_only_the_study_knows_is_told_too(folder, sweep, why):
    perform(folder, sweep, "the loss became NaN")
    (folder / "faults.jsonl").write_text('{"who": 0, "kind": "fai')  # torn by a full disk
    assert "error     the loss became NaN\n  replay" in why(sweep.name)


def test_a_sweep_is_found_by_its_beginning_or_its_folder(folder, sweep, why):
    assert why("gamma_sweep-sh") == why(str(folder)) == why(sweep.name)


def test_what_is_not_found_is_said_in_one_line(folder, sweep, why, tmp_path):
    assert why("gama_sweep-shapes", 2).endswith("did you mean 'gamma_sweep-shapes'?\n")
    (tmp_path / "runs" / "sweeps" / f"{sweep.name}-2").mkdir()
    (tmp_path / "runs" / "sweeps" / f"{sweep.name}-2" / "sweep.json").write_text("{}")
    assert why(sweep.name).startswith(sweep.name)  # its whole name is not the beginning of another


def test_where_there_are_no_sweeps_the_option_is_named(why):
    assert "--storage" in why("gamma_sweep", 2)


# ---- of an ablation --------------------------------------------------------------------------------------------

ROWS = {"Baseline": Row("baseline"), "DST": Row("dst"), "DMT": Row("dmt"), "DMT-Flip": Row("dmt_flip")}


@pytest.fixture
def table(tmp_path) -> ExperimentFile:
    """An ablation of four rows and two seeds; nothing of it is there."""
    made = cells("shapes", ("percentiles=[1.0]",), ROWS, {"shapes": Column()}, lambda config: config)
    file = ExperimentFile(
        Ablation("components", "What?", "shapes", made, (0, 1), "Baseline"), tmp_path / "runs", command="x"
    )
    Store(file.storage)
    experiment_file.write(folder_of(file), file)
    return file


def folder_of(file: ExperimentFile) -> Path:
    return file.storage / "ablations" / file.ablation.name


def performed(file: ExperimentFile, *, without: set[str] = frozenset()) -> None:
    """Write all stages but these and those that need them."""
    store, gone = Store(file.storage), set(without)
    for wanted in file.ablation.members():
        for stage in wanted.plan.stages():
            if stage.name in gone or any(below.name in gone for below in stage.inputs.values()):
                gone.add(stage.name)
            elif not store.has(stage):
                with store.write(stage):
                    pass


def stage_of(file: ExperimentFile, row: str, seed: int, side: str) -> Stage:
    """The last fine-tuning of a row's model."""
    plan = next(one.plan for one in file.ablation.members() if (one.cell.row, one.seed) == (row, seed))
    return plan.rungs[-1][side].inputs["model"]


def test_a_failed_stage_of_an_ablation_is_explained_with_what_it_costs(table, why):
    stage = stage_of(table, "DMT", 1, "B")
    performed(table, without={stage.name})
    folder, store = folder_of(table), Store(table.storage)
    behind = [one.name for one in store.missing([next_rung_of(table, "DMT", 1)["B"]])]
    experiment_file.write_failed(folder, dict.fromkeys([stage.name, *behind], "the loss became NaN"))
    journal.write_fault(folder, stage.name, "lost", "no progress for 600 s", Activity.of(stage, None), "node6")
    journal.write_fault(folder, stage.name, "failed", "the loss became NaN", Activity.of(stage, None), "node7")
    (folder / "errors").mkdir()
    (folder / "errors" / f"{stage.name}.txt").write_text("Traceback ...")
    said = why("components")
    lines = {line.split()[0]: line for line in said.splitlines() if line.startswith("  ")}
    assert said.startswith(f"{table.ablation.name}: 8 runs, 7 complete, 1 failed\n\n{stage.name} failed\n")
    assert lines["error"] == "  error     the loss became NaN"
    assert f"stage {stage.name} (model B: " in " ".join(said.split())
    assert lines["costs"] == "  costs     DMT, seed 1"
    assert lines["node"].endswith("node7")
    assert "before a worker was lost at 20" in " ".join(said.split())
    assert lines["traceback"].endswith(f"{stage.name}.txt")
    assert lines["replay"].split("replay")[1].strip() == runnable(
        f"dmt run --recipe shapes --method dmt --set 'percentiles=[1.0]' --storage {table.storage} --seed 1"
    )
    assert "shared by all" not in said


def next_rung_of(file: ExperimentFile, row: str, seed: int) -> dict[str, Stage]:
    return next(one.plan for one in file.ablation.members() if (one.cell.row, one.seed) == (row, seed)).rungs[-1]


def test_a_stage_that_many_rows_need_costs_them_all(table, why):
    teacher = next(table.ablation.members()).plan.rungs[0]["A"].inputs["model"]
    performed(table, without={teacher.name})
    experiment_file.write_failed(folder_of(table), {teacher.name: "out of memory"})
    said = " ".join(why("components").split())
    assert "8 runs, 4 complete, 4 failed" in said
    assert f"{teacher.name} failed error out of memory" in said
    assert "costs Baseline, DST, DMT and DMT-Flip, seed 0 replay" in said


def test_a_worker_that_was_lost_is_said_with_the_rows_that_wanted_the_stage(table, why):
    stage = stage_of(table, "DMT", 0, "A")
    performed(table)
    journal.write_fault(folder_of(table), stage.name, "lost", "its node has died", Activity.of(stage, None))
    said = " ".join(why("components").split())
    assert "8 complete faults that did not end a run: finetune a worker was lost at 20" in said
    assert "its node has died; needed for DMT, seed 0; now there" in said
    assert said.endswith("No stage failed.")
    assert "shared by all" not in said


def test_an_ablation_without_faults_says_so(table, why):
    assert why("comp").startswith(f"{table.ablation.name}: 8 runs, 8 missing\n")
    performed(table)
    assert why(str(folder_of(table))).endswith(": 8 runs, 8 complete\n\nNo stage failed, and no worker was lost.\n")


def test_what_failed_and_is_there_now_is_no_failure(table, why):
    performed(table)
    experiment_file.write_failed(folder_of(table), {stage_of(table, "DMT", 0, "A").name: "out of memory"})
    assert why("components").endswith("No stage failed, and no worker was lost.\n")


def test_sweeps_and_ablations_are_found_alike(table, folder, sweep, why):
    assert why("gamma").startswith(sweep.name)
    assert why("components").startswith(table.ablation.name)
    assert f"did you mean '{table.ablation.name}'?" in why(f"{table.ablation.name}x", 2)
