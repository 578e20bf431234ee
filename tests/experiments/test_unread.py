"""Overrides that change nothing."""

from functools import partial

from dmt_ray.experiments.unread import unread
from dmt_ray.methods import METHODS, configure
from dmt_ray.recipes import load


def work_of(method, changes):
    config = load("shapes", changes, partial(configure, METHODS[method]))
    return [config], [METHODS[method](config, 0)]


def test_what_the_method_does_not_read_is_found():
    changes = ["pretrain.epochs=3", "finetune.epochs=3", "dms_alpha=0.7"]
    assert unread(changes, partial(work_of, "baseline")) == ["finetune.epochs=3", "dms_alpha=0.7"]
    assert unread(changes, partial(work_of, "dmt")) == []


def test_what_enters_no_key_is_read_as_well():
    assert unread(["model.weights_file=mine.safetensors"], partial(work_of, "dmt")) == []


def test_a_value_that_is_the_recipes_own_is_not_reported():
    epochs = load("shapes").finetune.epochs
    assert unread([f"finetune.epochs={epochs}"], partial(work_of, "baseline")) == []


def test_an_override_that_another_one_depends_on_is_read():
    assert unread(["weight.rule=confidence", "weight.gamma1=3"], partial(work_of, "dst")) == []


def test_what_belongs_to_the_experiment_is_not_reported():
    changes = ["order=sequential", "finetune.epochs=3"]
    assert unread(changes, partial(work_of, "baseline"), own=1) == ["finetune.epochs=3"]
