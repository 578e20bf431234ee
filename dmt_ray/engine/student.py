"""One student of a `cotrain` stage: the view of the images that it is given, its teacher and its prototypes."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dmt_ray import IGNORE, models
from dmt_ray.config import Side
from dmt_ray.engine.augment import FOR_BOXES, draw
from dmt_ray.engine.batch_loader import RngStream
from dmt_ray.engine.ema import average_of, decay_of, move_average
from dmt_ray.engine.inference import WholeImages, by_size
from dmt_ray.engine.loop import dtype_of
from dmt_ray.engine.parallel import spread
from dmt_ray.engine.team import Team
from dmt_ray.engine.transfer import upload
from dmt_ray.engine.workspace import Workspace
from dmt_ray.losses.consistency import cutmix_boxes, paste, small_boxes
from dmt_ray.losses.prototypes import class_confidence, class_sums, moved, rectify
from dmt_ray.plan.operations.cotrain import Cotrain

NEXT_VIEW = 2**32  # places in an epoch's order between the random numbers of two views: more than an epoch has


class Rows(NamedTuple):
    """Which images of a global batch a worker looks at."""

    needed: list[int]  # rows of the global batch: the worker's own and those that are pasted into them
    own: list[int]  # places in `needed` of the worker's own rows
    partners: list[int]  # places in `needed` of the rows that are pasted into those


def rows_of(mine: Sequence[int], count: int, *, every: bool = False) -> Rows:
    """The rows that a worker looks at: every image is given a box of the next one of the global batch.

    Args:
        mine: The worker's rows.
        count: Number of rows of the global batch.
        every: Whether all rows are needed, for statistics over the global batch.
    """
    partners = [(row + 1) % count for row in mine]
    needed = list(dict.fromkeys(range(count) if every else [*mine, *partners]))
    place = {row: i for i, row in enumerate(needed)}
    return Rows(needed, [place[row] for row in mine], [place[row] for row in partners])


class Places(NamedTuple):
    """`Rows` as indices on the device, int64: an index that is a list would be copied there each time it is used."""

    labelled: Tensor  # rows of the global batch: the worker's own labelled images
    needed: Tensor  # of its unlabelled images those in `Rows.needed`
    own: Tensor  # places in `needed`, as in `Rows`
    partners: Tensor
    counted: Tensor  # of the labelled images and then those in `needed` the worker's own, which it counts


def places_of(labelled: Sequence[int], rows: Rows, device: torch.device) -> Places:
    """A worker's labelled and unlabelled rows on the device, in one copy."""
    counted = [*range(len(labelled)), *(len(labelled) + place for place in rows.own)]
    indices = [np.array(index, np.int64) for index in (labelled, *rows, counted)]
    return Places(*torch.split(upload([np.concatenate(indices)], device), [len(index) for index in indices]))


class View:
    """What a student sees of the unlabelled images of a step; two students see different views.

    Args:
        stream: The student's random numbers.
        config: The settings: whether colours change, and how boxes are pasted.
        mean: Of the channels, float32 ``[C]`` on the device.
        std: Likewise.
        number: Of the view, where the student has several.
    """

    def __init__(self, stream: RngStream, config: Cotrain, *, mean: Tensor, std: Tensor, number: int = 0) -> None:
        self._stream, self._config, self._first = stream, config, number * NEXT_VIEW
        self._mean, self._std = mean.view(-1, 1, 1), std.view(-1, 1, 1)

    def of(self, images: Tensor, rows: Rows, places: Places, *, epoch: int, first: int) -> tuple[Tensor, Tensor]:
        """The student's images, and where they are another's.

        Args:
            images: Of ``rows.needed``, normalised, float32 ``[M, C, h, w]``.
            rows: Which they are.
            places: The same on the device.
            epoch: The epoch.
            first: Place in the epoch of the global batch's row 0.

        Returns:
            Images of the worker's own rows, float32 ``[N, C, h, w]``, and boxes, bool ``[N, h, w]``.
        """
        number = self._stream.number(True)
        first = first + self._first
        if self._config.photometric:
            from dmt_ray.engine.strong import draw_strong, strong  # loads torchvision, which takes a second

            draws = draw_strong(self._stream.seed, number, epoch, [first + row for row in rows.needed])
            bright = (images * self._std + self._mean).clamp(0, 1)
            images = (strong(bright, draws, self._config.strong) - self._mean) / self._std
        own = images.index_select(0, places.own)
        size = (images.shape[-2], images.shape[-1])
        if not self._config.cutmix:
            return own, torch.zeros(len(own), *size, dtype=torch.bool, device=images.device)
        mine = [first + rows.needed[i] for i in rows.own]
        numbers, made = {"half": (3, cutmix_boxes), "small": (5, small_boxes)}[self._config.boxes]
        drawn = draw(self._stream.seed, number, epoch, mine, numbers=numbers, use=FOR_BOXES)
        boxes = upload([made(drawn, size).astype(np.uint8)], images.device).bool()
        return paste(boxes, own, images.index_select(0, places.partners)), boxes


class TeacherOutput(NamedTuple):
    """A teacher's output for some images."""

    probs: Tensor  # of the classes, rectified where the settings say so, float32 [N, K, h, w]
    features: Tensor  # what its classifier was given, float32 [N, C, h', w']
    decided: Tensor  # the teacher's own classes, not rectified, int64 [N, h, w]


class Student(nn.Module):
    """A student and its teacher; the state dict, whose names checkpoints hold, is all that changes in training.

    Args:
        side: Its name.
        config: The settings.
        work: Data, device, team; ``inputs[side]`` is the stage that it starts from.
    """

    prototypes: Tensor | None

    def __init__(self, side: Side, config: Cotrain, work: Workspace) -> None:
        super().__init__()
        folder = work.inputs[side]
        together = (folder / f"{side}.json").exists()  # another stage of this kind: go on from its mean teachers
        loaded, self.description = models.load(
            folder, side if together else models.MODEL, averaged=together and config.teacher == "mean"
        )
        self.description |= {"side": side, "generation": self.description["generation"] + 1}
        self.student = loaded.to(work.device, dtype_of(config.training)).to(memory_format=torch.channels_last)
        self.teacher = average_of(self.student) if config.teacher == "mean" else None
        self.averaged = average_of(self.student) if config.averaged else None
        # Its labels are those of the stage's beginning, whatever becomes of the student (RML, Eq. 6).
        # In lists: no part of the state.
        self._initial = [average_of(self.student)] if config.rectified else []
        self.side, self._config = side, config
        self._classes = len(work.dataset.classes)
        width = next(models.classifier(self.student).parameters()).shape[1]
        prototypes = torch.zeros(self._classes, width, device=work.device)
        self.register_buffer("prototypes", prototypes if config.rectified else None)
        self._features: list[Tensor] = []
        padding = models.padding_of(self.student)
        self._stride = padding.multiple if padding.rest else None  # of features whose corners are the image's
        models.classifier(self.labeller).register_forward_pre_hook(self._remember)
        if config.dropout or config.survival < 1:
            models.add_noise(self.student, dropout=config.dropout, survival=config.survival)
        perturbed = config.perturbs_features()
        self._channels = models.ChannelDropout(self.student) if perturbed else None
        # Where it is a wrapper, labelling and scores on the way go past it.
        # torch.compile would pass over the hooks that drop other channels in every step.
        self._trained = [spread(self.student, work.team, compiled=work.compiled and not perturbed)]
        self.stream = RngStream(work.seed, side, self.description["generation"])
        mean, std = work.statistics()
        self.views = [View(self.stream, config, mean=mean, std=std, number=number) for number in range(config.views)]

    @property
    def labeller(self) -> nn.Module:
        """The model that labels: the mean teacher, or the student itself."""
        return self.student if self.teacher is None else self.teacher

    @property
    def scored(self) -> nn.Module:
        """The model that is scored: the one that labels, or the moving average of a student that labels itself."""
        return self.labeller if self.averaged is None else self.averaged

    def predict(self, images: Tensor, *, labelled: int, unlabelled: int) -> Tensor:
        """The student's logits in training.

        Args:
            images: The labelled ones, each view of the unlabelled ones and, where the settings perturb features in a
                stream of its own, those as they are.
            labelled: How many labelled images there are.
            unlabelled: How many unlabelled ones.
        """
        if self._channels is None:
            logits: Tensor = self._trained[0](images)
            return logits
        if self._config.features == "complementary":
            masks = models.complementary_masks(labelled, unlabelled)
        else:
            masks = models.stream_masks(len(images) - unlabelled, unlabelled)
        with self._channels.during(masks):
            logits = self._trained[0](images)
        return logits

    @torch.no_grad()
    def teach(self, images: Tensor, cast: AbstractContextManager[Any] | None = None) -> TeacherOutput:
        """The teacher's output, without noise.

        A mean teacher is in eval mode. Where the student itself labels, its BatchNorm takes the batch's own statistics,
        as the publications' code does: the running ones lag behind a student that moves fast, and its labels drift.

        Args:
            images: Normalised, ``[N, C, h, w]``, in the network's memory format; those of the whole team's batch where
                the student labels.
            cast: Under which its forward passes run.
        """
        with cast or nullcontext(), self._labelling():
            logits = self.labeller(images).float()
            initial = [first(images).float().softmax(dim=1) for first in self._initial]
        features = self._features.pop().float()
        decided = logits.max(dim=1).indices
        if self.prototypes is None:
            return TeacherOutput(logits.softmax(dim=1), features, decided)
        return TeacherOutput(
            rectify(initial[0], class_confidence(features, self.prototypes), stride=self._stride), features, decided
        )

    @contextmanager
    def _labelling(self) -> Iterator[None]:
        """For a while, the student as one that labels; nothing is changed for good."""
        if self.teacher is not None:
            yield
            return
        norms = [one for one in self.student.modules() if isinstance(one, nn.modules.batchnorm._BatchNorm)]
        norms = [norm for norm in norms if norm.training]  # others are frozen
        momenta = [norm.momentum for norm in norms]
        self.student.eval()
        for norm in norms:
            norm.train()
            norm.momentum = 0.0  # leaves the running statistics as they are
        try:
            yield
        finally:
            for norm, momentum in zip(norms, momenta):
                norm.momentum = momentum
            models.train_mode(self.student)

    def _remember(self, _: nn.Module, given: tuple[Tensor, ...]) -> None:
        if not torch.is_grad_enabled():  # of a teacher; a student in training has a gradient
            self._features[:] = [given[0].detach()]

    @torch.no_grad()
    def follow(self, number: int) -> None:
        """Let the moving averages follow the student after step ``number``."""
        if self.teacher is not None:
            decay = self._config.ema_decay
            rising = 1 - 1 / (number + 1)  # forgets the first weights soon (UniMatch V2)
            move_average(self.teacher, self.student, min(decay, rising) if self._config.rising_decay else decay)
        if self.averaged is not None:
            move_average(self.averaged, self.student, decay_of(self._config.training, number))

    @torch.no_grad()
    def move_prototypes(self, features: Tensor, decided: Tensor, team: Team) -> None:
        """Let the prototypes follow a batch (RML, Eq. 11).

        Args:
            features: Of this worker's part of it.
            decided: The teacher's classes of the same images.
            team: The workers that share the batch.
        """
        assert self.prototypes is not None
        sums, numbers = (team.add(part) for part in class_sums(features, decided, self._classes, stride=self._stride))
        self.prototypes = moved(self.prototypes, sums, numbers, momentum=self._config.prototype_momentum)

    @torch.no_grad()
    def find_prototypes(self, positions: Sequence[int], work: Workspace) -> None:
        """The prototypes over all train images, as the stage begins (RML, Eq. 10).

        A class that the teacher sees nowhere has the mean of all features: nearness to it then means nothing.
        """
        if self.prototypes is None:
            return
        images = work.dataset.subsets["train"]
        whole = WholeImages(self.labeller.eval(), work, images, models.title(self.description))
        sums, numbers = torch.zeros_like(self.prototypes), torch.zeros_like(self.prototypes[:, 0])
        for places in work.team.share(list(by_size(images, positions, work.eval_batch))):
            chosen = [positions[place] for place in places]
            decided = whole.logits(chosen).max(dim=1).indices
            # The features are those of the padded images, and the padding belongs to no class.
            decided = F.pad(decided, whole.padding(chosen), value=IGNORE)
            found = class_sums(self._features.pop().float(), decided, self._classes, stride=self._stride)
            sums, numbers = sums + found[0], numbers + found[1]
        whole.check()
        sums, numbers = work.team.add(sums), work.team.add(numbers)
        middle = sums.sum(dim=0) / numbers.sum().clamp(min=1)
        means = sums / numbers.clamp(min=1).unsqueeze(1)
        self.prototypes = torch.where((numbers > 0).unsqueeze(1), means, middle)
        models.train_mode(self.student)

    def save(self, out: Path) -> None:
        """Write the student and, where there is one, the moving average of its weights."""
        averaged = self.averaged if self.teacher is None else self.teacher
        weights = None if averaged is None else averaged.state_dict()
        models.save(self.student, out, self.description, name=self.side, averaged=weights)
