import math
import subprocess
import sys

import pytest

from dmt_ray.config import WeightSettings, override
from dmt_ray.methods import METHODS
from dmt_ray.plan.key import canonical, key_of
from dmt_ray.recipes import named


def test_the_order_of_names_does_not_matter():
    assert canonical({"b": 1, "a": [1.5, "x", None]}) == b'{"a":[1.5,"x",null],"b":1}'


def test_minus_zero_is_zero():
    assert key_of(-0.0) == key_of(0.0)


def test_a_tuple_is_a_list():
    assert key_of((1, 2)) == key_of([1, 2])


def test_a_number_and_its_text_differ():
    assert len({key_of(1), key_of(1.5), key_of("1"), key_of(True)}) == 4


@pytest.mark.parametrize("value", [{1, 2}, object(), math.nan, math.inf, {1: "a"}, b"bytes"])
def test_what_has_no_stable_bytes_is_refused(value):
    with pytest.raises(TypeError, match="no stable bytes"):
        key_of(value)


def test_a_key_is_the_head_of_a_sha256_that_others_can_compute():
    # printf '{"a":1}' | sha256sum
    assert key_of({"a": 1}) == "015abd7f5cc57a2dd94b"


def test_a_key_is_the_same_in_a_fresh_process():
    code = "import dmt_ray.methods as m, dmt_ray.recipes as r; print(m.dmt(r.named('shapes'), 3).stages()[-1].key)"
    found = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1


# ---- revisions that only some settings need --------------------------------------------------------------------


def retrained(**changes):
    config = override(named("digits"), changes)
    return METHODS["dmt"](config, 0).rungs[1]["A"].inputs["model"].config.identity()


def test_mixup_of_unequal_weights_has_a_revision_and_nothing_else_of_retraining():
    mixup = {"retrain.augment.mixup": 0.75}
    assert retrained(**mixup)["mixing"] == 2
    assert "mixing" not in retrained()
    assert "mixing" not in retrained(**mixup, **{"weight.rule": "uniform"})  # equal weights: the same numbers


def test_a_weight_rule_has_a_revision_from_the_second_one_on():
    assert WeightSettings.kind("rising")().identity()["revision"] == 2
    assert all("revision" not in WeightSettings.kind(rule)().identity() for rule in ("disagreement", "uniform"))
