"""What every sampler has to do, in the memory of a study. No Ray, no torch but that of the Gaussian process."""

import statistics
from pathlib import Path

import optuna
import pytest

from dmt_ray.cli.sweep import SAMPLERS as ON_THE_COMMAND_LINE
from dmt_ray.errors import ConfigError
from dmt_ray.experiments.sweep import Params, Sweep
from dmt_ray.methods.space import Choice, Integer, Uniform
from dmt_ray.recipes import load
from dmt_ray.search import samplers
from dmt_ray.search.samplers import SAMPLERS
from dmt_ray.search.study import Study

G1, G2, ALPHA, EPOCHS, METHOD = "weight.gamma1", "weight.gamma2", "dms_alpha", "finetune.epochs", "method"
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


@pytest.mark.parametrize(
    ("name", "space", "second", "message"),
    [
        pytest.param("annealing", SPACE, False, "known are: grid, random, tpe, cmaes, gp", id="unknown"),
        pytest.param("cmaes", {METHOD: Choice("a", "b")}, False, "needs a range", id="choices only"),
        pytest.param("cmaes", SPACE, True, "has one objective", id="two objectives"),
    ],
)
def test_what_a_sampler_cannot_search_is_refused(name, space, second, message):
    with pytest.raises(ConfigError, match=message):
        samplers.make(name, space, 0, second=second)


# ---- CMA-ES, which is ours -------------------------------------------------------------------------------------

TWO = {G1: Uniform(0, 8), G2: Uniform(0, 8)}
POPULATION = 6  # 4 + floor(3 ln 2), for two ranges


def go_on(study: optuna.Study, trials: int) -> list[float]:
    """Perform so many trials of a study; their scores, best at (6, 2)."""
    scores = []
    for _ in range(trials):
        trial = study.ask()
        first, second = (values.suggest(trial, name, exact=False) for name, values in TWO.items())
        scores.append(0.5 - ((first - 6) ** 2 + (second - 2) ** 2) / 100)
        study.tell(trial, scores[-1])
    return scores


@pytest.fixture
def study() -> optuna.Study:
    return optuna.create_study(direction="maximize", sampler=samplers.make("cmaes", TWO, 3))


def test_a_generation_is_told_when_it_is_complete(study):
    go_on(study, 2 * POPULATION + 1)
    assert [trial.system_attrs["cmaes:generation"] for trial in study.trials] == [0] * 6 + [1] * 6 + [2]


def test_generations_come_nearer_to_the_best_point(study):
    scores = go_on(study, 8 * POPULATION)
    first, last = scores[:POPULATION], scores[-POPULATION:]
    assert statistics.fmean(last) > statistics.fmean(first)
    assert max(last) > 0.49  # 0.5 at best, 0.42 in the middle of the space


def test_its_state_follows_from_the_study_alone(study):
    go_on(study, POPULATION + 2)
    study.ask()
    again, once_more = (samplers.make("cmaes", TWO, 7).sample_relative(study, study.trials[-1], {}) for _ in range(2))
    assert again == once_more
    assert again.keys() == TWO.keys()
