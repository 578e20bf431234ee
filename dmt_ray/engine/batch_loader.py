"""From memory-mapped images to augmented batches. The random numbers come from (seed, epoch, sample) alone."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dmt_ray import IGNORE
from dmt_ray.config import SIDES, Side, Training
from dmt_ray.data.images import Images
from dmt_ray.engine.augment import FOR_MIXUP, Batch, augment, draw, order
from dmt_ray.engine.pseudo_labels import PseudoLabels
from dmt_ray.engine.team import Team
from dmt_ray.engine.transfer import upload
from dmt_ray.engine.workspace import Workspace
from dmt_ray.losses.mixing import mixing_share
from dmt_ray.plan.amounts import batch_of, steps_per_epoch

Truth = Callable[[int], NDArray[np.uint8]]  # the label of an image by its position
_Places = list[tuple[int, int]]  # epochs, and places in their order
_Draw = Callable[[int, int, int, Sequence[int]], NDArray[np.float64]]


@dataclass(frozen=True)
class RngStream:
    """Names the random numbers of one list of one stage."""

    seed: int  # of the experiment
    side: Side  # A and B never draw the same numbers
    # How many stages the model's weights have been trained through, so that every iteration sees the images in another
    # order and with other augmentations.
    generation: int

    def number(self, pseudo: bool) -> int:
        """The number of the labelled or of the pseudo-labelled list."""
        return (self.generation * len(SIDES) + SIDES.index(self.side)) * 2 + int(pseudo)

    def torch_seed(self, step: int, rank: int = 0) -> int:
        """Seed of torch's own generator in a step, for dropout and the like inside a network; below 2**64.

        Args:
            step: The optimizer step.
            rank: Of a worker in its team: rows of the batch must not share their masks.
        """
        return (self.seed << 40 ^ self.number(False) << 26 ^ rank << 20 ^ step) % 2**64


class Mixing(NamedTuple):
    """How the images of a step are mixed."""

    share: float  # what an image keeps of itself (lambda), in [0.5, 1]
    partners: Tensor  # the row of the global batch that each of its rows is mixed with, int64, on the device

    def of_partners(self, rows: Tensor, team: Team) -> Tensor:
        """For each of a worker's rows its partner's; all workers have to call it.

        Args:
            rows: Images, labels or weights of this worker's rows, ``[N, ...]``.
            team: The workers: each has every size-th row of the global batch.
        """
        if team.size == 1:
            return rows.index_select(0, self.partners)
        # The last workers can have a row less.
        filled = rows.new_zeros(-(-len(self.partners) // team.size), *rows.shape[1:])
        filled[: len(rows)] = rows
        everyone = team.rows(filled).transpose(0, 1).flatten(0, 1)
        return everyone.index_select(0, self.partners[team.rank :: team.size])


class Step(NamedTuple):
    """What one optimizer step sees."""

    batch: Batch
    truth: Tensor | None  # of the pseudo-labelled images, uint8 [M, h, w], IGNORE where unknown; for statistics only
    labelled: int
    mixing: Mixing | None = None  # where images are to be mixed


class BatchLoader:
    """The batches of one training stage, by their number; of each, the rows of this worker of the team.

    Args:
        work: Data and device.
        training: Batch sizes and augmentation.
        labelled: Positions of the labelled images in the train subset.
        pseudo: Pseudo labels of the unlabelled images; None in pretraining.
        stream: Which random numbers.
        truth: The labels of the labelled images by position; None: the data set's masks.
        whole: Whether each worker of the team gets all rows.

    Attributes:
        batch: Labelled and pseudo-labelled images of a step.
    """

    def __init__(
        self,
        work: Workspace,
        training: Training,
        labelled: Sequence[int],
        pseudo: PseudoLabels | None,
        stream: RngStream,
        truth: Truth | None = None,
        *,
        whole: bool = False,
    ) -> None:
        self._images: Images = work.dataset.subsets["train"]
        self._truth = truth or self._images.mask
        self.stream = stream
        self._work, self._training, self._pseudo, self._whole = work, training, pseudo, whole
        self._labelled = np.asarray(labelled)
        self._mean, self._std = work.statistics()
        self._orders: dict[tuple[bool, int], NDArray[np.int64]] = {}
        n_pseudo = 0 if pseudo is None else len(pseudo)
        self.batch = batch_of(training, labelled=len(labelled), pseudo=n_pseudo)
        self.steps_per_epoch = steps_per_epoch(training, labelled=len(labelled), pseudo=n_pseudo)
        self.steps = training.epochs * self.steps_per_epoch

    def step(self, number: int) -> Step:
        """The batch of optimizer step ``number`` (0 ... steps-1)."""
        epoch, place = divmod(number, self.steps_per_epoch)
        n_labelled, n_pseudo = self.batch
        if self._pseudo is None:
            rows = range(len(self._labelled))[place * n_labelled :][:n_labelled]
            return self._load(number, [(epoch, i) for i in rows], [])
        # The labelled list is cycled at its own pace, as in the authors' code.
        cycled = [divmod(number * n_labelled + i, len(self._labelled)) for i in range(n_labelled)]
        rows = range(len(self._pseudo))[place * n_pseudo :][:n_pseudo]
        return self._load(number, cycled, [(epoch, i) for i in rows])

    def _load(self, number: int, labelled: _Places, pseudo: _Places) -> Step:
        count = len(labelled)
        every = range(count + len(pseudo))
        mixing = self._mixing(number, len(every)) if self._training.augment.mixup else None
        rows = every if self._whole else self._work.team.share(every)
        labelled, pseudo = [labelled[i] for i in rows if i < count], [pseudo[i - count] for i in rows if i >= count]
        chosen = [int(self._labelled[self._order(False, epoch)[place]]) for epoch, place in labelled]
        positions = [int(self._order(True, epoch)[place]) for epoch, place in pseudo]
        if self._pseudo is not None:
            chosen += [self._pseudo.positions[i] for i in positions]
        if not chosen:  # the last batch of an epoch can have fewer rows than the team has workers
            return self._nothing(mixing)
        sizes, of_masks = (of[chosen].astype(np.int64) for of in (self._images.sizes, self._images.mask_sizes))
        height, width = (int(side) for side in sizes.max(axis=0))
        mask_height, mask_width = (int(side) for side in of_masks.max(axis=0))
        count = len(chosen)
        pixels = np.zeros((count, height, width, self._images.channels), np.uint8)
        # Label in the low byte, truth in the high one: both take the same way through the augmentation, at once.
        labels = np.full((count, mask_height, mask_width), IGNORE, np.int32)
        confidence = np.full((count, mask_height, mask_width), 255, np.uint8)
        for row, image in enumerate(chosen):
            h, w = sizes[row]
            pixels[row, :h, :w] = self._images.image(image)
            h, w = of_masks[row]
            if row < len(labelled):
                labels[row, :h, :w] = self._truth(image)
            elif self._pseudo is not None:
                label, confidence[row, :h, :w] = self._pseudo.of(positions[row - len(labelled)])
                labels[row, :h, :w] = label + (self._images.mask(image).astype(np.int32) << 8)
        augmentation = self._training.augment
        batch = augment(
            upload([pixels], self._work.device).permute(0, 3, 1, 2),
            upload([labels], self._work.device),
            upload([confidence], self._work.device) if pseudo else None,
            sizes=sizes,
            draws=self._drawn(draw, labelled, pseudo),
            scale=augmentation.scale,
            crop=augmentation.crop,
            flip=augmentation.flip,
            mean=self._mean,
            std=self._std,
            pad=augmentation.pad,
            fill=augmentation.fill,
            further=self._strong(labelled, pseudo),
        )
        if not pseudo:
            return Step(batch, None, len(labelled), mixing)
        hidden = batch.labels[len(labelled) :] >> 8
        return Step(batch._replace(labels=batch.labels & 255), hidden, len(labelled), mixing)

    def _nothing(self, mixing: Mixing | None) -> Step:
        device, crop = self._work.device, self._training.augment.crop
        size = crop if self._work.dataset.task == "segmentation" else (1, 1)
        labels = torch.zeros(0, *size, dtype=torch.int64, device=device)
        images = torch.zeros(0, self._images.channels, *crop, device=device)
        return Step(Batch(images, labels, labels.float()), None, 0, mixing)

    def _mixing(self, number: int, rows: int) -> Mixing:
        numbers = draw(self.stream.seed, self.stream.number(False), 0, [number], numbers=1 + rows, use=FOR_MIXUP)[0]
        partners = np.argsort(numbers[1:], kind="stable").astype(np.int64)
        share = mixing_share(float(numbers[0]), self._training.augment.mixup)
        return Mixing(share, upload([partners], self._work.device))

    def _strong(self, labelled: _Places, pseudo: _Places) -> Callable[[Tensor], Tensor] | None:
        """The strong augmentation: of all images, or of those that people have not labelled alone."""
        kind = self._training.augment.strong
        first = 0 if kind in ("any", "dmt") else len(labelled)
        if kind == "none" or first == len(labelled) + len(pseudo):
            return None
        from dmt_ray.engine.strong import draw_strong, strong

        draws = self._drawn(draw_strong, labelled, pseudo)[first:]
        return lambda images: torch.cat([images[:first], strong(images[first:], draws, kind)])

    def _order(self, pseudo: bool, epoch: int) -> NDArray[np.int64]:
        if (pseudo, epoch) not in self._orders:
            for old in [known for known in self._orders if known[0] == pseudo and known[1] < epoch - 1]:
                del self._orders[old]
            n = len(self._pseudo) if pseudo and self._pseudo is not None else len(self._labelled)
            self._orders[pseudo, epoch] = order(self.stream.seed, self.stream.number(pseudo), epoch, n)
        return self._orders[pseudo, epoch]

    def _drawn(self, draw: _Draw, labelled: _Places, pseudo: _Places) -> NDArray[np.float64]:
        seed, (first, second) = self.stream.seed, (self.stream.number(is_pseudo) for is_pseudo in (False, True))
        drawn = [draw(seed, first, epoch, [place]) for epoch, place in labelled]
        return np.concatenate(drawn + [draw(seed, second, epoch, [place]) for epoch, place in pseudo])


class Prefetcher:
    """Prepares the next step in a thread while the network is at the current one; to be closed.

    Args:
        loader: What to prepare; nobody else may use it meanwhile.
        device: Where the batches go. On a GPU they get there on a stream of their own, beside the network's.
    """

    def __init__(self, loader: BatchLoader, device: torch.device) -> None:
        self._loader = loader
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        # torch keeps the number of threads per thread, and a new one would take all cores.
        self._pool = ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(torch.get_num_threads(),))
        self._prepared: dict[int, Future[tuple[Step, torch.cuda.Event | None]]] = {}  # the next step alone

    def close(self) -> None:
        """End the thread."""
        self._pool.shutdown(cancel_futures=True)

    def step(self, number: int) -> Step:
        """The batch of a step; quick if it follows the last one."""
        step, event = (self._prepared.pop(number, None) or self._pool.submit(self._prepare, number)).result()
        if number + 1 < self._loader.steps:
            self._prepared = {number + 1: self._pool.submit(self._prepare, number + 1)}
        if event is not None:
            network = torch.cuda.current_stream(step.batch.images.device)
            network.wait_event(event)
            for tensor in (*step.batch, step.truth, step.mixing and step.mixing.partners):
                if tensor is not None:  # its memory belongs to the other stream, which must not reuse it too early
                    tensor.record_stream(network)
        return step

    def _prepare(self, number: int) -> tuple[Step, torch.cuda.Event | None]:
        """A step, and when it is on the device."""
        if self._stream is None:
            return self._loader.step(number), None
        with torch.cuda.stream(self._stream):
            return self._loader.step(number), self._stream.record_event()
