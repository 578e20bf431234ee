"""A and B scored together: the mean of their probabilities, in a plan, in the records and in a table."""

import numpy as np
import pytest
import torch

from dmt_ray import models
from dmt_ray.config import override
from dmt_ray.data.splits import divide
from dmt_ray.engine.inference import WholeImages
from dmt_ray.engine.workspace import Workspace
from dmt_ray.execution.runner import Runner
from dmt_ray.methods import METHODS
from dmt_ray.results.scores import metrics

TWO_MODELS = ("dmt", "dmt_naive", "dmt_flip", "direct_mutual", "iml", "rml", "cps")


@pytest.mark.parametrize("method", TWO_MODELS)
def test_a_method_with_two_models_scores_them_together_where_that_is_wanted(tiny, method):
    plain, together = (METHODS[method](override(tiny, {"ensemble": wanted}), 0) for wanted in (False, True))
    assert plain.ensemble is None
    assert together.stages() == [*plain.stages(), together.ensemble]  # no other key has moved
    last = together.rungs[-1]
    assert together.ensemble.inputs == {side: last[side].inputs["model"] for side in "AB"}
    assert together.targets(0) == list(plain.rungs[0].values())
    assert together.targets(len(plain.rungs) - 1)[-1] == together.ensemble


def test_one_model_alone_is_no_ensemble(tiny):
    plan = METHODS["dst"](override(tiny, {"ensemble": True}), 0)
    assert plan.ensemble is None


@pytest.fixture(scope="module")
def performed(module_machine, tiny):
    changes = {"ensemble": True, "percentiles": [1.0], "pretrain.epochs": 2, "finetune.epochs": 1}
    runner = Runner(module_machine)
    plan = METHODS["dmt"](runner.bind(override(tiny, changes)), 0)
    runner.perform(plan.targets())
    return runner, plan


def test_its_decisions_are_those_of_the_mean_probability(performed):
    runner, plan = performed
    work = Workspace(runner.dataset(plan.ensemble.config.data))
    subset, positions = divide(plan.ensemble.config.split, plan.ensemble.config.data, work.dataset).reported
    probabilities = []
    for evaluation in plan.rungs[-1].values():
        network, _ = models.load(runner.store.path(evaluation.inputs["model"]))
        whole = WholeImages(network.eval(), work, work.dataset.subsets[subset])
        probabilities.append(torch.cat([whole.logits([i]).softmax(dim=1) for i in positions]))
    truth = torch.cat([whole.masks([i]) for i in positions]).long()
    mean = torch.stack(probabilities).mean(dim=0)
    confusion = np.zeros((len(work.dataset.classes),) * 2, int)
    np.add.at(confusion, (truth[truth != 255].numpy(), mean.argmax(dim=1)[truth != 255].numpy()), 1)
    found = metrics(runner.store, plan.ensemble)["reported"]
    assert abs(np.array(found["confusion"]) - confusion).sum() <= 4  # rounding may tip a pixel
    right = mean.gather(1, torch.where(truth == 255, 0, truth).unsqueeze(1)).squeeze(1)[truth != 255]
    assert found["nll"] == pytest.approx(float(-right.log().mean()), rel=1e-4)
