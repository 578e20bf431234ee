"""Assess and compose: which labels two teachers agree on, and what a phase of training is given (RWMS, Algorithm 1)."""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dmt_ray import IGNORE, models
from dmt_ray.data.splits import divide
from dmt_ray.engine.augment import FOR_LOTS, draw
from dmt_ray.engine.inference import WholeImages, by_size
from dmt_ray.engine.labelling import summarise
from dmt_ray.engine.labels import PseudoLabels, offsets
from dmt_ray.engine.metrics import Confusion, iou
from dmt_ray.engine.schedule import images_of
from dmt_ray.engine.team import ALONE, Team
from dmt_ray.engine.transfer import fetch, upload
from dmt_ray.engine.workspace import Workspace
from dmt_ray.plan.files import AGREEMENT, IMAGES, LABELS, ORDER, RANK, SUMMARY
from dmt_ray.plan.slices import Assess, Compose

_FLOAT = np.dtype(np.float64).itemsize


def assess(
    config: Assess, *, seed: int, inputs: Mapping[str, Path], out: Path, scratch: Path, work: Workspace
) -> dict[str, Any]:
    """Let the model in ``inputs["judge"]`` judge the labels of all unlabelled images in ``inputs["labels"]``.

    Writes rank.npy (`ranks_of`, uint8, in the layout of labels.npy), agreement.csv (each image's id and `agreement_of`)
    and summary.json: the mean agreement, in Table 4 of RWMS the "difference" of the teachers, and the share of the
    pixels that has each rank, 1 first.

    Returns:
        {"steps": number of images}.

    Raises:
        ValueError: If there are more classes than a byte has ranks.
    """
    classes, team = len(work.dataset.classes), work.team
    if classes > IGNORE:
        raise ValueError(f"a rank is kept in one byte, for up to {IGNORE} classes, but there are {classes}")
    network, _ = models.load(inputs["judge"])
    network = network.to(work.device).to(memory_format=torch.channels_last).eval()
    images = work.dataset.subsets["train"]
    positions = divide(config.split, config.data, work.dataset).unlabelled
    labels = PseudoLabels(images, positions, inputs["labels"])
    ends = offsets(images, positions)
    batches = list(by_size(images, positions, work.eval_batch))
    agreement, counts, done = np.zeros(len(positions)), np.zeros(IGNORE + 1, np.int64), 0
    ranks = _flat(out / RANK, int(ends[-1])) if team.chief else None
    judged = fetch(_judged(WholeImages(network, work, images), labels, team.share(batches), classes))
    packed = ((places, _pack(*arrays)) for places, arrays in judged)
    for places, rows in _at_the_chief(packed, team, batches, np.diff(ends)):
        for place, row in zip(places, rows):
            assert ranks is not None  # only the chief is given images
            ranks[ends[place] : ends[place + 1]] = row[:-_FLOAT]
            agreement[place] = row[-_FLOAT:].view(np.float64)[0]
            counts += np.bincount(row[:-_FLOAT], minlength=len(counts))
        done += len(places)
        work.progress(done, len(positions))
    if ranks is not None:
        ranks.flush()
        ids = [images.ids[position] for position in positions]
        _write_csv(out / AGREEMENT, ("id", "agreement"), zip(ids, agreement.tolist()))
        summary = {
            "images": len(positions),
            "pixels": int(ends[-1]),
            "agreement": float(agreement.mean()),
            "ranks": (counts[1 : classes + 1] / ends[-1]).tolist(),
        }
        (out / SUMMARY).write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return {"steps": len(positions)}


def compose(
    config: Compose, *, seed: int, inputs: Mapping[str, Path], out: Path, scratch: Path, work: Workspace
) -> dict[str, Any]:
    """Put the labels of a phase together, with the rank of each (RWMS, Algorithm 1, lines 4, 6 and 8).

    The images that come first are those whose labels in ``inputs["labels"]`` the judge of ``inputs["assessed"]`` agrees
    with most (of equal ones the earlier), or as many by lot. The others are left out, or take their labels from
    ``inputs["rest"]``. All ranks are those of ``inputs["assessed"]``: the weight graphs are computed once (line 5).

    Writes labels.npy and rank.npy; images.npy, where not all images have labels; order.csv (id, agreement, and 1 where
    the image comes first); and summary.json, as `labelling.label` with the mean agreement of the first images and of
    the others (RWMS, Fig. 4).

    Returns:
        {"steps": number of unlabelled images}.
    """
    images = work.dataset.subsets["train"]
    positions = divide(config.split, config.data, work.dataset).unlabelled
    agreement = _read_agreement(inputs["assessed"])
    early = first_images(config, agreement, seed)
    places = np.arange(len(positions)) if config.whole else np.flatnonzero(early)
    if not work.team.chief:
        return {"steps": len(positions)}
    labels = PseudoLabels(images, positions, inputs["labels"])
    rest = PseudoLabels(images, positions, inputs["rest"]) if "rest" in inputs else labels
    assessed = np.load(inputs["assessed"] / RANK, mmap_mode="r", allow_pickle=False)
    given, ends = offsets(images, positions), offsets(images, [positions[place] for place in places])
    written = [_flat(out / name, int(ends[-1])) for name in (LABELS, RANK)]
    if len(places) < len(positions):
        np.save(out / IMAGES, places.astype(np.int64))
    classes = len(work.dataset.classes)
    predicted = np.zeros(IGNORE + 1, np.int64)
    judged = Confusion(classes + 1, work.device)  # one more for pixels without a label
    for i, place in enumerate(places):
        label, _ = (labels if early[place] else rest).of(int(place))
        there = slice(int(ends[i]), int(ends[i + 1]))
        written[0][there] = label.reshape(-1)
        written[1][there] = assessed[given[place] : given[place + 1]]
        predicted += np.bincount(label.reshape(-1), minlength=len(predicted))
        truth = upload([images.mask(positions[place])], work.device)
        judged.update(upload([np.where(label == IGNORE, classes, label)], work.device), truth)
        work.progress(int(place) + 1, len(positions))
    for array in written:
        array.flush()
    ids = [images.ids[position] for position in positions]
    order = zip(ids, agreement.tolist(), early.astype(int).tolist())
    _write_csv(out / ORDER, ("id", "agreement", "first"), order)
    alone = replace(work, team=ALONE)  # the others have nothing to add
    summary = summarise(judged, alone, len(places), predicted[:classes])
    summary |= {"pixels": int(ends[-1]), "kept": float(predicted[:classes].sum() / ends[-1])}
    for name, group in (("first", early), ("rest", ~early)):
        summary[f"agreement_of_{name}"] = float(agreement[group].mean()) if group.any() else None
    (out / SUMMARY).write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return {"steps": len(positions)}


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


def first_images(config: Compose, agreement: NDArray[np.float64], seed: int) -> NDArray[np.bool_]:
    """Which images come first: those with the highest agreement (of equal ones the earlier), or as many by lot."""
    count = len(agreement)
    lots = draw(seed, 0, 0, range(count), numbers=1, use=FOR_LOTS)[:, 0] if config.by == "chance" else -agreement
    first = np.zeros(count, np.bool_)
    first[np.argsort(lots, kind="stable")[: images_of(count, config.first)]] = True
    return first


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


def _flat(file: Path, size: int) -> np.memmap[Any, np.dtype[np.uint8]]:
    return np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=(size,))


def _write_csv(file: Path, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(rows)


def _read_agreement(folder: Path) -> NDArray[np.float64]:
    with (folder / AGREEMENT).open(encoding="utf-8", newline="") as stream:
        return np.array([float(row["agreement"]) for row in csv.DictReader(stream)])
