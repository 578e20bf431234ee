"""Methods as other people write them: one that keeps the contract, and some that do not."""

import random

from dmt_ray.config import Config
from dmt_ray.errors import ConfigError
from dmt_ray.methods import dst
from dmt_ray.plan import Plan
from dmt_ray.plan.operations import evaluate, finetune, label, pretrain

CALLS = []


def _taught(cfg: Config, seed: int, share: float, *, trained_with: Config | None = None) -> Plan:
    model = pretrain(trained_with or cfg, seed=seed)
    taught = finetune(cfg, start=model, labels=label(cfg, teacher=model, share=share), seed=seed)
    return Plan([{"A": evaluate(cfg, model=model)}, {"A": evaluate(cfg, model=taught)}])


def half(cfg: Config, seed: int) -> Plan:
    """One iteration on the more confident half of the labels."""
    return _taught(cfg, seed, 0.5)


def draws(cfg: Config, seed: int) -> Plan:
    """A share by chance."""
    return _taught(cfg, seed, round(random.uniform(0.2, 0.9), 2))


def counts(cfg: Config, seed: int) -> Plan:
    """A share that grows with every call."""
    CALLS.append(seed)
    return _taught(cfg, seed, 0.1 + 0.01 * len(CALLS))


def one_seed(cfg: Config, seed: int) -> Plan:
    """Always seed 0."""
    return _taught(cfg, 0, 0.5)


def half_a_seed(cfg: Config, seed: int) -> Plan:
    """The seed reaches the pretraining alone."""
    model = pretrain(cfg, seed=seed)
    taught = finetune(cfg, start=model, labels=label(cfg, teacher=model, share=0.5), seed=7)
    return Plan([{"A": evaluate(cfg, model=taught)}])


def changes_settings(cfg: Config, seed: int) -> Plan:
    """Writes into a part of the settings that is no settings class."""
    cfg.model.arguments["dropout"] = 0.1
    return _taught(cfg, seed, 0.5)


def pretrains_longer(cfg: Config, seed: int) -> Plan:
    """A pretraining of its own."""
    longer = cfg.evolve(pretrain=cfg.pretrain.evolve(epochs=cfg.pretrain.epochs + 1))
    return _taught(cfg, seed, 0.5, trained_with=longer)


def no_evaluation(cfg: Config, seed: int) -> Plan:
    """A rung of models."""
    return Plan([{"A": pretrain(cfg, seed=seed)}])


def wrong_side(cfg: Config, seed: int) -> Plan:
    """Model A under the name of B."""
    return Plan([{"B": evaluate(cfg, model=pretrain(cfg, seed=seed))}])


def no_plan(cfg: Config, seed: int) -> list[str]:
    """Something else."""
    return ["pretrain"]


def crashes(cfg: Config, seed: int) -> Plan:
    """Reads a setting that does not exist."""
    return cfg.finetuning


def by_hash(cfg: Config, seed: int) -> Plan:
    """A share by the order of a set of words, which differs from process to process."""
    return _taught(cfg, seed, 0.1 * (1 + [*{"easy", "medium", "hard", "all", "none", "some", "few"}].index("hard")))


def for_nothing(cfg: Config, seed: int) -> Plan:
    """Refuses all data."""
    raise ConfigError(f"this method is for video; {cfg.data.name} is not")


def teaches_itself(cfg: Config, seed: int) -> Plan:
    """DST under another name."""
    return dst(cfg, seed)
