"""A few steps on real street scenes, where there are any."""

from dmt_ray.config import override
from dmt_ray.execution.runner import Machine, Runner
from dmt_ray.methods import dmt
from dmt_ray.recipes import named
from dmt_ray.results.scores import score, summary


def test_dmt_takes_a_few_steps_on_camvid(camvid_folder, tmp_path):
    changes = {"data.size": [36, 48], "percentiles": [0.5], "split.labelled": 64}
    changes |= {"pretrain.epochs": 2, "pretrain.batch": [32, 0], "finetune.batch": [8, 60]}
    changes |= {f"{training}.augment.crop": [32, 32] for training in ("pretrain", "finetune", "online", "oracle")}
    runner = Runner(Machine(tmp_path / "runs", camvid_folder))
    plan = dmt(runner.bind(override(named("camvid"), changes)), 0)
    runner.perform(stage for rung in plan.rungs for stage in rung.values())
    assert len(runner.dataset(plan.stages()[0].config.data).subsets["train"]) == 367
    for rung in plan.rungs:
        for evaluation in rung.values():
            assert 0.02 < score(runner.store, evaluation, "reported") < 0.9
    labels = plan.rungs[1]["A"].inputs["model"].inputs["labels"]
    assert 0.5 <= summary(runner.store, labels)["kept"] < 0.6
    assert summary(runner.store, labels)["images"] == 367 - 64
