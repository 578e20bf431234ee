"""The contract of a method: a pure function from settings and a seed to a plan, whose work is shared."""

import random
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from dmt_ray.config import SIDES, Config, override
from dmt_ray.errors import ConfigError
from dmt_ray.methods import METHODS, Method
from dmt_ray.plan import Plan, Stage
from dmt_ray.plan.files import METRICS
from dmt_ray.plan.operations import pretrain, pretrain_oracle
from dmt_ray.recipes import named
from dmt_ray.testing.contract import ContractBroken, Task, ask, borrowed, packed, require, with_squares
from dmt_ray.testing.squares import SIDE

SEED, OTHER_SEED = 3, 4
TRAININGS = ("pretrain", "finetune", "online", "cotrain", "retrain", "oracle")


def check_method(method: Method, config: Config | None = None, *, shares_pretraining: bool = True) -> None:
    """Check the contract of a method. Takes about half a minute: a small plan is performed twice, once with a kill.

    A method is a pure function; it gives the same plan for the same arguments, in every process; the seed reaches every
    stage; its pretrainings are those that all methods share; a run that is killed ends with the same bytes; and its
    result is a row of a table.

    Args:
        method: The method, registered or not.
        config: Settings that it is checked on; None: small images for segmentation and for classification, of which it
            may refuse one kind by a ConfigError.
        shares_pretraining: Whether its pretrainings should be those of the other methods.

    Raises:
        ContractBroken: With what was found and what to change.
    """
    with with_squares(), borrowed(METHODS, name_of(method), method) as name:
        plans, refused = list[Config](), list[str]()
        for settings in _usual() if config is None else (config,):
            try:
                check_plan(method, settings, shares_pretraining=shares_pretraining)
                plans.append(settings)
            except ConfigError as error:
                refused.append(f"{settings.data.name}: {error}")
        require(bool(plans), f"{name} rejects all data that it is checked on: {'; '.join(refused)}")
        with tempfile.TemporaryDirectory(prefix="check-") as folder:
            _check_performed(name, method, plans[0], Path(folder))


def check_plan(method: Method, config: Config, *, shares_pretraining: bool = True) -> Plan:
    """The part of the contract that needs no training; takes milliseconds.

    Returns:
        The plan.

    Raises:
        ContractBroken: With what was found and what to change.
        ConfigError: If the method refuses the settings.
    """
    config = config.model_copy(deep=True)  # what a wrong method writes into it harms nobody else
    name, before = name_of(method), config.model_dump_json()
    plan = _call(method, config, SEED, draws=1)
    require(
        config.model_dump_json() == before,
        f"{name} changes the settings that it is given: work on a copy, as `cfg.evolve(...)` or "
        "`cfg.with_weight(...)` make one",
    )
    _check_shape(name, plan)
    again = _call(method, config, SEED, draws=2)
    require(
        _keys(plan) == _keys(again),
        f"{name} makes another plan when it is called again with the same arguments"
        f"{_first_difference(plan, again)}: it may read "
        "only its two arguments, and no random numbers, clock, file or variable of its module",
    )
    for seed, made in ((SEED, plan), (OTHER_SEED, _call(method, config, OTHER_SEED, draws=1))):
        for stage in made.stages():
            require(
                stage.seed == seed,
                f"{name} was given the seed {seed}, but its stage {stage.name} has the seed {stage.seed}: hand "
                "`seed=seed` "
                "to every operation that takes one",
            )
    if shares_pretraining:
        for stage in plan.stages():
            if stage.operation.name == "pretrain":
                _check_shared(name, config, stage)
    return plan


def name_of(method: Method) -> str:
    """A method's name for people."""
    return str(getattr(method, "__name__", type(method).__name__))


# ---- the plan --------------------------------------------------------------------------------------------------


def _call(method: Method, config: Config, seed: int, *, draws: int) -> Plan:
    name = name_of(method)
    with _generators(draws) as drawn:
        try:
            plan = method(config, seed)
        except ConfigError:
            raise
        except Exception as error:
            raise ContractBroken(
                f"{name}(config, {seed}) raises {type(error).__name__}: {error}. A method takes settings and a "
                "seed; it rejects settings that it does not support with a ConfigError"
            ) from error
        used = drawn()
    require(
        not used,
        f"{name} draws from the global generator of {' and '.join(used)}: a plan must not depend on chance; all random "
        "numbers of a run follow from the seed that the operations are given",
    )
    require(isinstance(plan, Plan), f"{name} must return a dmt_ray.Plan, but returns {type(plan).__name__}")
    return plan


@contextmanager
def _generators(seed: int) -> Iterator[Any]:
    """Seeds the global generators in the block; yields a function that names those that were drawn from since."""
    torch = sys.modules.get("torch")
    before = (random.getstate(), np.random.get_state(), None if torch is None else torch.get_rng_state())
    random.seed(seed)
    np.random.seed(seed)
    if torch is not None:
        torch.manual_seed(seed)

    def states() -> dict[str, bytes]:
        own = {"random": repr(random.getstate()).encode(), "numpy.random": np.random.get_state()[1].tobytes()}  # type: ignore[index]
        own["numpy.random"] += str(np.random.get_state()[2]).encode()  # type: ignore[index]
        return own if torch is None else own | {"torch": torch.get_rng_state().numpy().tobytes()}

    fresh = states()
    try:
        yield lambda: [name for name, state in states().items() if state != fresh[name]]
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        if torch is not None:
            torch.set_rng_state(before[2])


def _check_shape(name: str, plan: Plan) -> None:
    require(bool(plan.rungs), f"{name} returns a plan without rungs: it cannot be scored; add one with an evaluation")
    for number, rung in enumerate(plan.rungs):
        require(bool(rung), f"rung {number} of {name} is empty: give it the evaluation of at least one model")
        for side, stage in rung.items():
            require(side in SIDES, f"rung {number} of {name} names a model {side!r}: models are called 'A' and 'B'")
            require(
                isinstance(stage, Stage) and METRICS in stage.config.writes,
                f"rung {number} of {name} holds {stage!r} for model {side}: a rung holds evaluations, as "
                "`evaluate(cfg, model=model)` makes them",
            )
            require(
                stage.side == side,
                f"rung {number} of {name} calls a model {side} that is model {stage.side}: exchange them, or "
                "pretrain it "
                f"with side={side!r}",
            )


def _keys(plan: Plan) -> list[dict[str, str]]:
    return [{side: stage.key for side, stage in rung.items()} for rung in plan.rungs]


def _first_difference(plan: Plan, again: Plan) -> str:
    for first, second in zip(plan.stages(), again.stages()):
        if first != second:
            return f" (first {first.operation.name}: {first.config}; then {second.operation.name}: {second.config})"
    return ""


def _check_shared(name: str, config: Config, stage: Stage) -> None:
    seed = stage.seed
    shared = [pretrain(config, seed=seed, side=side, dms=dms) for side in SIDES for dms in (False, True)]
    shared.append(pretrain_oracle(config, seed=seed))
    if stage not in shared:
        usual, own = (one.config.identity() for one in (pretrain(config, seed=seed, side=stage.side), stage))
        other = ", ".join(field for field in own if own[field] != usual.get(field)) or "other inputs"
        raise ContractBroken(
            f"the pretraining {stage.name} of {name} is not one that other methods share (it differs in "
            f"{other}), so a table would compute it once more: call `pretrain(cfg, seed=seed)` with the settings as "
            "they were given, or pass shares_pretraining=False if the method needs one of its own"
        )


# ---- performed -------------------------------------------------------------------------------------------------


def _usual() -> Iterator[Config]:
    """Small settings for both tasks: every training has a few steps."""
    short: dict[str, Any] = {f"{name}.epochs": 1 for name in TRAININGS} | {"percentiles": [0.5, 1.0]}
    crops = {f"{name}.augment.crop": [SIDE, SIDE] for name in TRAININGS}
    yield override(named("shapes"), {"data": {"name": "check_squares"}, "split.labelled": 6, **short, **crops})
    yield override(named("digits"), short)


def _check_performed(name: str, method: Method, config: Config, folder: Path) -> None:
    from dmt_ray.execution.runner import Machine, Runner

    runner = Runner(Machine(folder / "whole", device="cpu"))
    bound = runner.bind(config, [SEED])
    plan = _call(method, bound, SEED, draws=1)
    targets = [stage for rung in plan.rungs for stage in rung.values()]
    trained = [stage for stage in plan.stages() if stage.config.trains] or plan.stages()
    status, keys = ask(
        Task(
            "method",
            packed(method, f"method {name!r}"),
            bound.model_dump(mode="json"),
            str(folder / "killed"),
            seed=SEED,
            last=trained[-1].key,
        )
    )
    require(
        keys.split() == [stage.key for stage in plan.stages()],
        f"{name} makes another plan in a fresh process: something in it follows the order of a set, the address of an "
        "object, or what was imported before",
    )
    require(status != 0, f"the training {trained[-1].name} of {name} finished before it could be killed")
    runner.perform(targets)
    again = Runner(Machine(folder / "killed", device="cpu"))
    again.perform(targets)
    for stage in plan.stages():
        require(
            runner.store.record(stage).files == again.store.record(stage).files,
            f"after a kill the stage {stage.name} of {name} ends with other bytes than without: it depends on "
            "something "
            "beside its settings, seed and inputs",
        )
    _check_row(name, bound, runner.store)


def _check_row(name: str, config: Config, store: Any) -> None:
    from dmt_ray.experiments.ablation import Ablation, Cell
    from dmt_ray.experiments.experiment_file import ExperimentFile
    from dmt_ray.report.tables.build import build
    from dmt_ray.results import tidy

    cell = Cell(name, "", name, config, config.recipe)
    ablation = Ablation("check", "What does the method score?", config.recipe, (cell,), (SEED,), name)
    frame = tidy.tabulate_ablation(store, ExperimentFile(ablation, store.folder))
    lines = tidy.scored(frame)
    require(
        len(lines) == 1 and bool(lines["value"].between(0, 1).all()),
        f"{name} does not give one score under the rule 'last', but {lines['value'].tolist()}: the last rung "
        "must hold the "
        "evaluations of its final models",
    )
    build(frame)
