"""What stages are expected to cost, by records whose times are 3 s for a start and 0.5 s for each step."""

from collections.abc import Callable

import pytest

from dmt_ray.config import Config, override
from dmt_ray.execution.cost import ABOUT, Estimate, Estimator, footnote
from dmt_ray.execution.experience import Timing
from dmt_ray.methods import METHODS
from dmt_ray.plan import Stage
from dmt_ray.recipes import named
from dmt_ray.store import Store

SHAPES = named("shapes")
Wrote = Callable[..., None]


def pretraining(epochs: int, config: Config = SHAPES) -> Stage:
    """A pretraining that takes as many steps as it has epochs; see `epochs`."""
    return METHODS["baseline"](override(config, {"pretrain.epochs": epochs}), 0).rungs[0]["A"].inputs["model"]


def epochs(stage: Stage) -> int:
    return stage.config.training.epochs if stage.config.trains else 400


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "runs")


@pytest.fixture
def write(store) -> Wrote:
    """Writes the record of a stage."""

    def written(stage: Stage, seconds: float, size: int = 1000) -> None:
        with store.write(stage, {"steps": epochs(stage), "seconds": seconds}) as folder:
            (folder / "model.safetensors").write_bytes(bytes(size))

    return written


def estimate(store: Store, *stages: Stage, bare: float | None = None) -> Estimate:
    return Estimator(store, epochs, None if bare is None else lambda _: bare)(stages)


def test_what_a_training_costs_once_is_told_from_its_steps(store, write):
    for steps in (20, 100):
        write(pretraining(steps), 3 + 0.5 * steps)
    found = estimate(store, pretraining(60))
    assert (found.seconds, found.rough) == (pytest.approx(33), False)
    assert estimate(store, pretraining(1)).seconds == pytest.approx(3.5)


def test_far_beyond_the_longest_training_the_time_is_about(store, write):
    for steps in (20, 100):
        write(pretraining(steps), 3 + 0.5 * steps)
    found = estimate(store, pretraining(1000))
    assert found.seconds == pytest.approx(503)
    assert str(found) == "1 stage, 1,000 optimizer steps, about 8 min 23 s, 1.0 kB of disk"


def test_a_training_of_two_steps_says_what_a_start_costs_and_no_more(store, write):
    write(pretraining(2), 4)
    found = estimate(store, pretraining(300), bare=0.5)
    assert (found.seconds, found.rough) == (pytest.approx(3 + 0.5 * 300), True)  # and not 300 x 2 s
    assert not estimate(store, pretraining(2), bare=0.5).rough
    assert estimate(store, pretraining(2), bare=0.5).seconds == pytest.approx(4)


def test_two_short_trainings_do_not_tell_what_a_step_costs(store, write):
    write(pretraining(1), 3)
    write(pretraining(2), 5)
    assert estimate(store, pretraining(300), bare=0.5).seconds == pytest.approx(3.25 + 0.5 * 300)


def test_without_bare_steps_a_short_training_has_to_do_and_the_time_is_about(store, write):
    write(pretraining(2), 4)
    assert " about 10 min 00 s, " in str(estimate(store, pretraining(300)))


def test_bare_steps_on_a_slower_device_than_the_records_do_not_count(store, write):
    write(pretraining(2), 4)  # as on a GPU, whose steps take less than one of this machine
    assert estimate(store, pretraining(300), bare=50.0).seconds == pytest.approx(600)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"model.encoder": "resnet50"}, id="network"),
        pytest.param({"crop": 32}, id="crop"),
        pytest.param({"pretrain.batch": (4, 0)}, id="batch"),
    ],
)
def test_a_training_of_another_kind_is_timed_anew(store, write, changes):
    write(pretraining(100), 53)
    other = pretraining(100, override(SHAPES, changes))
    assert (estimate(store, other, bare=0.1).seconds, estimate(store, other, bare=0.1).rough) == (
        pytest.approx(10),
        True,
    )
    assert estimate(store, other).rough


def test_what_follows_a_training_is_priced_by_its_network(store, write):
    plans = {name: METHODS["baseline"](SHAPES.evolve(model=SHAPES.model.evolve(encoder=name)), 0) for name in "ab"}
    for plan, seconds in zip(plans.values(), (8, 40), strict=True):
        pretrained, evaluated = plan.stages()
        write(pretrained, 10)
        write(evaluated, seconds)
    for plan, seconds in zip(plans.values(), (8, 40), strict=True):
        assert estimate(store, plan.stages()[1]).seconds == seconds


def test_a_few_slow_stages_do_not_matter(store, write):
    for steps, seconds in ((20, 13), (50, 28), (100, 53), (200, 1003), (400, 203)):
        write(pretraining(steps), seconds)
    assert estimate(store, pretraining(300)).seconds == pytest.approx(153)


def test_where_long_trainings_took_no_longer_all_time_counts_as_steps():
    timing = Timing.of([(10, 30.0), (100, 25.0)])
    assert (timing.constant, timing.step, timing.split) == (0.0, 55 / 110, False)


def test_nothing_is_known_of_an_empty_store(store):
    assert "time unknown" in str(estimate(store, pretraining(10)))
    assert str(estimate(store, pretraining(10), bare=0.5)).endswith("about 5 s, disk unknown")


@pytest.mark.parametrize(
    ("text", "noted"),
    [
        ("to do: 1 stage, about 8 s, disk unknown", True),
        ("about 2 h 05 min; about 1 h 02 min with 2 workers", True),
        ("the smallest difference that you can see is about 1.2 sd", False),
        ("about 12 seeds would do", False),
    ],
)
def test_the_footnote_stands_where_a_time_is_about(text, noted):
    assert footnote(["rows", text]) == (ABOUT if noted else "")


def test_a_single_length_of_training_is_taken_apart_by_bare_steps_where_the_time_is_extrapolated(store, write):
    write(pretraining(40), 23)
    for steps, seconds, rough in ((40, 23, False), (80, 46, False), (400, 203, True), (10, 8, True)):
        found = estimate(store, pretraining(steps), bare=0.5)
        assert (found.seconds, found.rough) == (pytest.approx(seconds), rough)
