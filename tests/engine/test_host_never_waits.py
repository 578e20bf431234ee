"""A device on which nothing can be read: what runs on it never makes the host wait for a result.

Tensors on torch's device "meta" have shapes and no values: item, bool, tolist, cpu, numpy, nonzero and bincount all
raise there. On a GPU each of them would wait until all that was asked for before is done. What the GPU itself reports
is checked where there is one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from dmt_ray import models
from dmt_ray.config import Config, Model
from dmt_ray.data import Dataset, Images
from dmt_ray.data.splits import divide
from dmt_ray.engine.augment import Batch
from dmt_ray.engine.batch_loader import BatchLoader, RngStream, Step
from dmt_ray.engine.evaluate import count
from dmt_ray.engine.inference import WholeImages
from dmt_ray.engine.label import predictions
from dmt_ray.engine.metrics import Confusion
from dmt_ray.engine.pseudo_labels import PseudoLabels
from dmt_ray.engine.ranking import Ranking
from dmt_ray.engine.transfer import to_host
from dmt_ray.engine.weighted_stepper import WeightedStepper
from dmt_ray.engine.workspace import Workspace

N, SIDE, K = 24, 32, 6
DEVICES = ["meta", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


@pytest.fixture(params=DEVICES)
def work(request: pytest.FixtureRequest) -> Workspace:
    random = np.random.default_rng(0)
    images = Images(
        ids=tuple(f"image{i}" for i in range(N)),
        sizes=np.full((N, 2), SIDE, np.int32),
        offsets=np.arange(N + 1) * SIDE * SIDE,
        pixels=random.integers(0, 256, (N * SIDE * SIDE, 3), np.uint8),
        masks=random.integers(0, K, N * SIDE * SIDE).astype(np.uint8),
        known=np.ones(N, bool),
    )
    subsets = dict.fromkeys(("train", "val", "test"), images)
    dataset = Dataset("noise", tuple("abcdef"), np.zeros((K, 3), np.uint8), "", subsets, None)
    return Workspace(dataset, torch.device(request.param), eval_batch=4)


class Uploads(TorchDispatchMode):
    """Counts the tensors that are copied from the CPU to the device."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and result.device.type != "cpu":
            self.count += any(isinstance(arg, Tensor) and arg.device.type == "cpu" and arg.dim() > 0 for arg in args)
        return result


@contextmanager
def never_waiting() -> Iterator[Uploads]:
    """Inside, a GPU raises when the host waits for it; the meta device always does."""
    if torch.cuda.is_available():
        torch.cuda.set_sync_debug_mode("error")
    try:
        with Uploads() as uploads:
            yield uploads
    finally:
        if torch.cuda.is_available():
            torch.cuda.set_sync_debug_mode("default")


class MovedLoader(BatchLoader):
    """Prepares on the CPU what a loader for a device without values could not."""

    def step(self, number: int) -> Step:
        batch, truth, labelled, mixing = super().step(number)
        assert truth is not None
        moved = mixing and mixing._replace(partners=mixing.partners.to("meta"))
        return Step(Batch(*(tensor.to("meta") for tensor in batch)), truth.to("meta"), labelled, moved)


def network_of(work: Workspace) -> nn.Module:
    model = Model(encoder="tu-test_resnet", arguments={"encoder_depth": 4, "decoder_channels": [16, 8, 8, 8]})
    return models.build(model, K).to(work.device).to(memory_format=torch.channels_last)


@pytest.mark.parametrize("rule", ["disagreement", "confidence", "flip", "uniform", "online", "rising", "rank"])
@pytest.mark.parametrize("mixup", [0, 0.75])
def test_a_training_step_reads_nothing_from_the_device(work, tiny: Config, rule, mixup, tmp_path):
    parts = divide(tiny.split, tiny.data, work.dataset)
    for name in ("labels", "confidence"):
        np.save(tmp_path / f"{name}.npy", np.zeros(len(parts.unlabelled) * SIDE * SIDE, np.uint8))
    pseudo = PseudoLabels(work.dataset.subsets["train"], parts.unlabelled, tmp_path)
    training = tiny.finetune
    if mixup:  # and all else that classification adds
        augment = training.augment.evolve(mixup=mixup, pad=4, strong="any")
        training = training.evolve(augment=augment, ema=0.99, schedule="cosine")
    if work.device.type == "meta":
        where = replace(work, device=torch.device("cpu"))
        loader: BatchLoader = MovedLoader(where, training, parts.labelled, pseudo, RngStream(0, "A", 1))
    else:
        loader = BatchLoader(work, training, parts.labelled, pseudo, RngStream(0, "A", 1))
    weight = tiny.weight.with_rule(rule)
    with WeightedStepper(network_of(work).train(), loader, training, weight, work) as stepper:
        stepper.step(0)  # the first one makes the optimizer's buffers
        with never_waiting() as uploads:
            for number in (1, 2, 3):
                stepper.step(number)
        assert uploads.count == 0  # batches come from the thread that prepares them


def test_labelling_reads_nothing_while_it_asks_the_network(work):
    batches, ranking = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]], Ranking(K, work.device)
    whole = WholeImages(network_of(work).eval(), work, work.dataset.subsets["train"])
    with never_waiting() as uploads:
        shapes = [classes.shape for _, (classes, _) in predictions(whole, range(N), batches, ranking)]
    assert [len(shape) for shape in shapes] == [3, 3, 3]
    assert uploads.count == len(batches)  # the images, at once, and nothing else


def test_evaluation_reads_nothing_before_its_end(work):
    images, network = work.dataset.subsets["val"], network_of(work).eval()
    count(WholeImages(network, work, images), work, "val", range(4))
    with never_waiting() as uploads:
        counts, _ = count(WholeImages(network, work, images), work, "val", range(12))
    assert isinstance(counts, Confusion)
    assert uploads.count == 1 + 2 * 3  # mean and deviation; images and masks of each of three batches


def test_the_meta_device_would_tell():
    for read in (Tensor.item, Tensor.tolist, bool, int, Tensor.cpu, torch.bincount, torch.nonzero):
        with pytest.raises((RuntimeError, NotImplementedError)):
            read(torch.zeros(1, dtype=torch.int64, device="meta"))


def test_results_come_to_the_host_in_their_order():
    results = ((f"batch {i}", (torch.tensor([i]), torch.tensor([i], dtype=torch.uint16))) for i in range(4))
    fetched = [(name, first.item(), second.item()) for name, (first, second) in to_host(results)]
    assert fetched == [(f"batch {i}", i, i) for i in range(4)]
