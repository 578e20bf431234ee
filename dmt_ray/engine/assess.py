"""Assess: which labels of one teacher another one agrees with (RWMS)."""

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dmt_ray import IGNORE, models
from dmt_ray.data.splits import divide
from dmt_ray.engine.inference import WholeImages, by_size
from dmt_ray.engine.metrics import iou
from dmt_ray.engine.pseudo_labels import PseudoLabels, flush, offsets, open_flat
from dmt_ray.engine.team import Team
from dmt_ray.engine.transfer import to_host, upload
from dmt_ray.engine.workspace import Workspace
from dmt_ray.plan.files import AGREEMENT, RANK, SUMMARY
from dmt_ray.plan.operations.assess import Assess

_FLOAT = np.dtype(np.float64).itemsize


def assess(config: Assess, work: Workspace) -> int:
    """Let the model in ``work.inputs["judge"]`` judge the labels of all unlabelled images in ``work.inputs["labels"]``.

    Writes rank.npy (`ranks_of`, uint8, in the layout of labels.npy), agreement.csv (each image's id and `agreement_of`)
    and summary.json: the mean agreement, in Table 4 of RWMS the "difference" of the teachers, and the share of the
    pixels that has each rank, 1 first.

    Returns:
        Number of images.

    Raises:
        ValueError: If there are more classes than a byte has ranks.
    """
    classes, team = len(work.dataset.classes), work.team
    if classes > IGNORE:
        raise ValueError(f"a rank is kept in one byte, for up to {IGNORE} classes, but there are {classes}")
    network, description = models.load(work.inputs["judge"])
    network = network.to(work.device).to(memory_format=torch.channels_last).eval()
    images = work.dataset.subsets["train"]
    positions = divide(config.split, config.data, work.dataset).unlabelled
    labels = PseudoLabels(images, positions, work.inputs["labels"])
    ends = offsets(images, positions)
    batches = list(by_size(images, positions, work.eval_batch))
    agreement, counts, done = np.zeros(len(positions)), np.zeros(IGNORE + 1, np.int64), 0
    ranks = open_flat(work.out / RANK, np.uint8, int(ends[-1])) if team.chief else None
    whole = WholeImages(network, work, images, models.title(description))
    judged = to_host(_judged(whole, labels, team.share(batches), classes))
    packed = ((places, _pack(*arrays)) for places, arrays in judged)
    for places, rows in _at_the_chief(packed, team, batches, np.diff(ends)):
        for place, row in zip(places, rows):
            assert ranks is not None  # only the chief is given images
            ranks[ends[place] : ends[place + 1]] = row[:-_FLOAT]
            agreement[place] = row[-_FLOAT:].view(np.float64)[0]
            counts += np.bincount(row[:-_FLOAT], minlength=len(counts))
        done += len(places)
        work.progress(done, len(positions))
    whole.check()
    if ranks is not None:
        flush([ranks])
        ids = [images.ids[position] for position in positions]
        write_csv(work.out / AGREEMENT, ("id", "agreement"), zip(ids, agreement.tolist()))
        summary = {
            "images": len(positions),
            "pixels": int(ends[-1]),
            "agreement": float(agreement.mean()),
            "ranks": (counts[1 : classes + 1] / ends[-1]).tolist(),
        }
        (work.out / SUMMARY).write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return len(positions)


def ranks_of(logits: Tensor, labels: Tensor) -> Tensor:
    """Place of each label among the classes in falling order of probability: x of RWMS, Eq. 4.

    1 where no class is more probable; equal classes share the better place. Logits have the order of the softmax, and
    keep apart what its rounding does not.

    Args:
        logits: Of the judge, ``[N, K, H, W]``, any floating type, K at most 255.
        labels: Classes or `IGNORE`, integers ``[N, H, W]``.

    Returns:
        uint8 ``[N, H, W]``, 1 ... K; K, the least, where there is no label to judge.
    """
    valid = labels != IGNORE
    own = logits.gather(1, torch.where(valid, labels, 0).long().unsqueeze(1))
    ranks = 1 + (logits > own).sum(dim=1)
    return torch.where(valid, ranks, logits.shape[1]).to(torch.uint8)


def agreement_of(labels: Tensor, others: Tensor, classes: int) -> Tensor:
    """mIoU of two labellings for each image: its reliability (RWMS, Reliability Assessment).

    It is the mean over the classes that occur in either labelling of the image.

    Args:
        labels: Classes or `IGNORE`, integers ``[N, H, W]``; a pixel that is `IGNORE` is left out.
        others: Classes, of the same shape.
        classes: Their number K.

    Returns:
        float64 ``[N]`` in ``[0, 1]``; 0 for an image of which no pixel is left.
    """
    count = len(labels)
    image = torch.arange(count, device=labels.device).view(-1, 1)
    cells = (image * classes + labels.flatten(1).long()) * classes + others.flatten(1).long()
    # One cell more for pixels without a label: to leave them out here would make the host wait.
    cells = torch.where(labels.flatten(1) == IGNORE, count * classes**2, cells).flatten()
    counts = torch.zeros(count * classes**2 + 1, dtype=torch.int64, device=labels.device)
    counts.scatter_add_(0, cells, torch.ones_like(cells))
    return iou(counts[:-1].view(count, classes, classes)).nanmean(dim=1).nan_to_num(0.0)


@torch.inference_mode()
def _judged(
    whole: WholeImages, labels: PseudoLabels, batches: Sequence[list[int]], classes: int
) -> Iterator[tuple[list[int], tuple[Tensor, Tensor]]]:
    """Ranks and agreement of the images of each batch; the host does not wait for the device."""
    for places in batches:
        logits = whole.logits([labels.positions[place] for place in places]).float()
        given = upload([labels.of(place)[0][np.newaxis] for place in places], logits.device)
        yield places, (ranks_of(logits, given), agreement_of(given, logits.argmax(dim=1), classes))


def _pack(ranks: NDArray[np.uint8], agreement: NDArray[np.float64]) -> NDArray[np.uint8]:
    """A row of bytes for each image: its ranks, and its agreement behind them."""
    return np.concatenate([ranks.reshape(len(ranks), -1), agreement.reshape(-1, 1).view(np.uint8)], axis=1)


def _at_the_chief(
    own: Iterator[tuple[list[int], NDArray[np.uint8]]],
    team: Team,
    batches: Sequence[list[int]],
    areas: NDArray[np.int64],
) -> Iterator[tuple[list[int], NDArray[np.uint8]]]:
    """What all workers found, at the chief, as it comes: a batch of each in turn. The others get no images."""
    for turn, (places, rows) in enumerate(own):
        if not team.chief:
            team.send_to_chief(rows)
            yield [], rows
            continue
        yield places, rows
        for rank, others in enumerate(batches[turn * team.size + 1 : (turn + 1) * team.size], start=1):
            taken = np.empty((len(others), int(areas[others[0]]) + _FLOAT), np.uint8)
            team.take_from(rank, taken)
            yield others, taken


def write_csv(file: Path, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file."""
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(rows)
