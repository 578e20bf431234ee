"""Which settings a method reads."""

import pytest

from dmt_ray.config import Config, override
from dmt_ray.methods import METHODS
from dmt_ray.methods.reading import settings_read
from dmt_ray.plan import Plan
from dmt_ray.plan.operations import evaluate, pretrain
from dmt_ray.recipes import named

CFG = named("shapes")
ALL = {"data", "split", "model"}  # of every method


@pytest.mark.parametrize(
    ("method", "reads", "leaves"),
    [
        ("baseline", {"pretrain"}, {"finetune", "weight", "percentiles", "dms_alpha", "oracle", "first"}),
        ("oracle", {"oracle", "coarse"}, {"pretrain", "finetune", "weight"}),
        ("cbst", {"pretrain", "finetune", "percentiles", "label", "weight"}, {"dms_alpha", "model_b", "order"}),
        ("dmt", {"pretrain", "finetune", "dms_alpha", "order", "weight"}, {"first", "oracle", "online", "cotrain"}),
        ("rml", {"pretrain", "cotrain", "consistency"}, {"finetune", "percentiles", "weight", "online"}),
        ("rwms", {"retrain", "weight", "reliable", "phases"}, {"finetune", "online", "percentiles"}),
    ],
)
def test_a_method_reads_what_its_plan_is_made_of(method, reads, leaves):
    read = settings_read(METHODS[method], CFG)
    assert reads | ALL <= read
    assert not leaves & read


def test_what_depends_on_another_setting_is_read_only_where_it_counts():
    assert "first" in settings_read(METHODS["dmt"], override(CFG, {"order": "sequential"}))


def test_what_is_read_of_a_changed_copy_counts():
    def changed(cfg: Config, seed: int) -> Plan:
        other = override(cfg.evolve(percentiles=(1.0,)), {"pretrain.epochs": 3})
        return Plan([{"A": evaluate(other, model=pretrain(other, seed=seed))}])

    read = settings_read(changed, CFG)
    assert "pretrain" in read
    assert not {"percentiles", "finetune"} & read
