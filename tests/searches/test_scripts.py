"""The search scripts: what they have in common, their dry runs, and a tiny real run of each."""

import csv
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from dmt_ray.cli import sweep_driver
from dmt_ray.config import Config
from dmt_ray.execution import journal
from dmt_ray.execution.allocation import WorkerGroup
from dmt_ray.execution.runner import Machine, Runner
from dmt_ray.experiments.experiment_file import ExperimentFile
from dmt_ray.experiments.reproduce import of_trial
from dmt_ray.experiments.sweep import Sweep, Trial
from dmt_ray.methods import METHODS, configure, space_of
from dmt_ray.methods.space import Choice, Integer, Uniform
from dmt_ray.recipes.networks import network
from dmt_ray.results.extra_metrics import disagreement, gain
from dmt_ray.results.scores import history, rung_score, score
from dmt_ray.search import confirm
from dmt_ray.search.confirm import Confirmation
from dmt_ray.search.trial import SweepJob, perform_trial
from tests.helpers.paths import ROOT
from tests.helpers.scripts import entry, names, script
from tests.helpers.sweeps import RunningSweep, started

NAMES = names("searches")
SECONDS = 1500.0  # that a busy machine may take to train for half a minute


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch):
    """What a script sets for its process stays within a test."""
    monkeypatch.setattr("dmt_ray.execution.cluster.stop_on_terminate", lambda: None)
    monkeypatch.setattr("dmt_ray.execution.cluster.prepare", lambda: None)


@pytest.fixture
def run(monkeypatch, capsys, tmp_path, settings, pictures):
    """Run a script in this process, on a few pictures; its status and what it says, in one line."""

    def call(name: str, *options: str) -> tuple[int, str]:
        where = ["--recipe", settings, "--data", pictures, "--storage", tmp_path / "runs"]
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, where), *options])
        status = entry(name)()
        said = capsys.readouterr()
        return status, " ".join((said.out + said.err).split())

    return call


@pytest.fixture
def requested(run, monkeypatch):
    """The sweep that a script makes of its options, and how it is to be performed."""

    def call(name: str, *options: str) -> tuple[Sweep, sweep_driver.SweepOptions]:
        made: list[tuple[Sweep, sweep_driver.SweepOptions]] = []

        def note(sweep_of, config: Config, options: sweep_driver.SweepOptions) -> int:
            made.append((sweep_of(config), options))
            return 0

        monkeypatch.setattr(sweep_driver, "drive", note)
        status, said = run(name, *options)
        assert status == 0, said
        return made[0]

    return call


# ---- what they have in common ----------------------------------------------------------------------------------


def test_scripts_are_found():
    assert {"gamma_sweep", "joint_search"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_script_is_short_and_is_its_own_manual(name):
    text = (ROOT / "searches" / f"{name}.py").read_text()
    assert text.count("\n") <= 70
    manual = script(name).__doc__
    for words in ("What is shared:", "Killed? Run it again", "examples:", f"dmt sweep {name} --dry-run"):
        assert words in manual


@pytest.mark.parametrize("name", NAMES)
def test_a_dry_run_says_what_would_be_done_and_does_nothing(run, tmp_path, name):
    one_image_is_enough = ["--set", "dms_alpha=1"] if name != "dms_sweep" else []
    status, said = run(name, "--dry-run", "--seeds", "0", "1", "--confirm", "2", "3", *one_image_is_enough)
    assert status == 0, said
    assert f"sweep {name}-mine-" in said
    for words in ("seeds 0, 1", " optimizer steps", "confirm the best trial and the recipe on seeds 2, 3", "total"):
        assert words in said
    assert not (tmp_path / "runs" / "sweeps").exists()
    assert not (tmp_path / "runs" / "mlflow.db").exists()


@pytest.mark.parametrize("name", NAMES)
def test_all_scripts_take_the_same_options(requested, name):
    options = ["--sampler", "random", "--trials", "7", "--seeds", "0", "1", "2", "3", "4", "--pruner", "wilcoxon"]
    sweep, request = requested(name, *options, "--confirm", "9", "8", "--address", "auto", "--workers", "2")
    assert (request.sampler, request.pruner, request.trials, request.confirm) == ("random", "wilcoxon", 7, (8, 9))
    assert (sweep.grid, sweep.seed_by_seed, sweep.seeds) == (0, True, (0, 1, 2, 3, 4))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param(["--seeds", "0", "1", "--confirm", "1", "2"], "the search itself uses 1", id="not fresh"),
        pytest.param(
            ["--confirm", "5", "5"], "must be different numbers from 0 to 4,294,967,295, but got 5 5", id="a seed twice"
        ),
        pytest.param(
            ["--pruner", "wilcoxon", "--seeds", "0", "1", "2", "3"],
            "can never stop a trial with 4 seeds: a trial has to lose on 4 seeds to reach p = 0.0625",
            id="too few seeds for the Wilcoxon pruner",
        ),
        pytest.param(
            ["--grid", "3", "--sampler", "tpe"], "--grid 3 tries every point of a grid", id="a grid and a sampler"
        ),
        pytest.param(
            ["--sampler", "grid", "--trials", "3"],
            "leave --trials out; or, to search, pass --sampler tpe",
            id="a grid and trials",
        ),
        pytest.param(
            ["--grid", "2", "--limit", "compute=9"],
            "--limit is for searches: leave --limit out; or, to search, leave --grid 2 out",
            id="a grid by its values",
        ),
        pytest.param(
            ["--grid", "2", "--sampler", "grid", "--warm-start"],
            "leave --warm-start out; or, to search, leave --grid 2 out and pass --sampler tpe",
            id="a grid twice",
        ),
        pytest.param(["--grid", "3", "--pruner", "median"], "a grid is never pruned", id="a grid and a pruner"),
        pytest.param(["--second", "compute", "--pruner", "median"], "two objectives are never pruned", id="second"),
    ],
)
def test_what_contradicts_itself_is_said_in_one_line(run, options, words):
    status, said = run("gamma_sweep", *options)
    assert status == 2
    assert words in said


# ---- what each of them asks ------------------------------------------------------------------------------------


NEW_SEARCH = '''"""How fast should fine-tuning learn? A script as a user would write it."""

import sys

from dmt_ray.cli.sweep import Question, main
from dmt_ray.methods.space import Choice, Uniform

SPACE = {"finetune.learning_rate": Uniform(0.001, 0.1), "finetune.epochs": Choice(1, 2)}
QUESTION = Question(__doc__, "rates", "How fast should fine-tuning learn?", SPACE)

if __name__ == "__main__":
    sys.exit(main(QUESTION))
'''


def test_a_new_axis_is_a_setting_in_the_space_of_a_script_and_a_new_search_one_script(tmp_path):
    rates = tmp_path / "rates.py"
    rates.write_text(NEW_SEARCH)
    command = [sys.executable, rates, "--dry-run", "--storage", tmp_path / "runs"]
    done = subprocess.run(list(map(str, command)), cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "space    finetune.learning_rate from 0.001 to 0.1, finetune.epochs one of 1, 2\n" in done.stdout


def test_alpha_is_searched_above_one_half(requested):
    sweep, request = requested("dms_sweep")
    assert sweep.space == {"dms_alpha": Uniform(0.55, 1, step=0.05)}
    assert [point["dms_alpha"] for point in sweep.points()] == [0.8, 1.0, 0.7, 0.55]  # the recipe's own first
    assert (sweep.extra_metrics, request.trials, request.pruner) == (("disagreement",), 12, "median")


def with_percentiles(settings: Path, folder: Path, percentiles: str) -> Path:
    """The user's file with another schedule."""
    file = folder / "percentiles.yaml"
    file.write_text(settings.read_text().replace("percentiles: [1.0]", f"percentiles: {percentiles}"))
    return file


def test_schedules_begin_with_the_recipe_s_own(requested, settings, tmp_path):
    recipe = with_percentiles(settings, tmp_path, "[0.3, 0.8]")
    sweep, request = requested("schedule_sweep", "--recipe", str(recipe))
    assert sweep.settings(sweep.points()[0]) == {"percentiles": [0.3, 0.8]}
    assert sweep.settings(sweep.points()[1]) == {"percentiles": [0.2, 0.4, 0.6, 0.8, 1.0]}
    assert (len(sweep.points()), request.trials) == (13, 12)


def test_the_joint_search_varies_everything(requested):
    sweep, request = requested("joint_search", "--second", "compute")
    assert sweep.space["method"] == Choice("dmt", "dst", "cbst")
    assert sweep.space["finetune.epochs"] == Integer(1, 4)  # the recipe has 2
    assert len(sweep.space) == 9
    assert (sweep.second, request.trials, request.pruner) == ("compute", 40, "none")


def test_a_method_can_be_searched_alone_in_its_own_space(requested):
    sweep, request = requested("joint_search", "--method", "rml")
    assert (sweep.method, sweep.space) == ("rml", space_of("rml", "segmentation"))
    assert sweep.title == "Which settings suit rml best?"
    assert sweep.points()[0]["consistency.survival"] == 0.8  # the paper's, first
    assert (request.trials, request.sampler) == (40, "tpe")


NETWORKS = ["Unet/tu-test_resnet", "FPN/tu-test_resnet", "Linknet/tu-test_resnet"]


def test_networks_are_pretrained_once_as_a_and_once_as_b_however_many_pairs_they_are_in(requested):
    sweep, request = requested("pair_search", "--networks", *NETWORKS)
    pairs = [point["pair"].split(" + ") for point in sweep.points()]
    assert len(pairs) == 3 * 4 / 2
    assert request.trials is None  # all of them
    plans = [plan for point in sweep.points() for plan in sweep.plans(point).values()]
    stages = {stage for plan in plans for stage in plan.stages() if stage.operation.name == "pretrain"}
    # The order of the list is that of a pair: the first network is B and the last is A beside itself alone.
    assert {(stage.side, stage.config.model.architecture) for stage in stages} == {
        (side, name.partition("/")[0]) for side in "AB" for name in NETWORKS
    }
    assert len(stages) == 2 * 3
    made = [[stage.networks()[0].architecture for stage in plan.rungs[0].values()] for plan in plans]
    assert made == [[name.partition("/")[0] for name in pair] for pair in pairs]


def test_without_a_list_the_recipe_s_own_network_is_paired_with_another_one(requested):
    sweep, _ = requested("pair_search")
    assert list(sweep.networks) == NETWORKS[:2]
    own, _, other = (
        {stage for plan in sweep.plans(point).values() for stage in plan.stages()} for point in sweep.points()
    )
    assert own & set(METHODS["dmt"](sweep.config, 0).stages()) == own  # with the recipe's arguments
    assert not own & other


@pytest.mark.parametrize(
    ("networks", "words"),
    [
        (["FPN/tu-test_resnet"], "--networks needs two different networks or more, but got FPN/tu-test_resnet"),
        (["lite0", "lite9"], "there is no network 'lite9'; did you mean 'lite"),
        (
            ["FPN/tu-test_resnet", "FPN/tu-test_resnett"],
            "timm has no network for encoder 'tu-test_resnett'; did you mean 'tu-test_resnet'?",
        ),
    ],
)
def test_networks_that_are_none_are_refused_before_work(run, networks, words):
    status, said = run("pair_search", "--dry-run", "--networks", *networks)
    assert status == 2
    assert words in said


def test_a_method_that_is_misspelt_is_named(run):
    status, said = run("joint_search", "--method", "rmll")
    assert status == 2
    assert "there is no method 'rmll'; did you mean 'rml'?" in said


# ---- real work without Ray -------------------------------------------------------------------------------------


@pytest.fixture
def told(monkeypatch) -> list[dict]:
    """What a trial reports to Tune."""
    reports: list[dict] = []
    monkeypatch.setattr("ray.tune.report", reports.append)
    return reports


def perform(sweep: Sweep, params, machine: Machine, folder: Path) -> None:
    perform_trial({"number": 0, "params": params}, SweepJob(machine, folder, WorkerGroup(1), sweep))


def test_seed_by_seed_a_trial_reports_the_last_score_of_each_seed(told, tiny, machine, tmp_path):
    config = Runner(machine).bind(tiny.evolve(percentiles=(1.0,)), (0, 1))
    sweep = Sweep("s", "?", config, "dst", {"weight.gamma1": Uniform(0, 8)}, (0, 1), seed_by_seed=True)
    perform(sweep, {"weight.gamma1": 0.5}, machine, tmp_path)
    plans = sweep.plans({"weight.gamma1": 0.5})
    assert [report["step"] for report in told] == [0, 1]
    store = machine.open_store()
    assert [report["score"] for report in told] == [rung_score(store, plan.rungs[-1]) for plan in plans.values()]
    first, both = (set(json.loads(report["executed"])) for report in told)
    assert first == {stage.key for stage in plans[0].stages()}
    assert both == first | {stage.key for stage in plans[1].stages()}


def test_a_schedule_goes_on_from_another_one_that_begins_like_it(told, tiny, machine, tmp_path):
    config = Runner(machine).bind(tiny, (0,))
    module = script("schedule_sweep")
    sweep = Sweep("s", "?", config, "dst", module.SPACE, (0,))
    lengths = ((2, 0.5), (3, 0.8))
    short, long = ({**module.KNOWN[2], "schedule.iterations": n, "schedule.end": end} for n, end in lengths)
    assert sweep.settings(long)["percentiles"][:2] == sweep.settings(short)["percentiles"] == [0.2, 0.5]
    for params in (short, long):
        perform(sweep, params, machine, tmp_path)
    assert [report["step"] for report in told] == [0, 1, 2, 0, 1, 2, 3]
    assert [report["score"] for report in told[3:6]] == [report["score"] for report in told[:3]]
    executed = json.loads(told[-1]["executed"])
    assert len(executed) == 3  # the last iteration: labels, training, evaluation


def test_disagreement_comes_from_the_stored_histories(tiny, machine):
    runner = Runner(machine)
    sweep = Sweep("s", "?", runner.bind(tiny, (0,)), "dmt", {"dms_alpha": Uniform(0.55, 1)}, (0,))
    plans = sweep.plans({"dms_alpha": 0.7})
    runner.perform(plans[0].rungs[-1].values())
    found = disagreement(runner.store, plans)
    tables = [history(runner.store, rung.inputs["model"]) for rung in plans[0].rungs[1].values()]
    cases = [(table["negative"] + table["positive"]).mean() for table in tables]  # cases 2 and 3 of DMT
    assert found["disagreement_first"] == pytest.approx(sum(cases) / 2)
    assert 0 < found["disagreement_last"] < 1


def test_a_trial_of_a_pair_is_what_its_command_repeats_and_shows_what_the_pair_has_gained(tiny, machine, settings):
    runner = Runner(machine)

    def sweep_of(config: Config) -> Sweep:
        networks = {name: network(name, config).model_dump(mode="json") for name in NETWORKS[:2]}
        return Sweep(
            "s",
            "?",
            config,
            "dmt",
            {"pair": Choice(*(f"{NETWORKS[0]} + {name}" for name in networks))},
            (0,),
            networks=networks,
        )

    point = {"pair": " + ".join(NETWORKS[:2])}
    config = tiny.evolve(percentiles=(1.0,))
    sweep = sweep_of(runner.bind(config))
    plans = sweep.plans(point)
    runner.perform(evaluation for rung in plans[0].rungs for evaluation in rung.values())
    first, last = ([score(runner.store, one) for one in plans[0].rungs[place].values()] for place in (0, -1))
    assert gain(runner.store, plans) == {"gain": pytest.approx(max(last) - max(first))}

    changes = sweep.settings(point)
    again = runner.bind(configure(METHODS["dmt"], config, changes))
    assert METHODS["dmt"](again, 0) == plans[0]
    words = shlex.split(of_trial(ExperimentFile(sweep, Path("runs"), recipe="shapes"), Trial(0, point, "complete", {})))
    given = dict(word.split("=", 1) for word in words if word.startswith("model"))
    assert {name: json.loads(value) for name, value in given.items()} == changes


def test_a_winner_is_confirmed_by_real_runs(tiny, machine, tmp_path):
    runner = Runner(machine)
    config = runner.bind(tiny.evolve(percentiles=(1.0,)), (0, 5, 6))
    sweep = Sweep("s", "?", config, "dst", {"weight.gamma1": Uniform(0, 8)}, (0,))
    found = Confirmation(sweep, Trial(0, {"weight.gamma1": 4.0}, "complete", {1: 0.5}), (5, 6))
    runner.perform(found.stages())
    result = confirm.result(found, runner.store)
    assert result["difference"]["reported"]["n"] == 2
    assert all(0 < row["reported_miou"] < 1 for row in result["rows"])
    assert [row["seed"] for row in result["rows"]] == [5, 6, 5, 6]
    assert runner.store.missing(found.stages()) == []


# ---- real searches ---------------------------------------------------------------------------------------------


def real(tmp_path: Path, settings: Path, pictures: Path, name: str, *options: str) -> SimpleNamespace:
    """A real run in a process of its own; what it said and left."""
    where = ["--recipe", settings, "--data", pictures, "--max-concurrent", "2"]
    with started(tmp_path / "runs", f"searches/{name}.py", *where, *options) as sweep:
        said = sweep.finish()
        assert sweep.process.returncode == 0, said
    return SimpleNamespace(said=said, sweep=sweep, rows=rows(sweep, "trials.csv"))


def rows(sweep: RunningSweep, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader((sweep.folder / name).read_text().splitlines()))


@pytest.mark.slow
def test_the_last_trial_is_helped_by_a_worker_that_has_none(tmp_path, settings, pictures):
    where = ["--recipe", settings, "--data", pictures, "--max-concurrent", "2", "--set", "finetune.epochs=400"]

    def helped(number: int, *, lost: bool) -> None:
        """Run the sweep up to a trial, which two processes perform at a time, of which the second one may be lost."""
        with started(tmp_path / "runs", "searches/gamma_sweep.py", *where, "--trials", str(number + 1)) as sweep:
            one = other = sweep.at_work("finetune", seconds=SECONDS)
            while other.pid == one.pid:  # the trial itself goes on
                one, other = other, sweep.at_work("finetune", but=(other.key,), seconds=SECONDS)
            if lost:
                trial = journal.last_activity(sweep.folder, number)
                (helper,) = {one.pid, other.pid} - {trial.pid}
                os.kill(helper, signal.SIGKILL)
            said = sweep.finish(SECONDS)
            assert sweep.process.returncode == 0, said
            assert sweep.left_behind() == []
            assert {one.key, other.key} <= set(journal.executed(sweep.folder, number))
            assert [trial.state for trial in sweep.trials()] == ["complete"] * (number + 1)
            assert journal.read_faults(sweep.folder) == []
            shutil.rmtree(sweep.folder)

    helped(0, lost=False)  # no trial ever needed the second worker
    helped(1, lost=True)  # trial 0, whose stages are all there, ends at once, and its worker helps


@pytest.mark.slow
def test_a_dms_sweep_shows_disagreement(tmp_path, settings, pictures):
    done = real(tmp_path, settings, pictures, "dms_sweep", "--trials", "2")
    assert [row["dms_alpha"] for row in done.rows] == ["0.8", "1.0"]
    assert all(0 < float(row["disagreement_first"]) < 1 for row in done.rows)
    assert (done.sweep.folder / "slices.png").exists()


@pytest.mark.slow
def test_a_schedule_sweep_performs_at_most_sixty_percent_and_is_confirmed(tmp_path, settings, pictures):
    options = ["--confirm", "5", "6", "--pruner", "none"]
    settings = with_percentiles(settings, tmp_path, "[0.2, 0.4, 0.6, 0.8, 1.0]")
    done = real(tmp_path, settings, pictures, "schedule_sweep", *options)
    assert {row["state"] for row in done.rows} <= {"complete", "failed"}
    share = float(done.said.split("were executed (")[1].split("%")[0])
    assert share <= 60
    found = json.loads((done.sweep.folder / "confirm.json").read_text())
    assert found["fresh_seeds"] == [5, 6]
    saved = list((tmp_path / "runs" / "runs").glob("*/experiment.json"))
    assert len(saved) == 2 * len({row["who"] for row in found["rows"]})
    again = real(tmp_path, settings, pictures, "schedule_sweep", *options)
    assert "all 12 trials are done" in again.said
    assert json.loads((done.sweep.folder / "confirm.json").read_text()) == found


@pytest.mark.slow
def test_a_joint_search_shows_the_front(tmp_path, settings, pictures):
    options = ["--second", "compute", "--sampler", "gp", "--trials", "3", "--set", "dms_alpha=1"]
    done = real(tmp_path, settings, pictures, "joint_search", *options)
    assert {row["state"] for row in done.rows} == {"complete"}
    assert all(float(row["optimizer_steps"]) > 0 for row in done.rows)
    assert "front " in done.said


@pytest.mark.slow
def test_robust_mutual_learning_is_searched(tmp_path, settings, pictures):
    done = real(tmp_path, settings, pictures, "joint_search", "--method", "rml", "--trials", "2")
    assert {row["state"] for row in done.rows} == {"complete"}
    assert done.rows[0]["consistency.threshold"] == "0.0"
    assert all(0 < float(row["selection_miou_2"]) < 1 for row in done.rows)  # after the second stage
    assert "dmt run --recipe" in done.said
    assert "--method rml" in done.said
    assert (done.sweep.folder / "slices.png").exists()


@pytest.mark.slow
def test_trials_that_lose_split_after_split_are_stopped(tmp_path, settings, pictures):
    seeds = ["--seeds", "0", "1", "2", "3", "4", "5"]
    options = [*seeds, "--pruner", "wilcoxon", "--sampler", "random", "--trials", "3", "--max-concurrent", "1"]
    done = real(tmp_path, settings, pictures, "gamma_sweep", *options, "--set", "percentiles=[1.0]")
    assert {row["state"] for row in done.rows} <= {"complete", "pruned"}
    assert all(row["selection_miou_seed_3"] for row in done.rows)  # never stopped before the fourth
