"""What the engine does on a GPU never makes the host wait for a result, but where it says so.

On a GPU item, bool, tolist, cpu, numpy, nonzero, a mask as an index and a list as an index wait until all that was
requested before is done. Where there is no GPU, a device that tests pretend to have writes down what would wait; where
there is one, the GPU itself reports it.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from dmt_ray import models
from dmt_ray.config import Config, Model, override
from dmt_ray.data import Dataset, Images
from dmt_ray.data.splits import Parts, divide
from dmt_ray.engine.assess import assess
from dmt_ray.engine.batch_loader import BatchLoader, RngStream
from dmt_ray.engine.checkpoint import BestSnapshot, Checkpoint
from dmt_ray.engine.compose import compose
from dmt_ray.engine.cotrain import CotrainStepper
from dmt_ray.engine.evaluate import count
from dmt_ray.engine.inference import WholeImages
from dmt_ray.engine.label import label, predictions
from dmt_ray.engine.one_model import EXAMPLE_COUNT, write_examples
from dmt_ray.engine.pseudo_labels import PseudoLabels
from dmt_ray.engine.ranking import Ranking
from dmt_ray.engine.student import Student
from dmt_ray.engine.tally import Tally
from dmt_ray.engine.transfer import to_host, upload
from dmt_ray.engine.weighted_stepper import WeightedStepper
from dmt_ray.engine.workspace import Workspace
from dmt_ray.methods import METHODS
from dmt_ray.plan.files import EXAMPLES
from dmt_ray.plan.operations.assess import Assess
from dmt_ray.plan.operations.compose import Compose
from dmt_ray.plan.operations.label import Label
from tests.helpers.pretended_cuda import PretendedCuda, pretended_cuda, seen

N, SIDE, K = 24, 32, 6
DEVICES = [
    "pretended",
    pytest.param("real", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")),
]
COTRAINED = ("mean_teacher", "fixmatch", "unimatch", "unimatch_v2", "cps", "direct_mutual", "iml", "rml")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=DEVICES)
def work(request: pytest.FixtureRequest) -> Iterator[Workspace]:
    with pretended_cuda() if request.param == "pretended" else nullcontext():
        yield noise(N)


@pytest.fixture
def pretended() -> Iterator[PretendedCuda]:
    with pretended_cuda() as seen:
        yield seen


def noise(count: int) -> Workspace:
    """So many train images; 24 that are scored."""
    random = np.random.default_rng(0)

    def images(count: int) -> Images:
        return Images(
            ids=tuple(f"image{i}" for i in range(count)),
            sizes=np.full((count, 2), SIDE, np.int32),
            offsets=np.arange(count + 1) * SIDE * SIDE,
            pixels=random.integers(0, 256, (count * SIDE * SIDE, 3), np.uint8),
            masks=random.integers(0, K, count * SIDE * SIDE).astype(np.uint8),
            known=np.ones(count, bool),
        )

    subsets = {"train": images(count), "val": images(N), "test": images(N)}
    dataset = Dataset("noise", tuple("abcdef"), np.zeros((K, 3), np.uint8), "", subsets, None)
    return Workspace(dataset, torch.device("cuda"), eval_batch=4)


class Uploads(TorchDispatchMode):
    """Counts the tensors that are copied from the CPU to the device."""

    uploads = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and result.device.type != "cpu":
            self.uploads += any(isinstance(arg, Tensor) and arg.device.type == "cpu" and arg.dim() > 0 for arg in args)
        return result


@contextmanager
def never_waiting() -> Iterator[PretendedCuda | Uploads]:
    """Inside, whatever makes the host wait for a result is an error."""
    if (pretended := seen()) is not None:
        pretended.clear()
        yield pretended
        assert not pretended.waits
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        with Uploads() as uploads:
            yield uploads
    finally:
        torch.cuda.set_sync_debug_mode("default")


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
    loader = BatchLoader(work, training, parts.labelled, pseudo, RngStream(0, "A", 1))
    weight = tiny.weight.with_rule(rule)
    with WeightedStepper(network_of(work).train(), loader, training, weight, work) as stepper:
        stepper.step(0)  # the first one makes the optimizer's buffers
        with never_waiting() as uploads:
            stepper.step(1)
        if isinstance(uploads, Uploads):  # the pretended device sees those of the thread that prepares batches too
            assert uploads.uploads == 0


def test_labelling_reads_nothing_while_it_asks_the_network(work):
    batches, ranking = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]], Ranking(K, work.device)
    whole = WholeImages(network_of(work).eval(), work, work.dataset.subsets["train"])
    with never_waiting() as uploads:
        shapes = [classes.shape for _, (classes, _) in predictions(whole, range(N), batches, ranking)]
    assert [len(shape) for shape in shapes] == [3, 3, 3]
    assert uploads.uploads == len(batches)  # the images, at once, and nothing else


def test_evaluation_reads_nothing_before_its_end(work):
    images, network = work.dataset.subsets["val"], network_of(work).eval()
    count(WholeImages(network, work, images), work, "val", range(4))
    with never_waiting() as uploads:
        tally = count(WholeImages(network, work, images), work, "val", range(12))
    assert isinstance(tally, Tally)
    assert uploads.uploads == 1 + 2 * 3  # mean and deviation; images and masks of each of three batches


@pytest.mark.parametrize("method", COTRAINED)
def test_a_step_of_cotraining_reads_nothing_and_uploads_its_rows_once(work, tiny: Config, method, tmp_path):
    cfg = override(tiny, {"cotrain.batch": [4, 8], "cotrain.precision": "float32"})
    stage = METHODS[method](cfg, 0).rungs[1]["A"].inputs["model"]
    config = stage.config
    for side in stage.inputs:
        save(network_of(work), tmp_path / side)
    work = replace(work, inputs={side: tmp_path / side for side in stage.inputs})
    parts = divide(config.split, config.data, work.dataset)
    students = [Student(side, config, work) for side in stage.inputs]
    pseudo = PseudoLabels(work.dataset.subsets["train"], parts.unlabelled, None)
    loader = BatchLoader(work, config.training, parts.labelled, pseudo, students[0].stream, whole=True)
    positions = (*parts.labelled, *parts.unlabelled)
    with CotrainStepper(students, loader, config, work, positions) as stepper:
        with never_waiting():
            stepper.prepare()
        for network in stepper.networks:
            network.train()
        stepper.step(0)
        with never_waiting():
            stepper.step(1)
        checkpoint = Checkpoint(
            replace(work, scratch=tmp_path), stepper.state, stepper.update, [], BestSnapshot("last")
        )
        with never_waiting() as uploads:
            checkpoint.save(2)
        if isinstance(uploads, PretendedCuda):
            assert uploads.synchronised == 1


def save(network: nn.Module, folder: Path) -> Path:
    model = Model(encoder="tu-test_resnet", arguments={"encoder_depth": 4, "decoder_channels": [16, 8, 8, 8]})
    folder.mkdir()
    description = {"model": model.model_dump(mode="json"), "classes": K, "side": "A", "generation": 0}
    models.save(network, folder, description)
    return folder


def test_examples_come_to_the_host_together(pretended, tiny: Config, tmp_path):
    work = replace(noise(N), out=tmp_path)
    pseudo = PseudoLabels(work.dataset.subsets["train"], range(8, N), None)
    network = network_of(work)
    with never_waiting():
        write_examples(network, pseudo, range(8, N), (2, 6), tiny.weight, work)
    assert pretended.synchronised == 2  # whether all logits are finite; and the examples
    assert len(np.load(tmp_path / EXAMPLES)) == 1 + 6 * EXAMPLE_COUNT


def test_a_snapshot_waits_once_beside_its_scores(pretended, tmp_path):
    work = noise(N)
    network = network_of(work)
    few = tuple(range(8))
    parts = Parts("few", "", few, few, ("val", few), ("test", few))
    best = BestSnapshot("val")
    pretended.clear()
    best.offer(1, [network], network, parts, work)
    assert all(place.startswith("_to_copy in engine/metrics.py") for place in pretended.waits)
    assert pretended.waits.total() == 2  # a matrix for each of both sets
    assert pretended.synchronised == 1 + 2  # the weights; and whether all logits of a set are finite


STAGES = {
    "class_balanced": lambda data, split: Label(data=data, split=split, rule="class_balanced", share=0.5),
    "renormalised": lambda data, split: Label(data=data, split=split, rule="renormalised", share=0.5),
    "assess": lambda data, split: Assess(data=data, split=split),
    "compose": lambda data, split: Compose(data=data, split=split, by="reliability", first=0.5, whole=False),
}


@pytest.mark.parametrize("name", STAGES)
def test_a_pass_over_images_waits_as_often_for_many_as_for_few(pretended, tiny: Config, name, tmp_path):
    waits = []
    for images in (16, 40):
        folder, work = tmp_path / str(images), noise(images)
        folder.mkdir()
        inputs = {
            "teacher": save(network_of(work), folder / "teacher"),
            "judge": save(network_of(work), folder / "judge"),
        }
        passes = {"class_balanced": label, "renormalised": label, "assess": assess, "compose": compose}
        for needed in ("class_balanced", "assess", name):
            out, scratch = folder / f"{needed}-out", folder / f"{needed}-scratch"
            out.mkdir(exist_ok=True)
            scratch.mkdir(exist_ok=True)
            config = STAGES[needed](tiny.data, tiny.split)
            pretended.clear()
            passes[needed](config, replace(work, inputs=inputs, out=out, scratch=scratch))
            inputs |= {"labels": folder / "class_balanced-out", "assessed": folder / "assess-out"}
        waits.append({place: often for place, often in pretended.waits.items() if "models/__init__" not in place})
    assert waits[0] == waits[1]


def test_the_pretended_device_would_tell(pretended):
    x = torch.arange(3).to("cuda")
    for read in (Tensor.item, bool, int):
        read(x[0])
    for read in (Tensor.tolist, Tensor.cpu, torch.bincount, torch.nonzero, lambda t: t[[0, 2]], lambda t: t[t > 0]):
        read(x)
    assert pretended.waits.total() == 1 + 3 + 6
    pretended.clear()
    upload([np.arange(3)], torch.device("cuda"))
    assert not pretended.waits


def test_results_come_to_the_host_in_their_order():
    results = ((f"batch {i}", (torch.tensor([i]), torch.tensor([i], dtype=torch.uint16))) for i in range(4))
    fetched = [(name, first.item(), second.item()) for name, (first, second) in to_host(results)]
    assert fetched == [(f"batch {i}", i, i) for i in range(4)]
