"""What every sampler has to do, in the memory of a study. No Ray, no torch but that of the Gaussian process."""

from pathlib import Path

import pytest

from dmt_ray.cli.declared import SAMPLERS as ON_THE_COMMAND_LINE
from dmt_ray.errors import ConfigError
from dmt_ray.experiments.sweep import Params, Sweep
from dmt_ray.methods.space import Choice, Integer, Uniform
from dmt_ray.recipes import load
from dmt_ray.search import samplers
from dmt_ray.search.samplers import SAMPLERS
from dmt_ray.search.study import Study

G1, ALPHA, EPOCHS, METHOD = "weight.gamma1", "dms_alpha", "finetune.epochs", "method"
SPACE = {G1: Uniform(0, 8), ALPHA: Uniform(0.625, 1, step=0.125), EPOCHS: Integer(1, 4), METHOD: Choice("dmt", "dst")}
KNOWN = {G1: 5.0, ALPHA: 0.75, EPOCHS: 2, METHOD: "dst"}
STARTUP = 8  # two for each dimension
SEARCHING = [name for name in SAMPLERS if name != "grid"]


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def a_sweep(known: tuple[Params, ...] = (), second: str = "", space=SPACE) -> Sweep:
    config = load("shapes", ["percentiles=[1.0]"])
    return Sweep("a_search", "What?", config, "dmt", space, (0,), known, second=second)  # type: ignore[arg-type]


def score(params: Params) -> float:
    """Best at gamma1 = 6, with as many epochs as possible, and DMT."""
    return 0.5 - (params[G1] - 6) ** 2 / 100 + 0.01 * params[EPOCHS] + 0.02 * (params[METHOD] == "dmt")


def perform(folder: Path, sweep: Sweep, name: str, total: int) -> list[Params]:
    """Go on with a study up to so many trials; the points that were proposed now."""
    study = Study(folder, sweep, total, sampler=name, compute=lambda params: 100.0 * params[EPOCHS])
    points = []
    while (taken := study.take("any")) is not None:
        points.append(taken[1])
        for rung in range(2):
            study.report("any", rung, score(taken[1]))
        assert study.finish("any") in ("complete", "pruned")
    return points


def test_the_command_line_offers_all_samplers():
    assert set(ON_THE_COMMAND_LINE) == set(SAMPLERS)


@pytest.mark.parametrize("name", SEARCHING)
def test_points_lie_in_the_space_and_known_ones_come_first(tmp_path, name):
    points = perform(tmp_path, a_sweep(known=(KNOWN,)), name, STARTUP + 2)
    assert points[0] == KNOWN
    for point in points:
        assert list(point) == list(SPACE)
        assert all(SPACE[setting].holds(value) for setting, value in point.items())
        assert [type(value) for value in point.values()] == [float, float, int, str]
        assert point[ALPHA] % 0.125 == 0
    assert len({point[G1] for point in points}) == STARTUP + 2


@pytest.mark.parametrize("name", SEARCHING)
def test_a_search_that_is_started_again_goes_on_and_repeats_nothing(tmp_path, name):
    sweep = a_sweep()
    first = perform(tmp_path, sweep, name, 3)
    later = perform(tmp_path, sweep, name, 6)
    assert (len(first), len(later)) == (3, 3)
    assert not {point[G1] for point in first} & {point[G1] for point in later}


@pytest.mark.parametrize("name", SEARCHING)
def test_an_interrupted_trial_keeps_its_point(tmp_path, name):
    sweep = a_sweep()
    killed = Study(tmp_path, sweep, 3, sampler=name)
    number, params = killed.take("a")
    assert Study(tmp_path, sweep, 3, sampler=name).take("b") == (number, params)


def test_another_sampler_can_go_on(tmp_path):
    sweep = a_sweep()
    for total, name in enumerate(SEARCHING, start=1):
        assert len(perform(tmp_path, sweep, name, total)) == 1


@pytest.mark.parametrize("name", ["random", "tpe", "gp"])
def test_two_objectives_are_searched_together(tmp_path, name):
    sweep = a_sweep(second="compute")
    perform(tmp_path, sweep, name, STARTUP + 1)
    trials = Study(tmp_path, sweep, STARTUP + 1, sampler=name).trials()
    assert [trial.state for trial in trials] == ["complete"] * (STARTUP + 1)
    assert all(trial.compute == 100 * trial.params[EPOCHS] for trial in trials)
    assert all(trial.scores == {0: trial.score, 1: trial.score} for trial in trials)


def test_an_unknown_sampler_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="no sampler 'annealing'; known are: grid, random, tpe, gp"):
        samplers.make("annealing", SPACE, 0)


@pytest.mark.parametrize("name", SEARCHING)
def test_values_of_steps_are_round_so_that_all_ten_of_them_are_tried_in_ten_trials(tmp_path, name):
    # Of Optuna's own low + k * step, five are other numbers: 0.55 + 3 * 0.05 = 0.7000000000000001.
    sweep = a_sweep(({ALPHA: 0.7},), space={ALPHA: Uniform(0.55, 1, step=0.05)})
    study = Study(tmp_path, sweep, 10, sampler=name)
    tried = []
    while (taken := study.take("any")) is not None:
        tried.append(taken[1][ALPHA])
        for rung in range(2):
            study.report("any", rung, 0.5)
        study.finish("any")
    assert sorted(tried) == [0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0]
    assert [trial.params[ALPHA] for trial in study.trials()] == tried
