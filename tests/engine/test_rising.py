import numpy as np
import pytest

from dmt_ray.execution.runner import Runner
from dmt_ray.methods import configure, pseudo_label
from dmt_ray.results.scores import history


def test_pseudo_labels_weigh_nothing_before_the_rise_and_all_after_it(module_machine, tiny):
    runner = Runner(module_machine)
    changes = {"weight.rise_start": 0.3, "weight.rise_end": 0.3, "online.epochs": 5, "online.batch": [1, 7]}
    plan = pseudo_label(runner.bind(configure(pseudo_label, tiny, changes)), 0)
    taught = plan.rungs[1]["A"].inputs["model"]
    runner.perform([taught])
    rows = history(runner.store, taught)
    assert rows["step"].tolist() == [5, 10, 15]  # of the first row each step begins at 4 / 15 of the training or before
    assert rows["mean_weight"].tolist() == pytest.approx([0, 3 * 8 / 7, 3 * 8 / 7])
    assert "agreement" not in rows  # no label was given
    examples = np.load(runner.store.path(taught) / "examples.npz", allow_pickle=False)
    assert (examples["weight_0"] == 255).all()  # a byte holds weights up to 1


def test_a_rise_starts_and_ends_by_the_steps_of_the_training(module_machine, tiny):
    runner = Runner(module_machine)
    changes = {"weight.rise_start": 0.0, "weight.rise_end": 1.0, "online.epochs": 5, "online.batch": [4, 4]}
    changes |= {"online.augment.scale": [1, 1]}  # every step then has as many pixels
    plan = pseudo_label(runner.bind(configure(pseudo_label, tiny, changes)), 0)
    taught = plan.rungs[1]["A"].inputs["model"]
    runner.perform([taught])
    # 16 images in batches of 4: 20 steps; the first row's begin at 0 / 20 ... 4 / 20 of the training, and alpha_f is 3
    # times 8 / 4: the mean over the pseudo-labelled images counts in full.
    means = [2 * 3 * (2 + 5 * row) / 20 for row in range(4)]
    assert history(runner.store, taught)["mean_weight"].tolist() == pytest.approx(means)
