"""Compose: what a phase of training is given to learn from (RWMS, Algorithm 1)."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dmt_ray import IGNORE
from dmt_ray.data.splits import divide
from dmt_ray.engine.assess import write_csv
from dmt_ray.engine.augment import FOR_LOTS, draw
from dmt_ray.engine.label import summarise
from dmt_ray.engine.metrics import Confusion
from dmt_ray.engine.pseudo_labels import PseudoLabels, flush, offsets, open_flat
from dmt_ray.engine.team import ALONE
from dmt_ray.engine.transfer import upload
from dmt_ray.engine.workspace import Workspace
from dmt_ray.plan.amounts import images_of
from dmt_ray.plan.files import AGREEMENT, IMAGES, LABELS, ORDER, RANK, SUMMARY
from dmt_ray.plan.operations.compose import Compose


def compose(config: Compose, work: Workspace) -> int:
    """Put the labels of a phase together, with the rank of each (RWMS, Algorithm 1, lines 4, 6 and 8).

    The images that come first are those whose labels in ``work.inputs["labels"]`` the judge of
    ``work.inputs["assessed"]`` agrees with most (of equal ones the earlier), or as many at random. The others are left
    out, or take their labels from ``work.inputs["rest"]``. All ranks are those of ``work.inputs["assessed"]``: the
    weight graphs are computed once (line 5).

    Writes labels.npy and rank.npy; images.npy, where not all images have labels; order.csv (id, agreement, and 1 where
    the image comes first); and summary.json, as `label` with the mean agreement of the first images and of
    the others (RWMS, Fig. 4).

    Returns:
        Number of unlabelled images.
    """
    images = work.dataset.subsets["train"]
    positions = divide(config.split, config.data, work.dataset).unlabelled
    agreement = _read_agreement(work.inputs["assessed"])
    early = first_images(config, agreement, work.seed)
    places = np.arange(len(positions)) if config.whole else np.flatnonzero(early)
    if not work.team.chief:
        return len(positions)
    labels = PseudoLabels(images, positions, work.inputs["labels"])
    rest = PseudoLabels(images, positions, work.inputs["rest"]) if "rest" in work.inputs else labels
    assessed = np.load(work.inputs["assessed"] / RANK, mmap_mode="r", allow_pickle=False)
    given, ends = offsets(images, positions), offsets(images, [positions[place] for place in places])
    written = [open_flat(work.out / name, np.uint8, int(ends[-1])) for name in (LABELS, RANK)]
    if len(places) < len(positions):
        np.save(work.out / IMAGES, places.astype(np.int64))
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
    flush(written)
    ids = [images.ids[position] for position in positions]
    order = zip(ids, agreement.tolist(), early.astype(int).tolist())
    write_csv(work.out / ORDER, ("id", "agreement", "first"), order)
    alone = replace(work, team=ALONE)  # the others have nothing to add
    summary = summarise(judged, alone, len(places), predicted[:classes])
    summary |= {"pixels": int(ends[-1]), "kept": float(predicted[:classes].sum() / ends[-1])}
    for name, group in (("first", early), ("rest", ~early)):
        summary[f"agreement_of_{name}"] = float(agreement[group].mean()) if group.any() else None
    (work.out / SUMMARY).write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return len(positions)


def first_images(config: Compose, agreement: NDArray[np.float64], seed: int) -> NDArray[np.bool_]:
    """Which images come first: those with the highest agreement (of equal ones the earlier), or as many at random."""
    count = len(agreement)
    lots = draw(seed, 0, 0, range(count), numbers=1, use=FOR_LOTS)[:, 0] if config.by == "chance" else -agreement
    first = np.zeros(count, np.bool_)
    first[np.argsort(lots, kind="stable")[: images_of(count, config.first)]] = True
    return first


def _read_agreement(folder: Path) -> NDArray[np.float64]:
    with (folder / AGREEMENT).open(encoding="utf-8", newline="") as stream:
        return np.array([float(row["agreement"]) for row in csv.DictReader(stream)])
