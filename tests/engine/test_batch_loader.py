from collections import Counter
from itertools import chain

import numpy as np
import pytest
import torch

from dmt_ray import IGNORE
from dmt_ray.config import Augment, Training
from dmt_ray.data import Dataset, Images
from dmt_ray.engine.batch_loader import BatchLoader, RngStream
from dmt_ray.engine.pseudo_labels import PseudoLabels
from dmt_ray.engine.workspace import Workspace

N, LABELLED = 11, 3
PLAIN = Augment(scale=(1, 1), crop=(4, 4), flip=False)
TRAINING = Training(epochs=2, learning_rate=1, batch=(2, 3), augment=PLAIN)


@pytest.fixture
def work() -> Workspace:
    """Images of one colour: image i is grey i, its truth is class i everywhere."""
    masks = np.repeat(np.arange(N, dtype=np.uint8), 16)
    images = Images(
        ids=tuple(map(str, range(N))),
        sizes=np.full((N, 2), 4, np.int32),
        offsets=np.arange(N + 1) * 16,
        pixels=np.repeat(masks[:, None], 3, axis=1),
        masks=masks,
        known=np.ones(N, bool),
    )
    return Workspace(
        Dataset("grey", tuple(map(str, range(N))), np.zeros((N, 3), np.uint8), "", {"train": images}, None)
    )


@pytest.fixture
def labels(work, tmp_path) -> PseudoLabels:
    """Pseudo labels of images 3..10: always one class too high, with confidence 200/255."""
    positions = range(LABELLED, N)
    np.save(tmp_path / "labels.npy", np.repeat(np.array(positions, np.uint8) + 1, 16))
    np.save(tmp_path / "confidence.npy", np.full(16 * len(positions), 200, np.uint8))
    return PseudoLabels(work.dataset.subsets["train"], tuple(positions), tmp_path)


def loader(work, labels, stream=None, training=TRAINING) -> BatchLoader:
    return BatchLoader(work, training, range(LABELLED), labels, stream or RngStream(0, "A", 1))


def shown(step) -> tuple[list[int], list[int]]:
    """Which images a step shows: the labelled ones by their label, the others by their truth."""
    return [int(x[0, 0]) for x in step.batch.labels[: step.labelled]], [int(x[0, 0]) for x in step.truth]


def test_an_epoch_shows_every_pseudo_labelled_image_once_and_the_last_batch_is_smaller(work, labels):
    steps = [shown(loader(work, labels).step(number))[1] for number in range(3)]
    assert [len(step) for step in steps] == [3, 3, 2]
    assert sorted(chain(*steps)) == list(range(LABELLED, N))


def test_the_labelled_list_is_cycled_at_its_own_pace(work, labels):
    counts = Counter(chain(*(shown(loader(work, labels).step(number))[0] for number in range(6))))
    assert counts == {0: 4, 1: 4, 2: 4}  # 6 steps of 2 from 3 images


def test_labels_confidence_and_truth_belong_to_the_image(work, labels):
    step = loader(work, labels).step(0)
    pseudo = step.batch.labels[step.labelled :]
    assert torch.equal(pseudo, step.truth + 1)
    assert torch.allclose(step.batch.confidence[step.labelled :], torch.tensor(200 / 255))
    grey = step.batch.images * torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    grey = (grey + torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) * 255
    assert torch.allclose(grey[step.labelled :, 0], step.truth.float(), atol=1e-3)


def test_every_epoch_iteration_seed_and_side_has_an_order_of_its_own(work, labels):
    streams = [RngStream(0, "A", 1), RngStream(0, "A", 2), RngStream(1, "A", 1), RngStream(0, "B", 1)]
    loaders = [loader(work, labels, stream) for stream in streams]
    orders = [tuple(chain(*(shown(one.step(number))[1] for number in range(3)))) for one in loaders]
    orders.append(tuple(chain(*(shown(loaders[0].step(number))[1] for number in range(3, 6)))))
    assert len(set(orders)) == 5


def test_a_step_is_the_same_whatever_was_drawn_before(work, labels):
    first, second = loader(work, labels), loader(work, labels)
    for number in (0, 1, 2):
        first.step(number)
    torch.manual_seed(1)
    np.random.seed(1)
    assert torch.equal(first.step(4).batch.images, second.step(4).batch.images)


def test_pretraining_counts_epochs_by_the_labelled_images(work):
    training = TRAINING.evolve(batch=(2, 0))
    one = BatchLoader(work, training, range(LABELLED), None, RngStream(0, "A", 0))
    assert (one.steps_per_epoch, one.steps) == (2, 4)
    assert one.step(0).truth is None
    assert sorted(int(x[0, 0]) for number in (0, 1) for x in one.step(number).batch.labels) == [0, 1, 2]


def test_a_matched_batch_visits_both_lists_about_equally_often(work, labels):
    one = loader(work, labels, training=TRAINING.evolve(matched=True))
    assert one.batch == (1, 4)  # of 3 labelled and 8 other images
    steps = [shown(one.step(number)) for number in range(one.steps_per_epoch)]
    assert sorted(chain(*(pseudo for _, pseudo in steps))) == list(range(LABELLED, N))
    assert [len(labelled) for labelled, _ in steps] == [1, 1]


def test_an_epoch_is_over_the_images_that_have_labels(work, labels, tmp_path):
    np.save(tmp_path / "images.npy", np.array([1, 4, 5, 7]))
    for name in ("labels", "confidence"):
        array = np.load(tmp_path / f"{name}.npy").reshape(-1, 16)
        np.save(tmp_path / f"{name}.npy", array[[1, 4, 5, 7]].flatten())
    some = PseudoLabels(work.dataset.subsets["train"], tuple(range(LABELLED, N)), tmp_path)
    one = loader(work, some)
    assert one.steps_per_epoch == 2  # 4 images in batches of 3
    steps = [one.step(number) for number in range(2)]
    assert sorted(chain(*(shown(step)[1] for step in steps))) == [4, 7, 8, 10]
    for step in steps:
        assert torch.equal(step.batch.labels[step.labelled :], step.truth + 1)


def test_padding_has_neither_label_nor_truth(work, labels):
    training = TRAINING.evolve(augment=Augment(scale=(1, 1), crop=(6, 6), flip=False))
    step = loader(work, labels, training=training).step(0)
    outside = step.batch.labels == IGNORE
    assert outside.sum() == len(outside) * (36 - 16)
