"""Adopt: labels of the unlabelled images from elsewhere, those of them that have proved right on the labelled ones."""

import json
from dataclasses import replace

import numpy as np
import torch

from dmt_ray import IGNORE
from dmt_ray.data.elsewhere import LEVELS, SURE, ExternalMasks
from dmt_ray.data.splits import divide
from dmt_ray.engine.label import SHARES, summarise
from dmt_ray.engine.metrics import Confusion
from dmt_ray.engine.pseudo_labels import flush, offsets, open_flat
from dmt_ray.engine.ranking import Tally, encode, to_byte
from dmt_ray.engine.team import ALONE
from dmt_ray.engine.workspace import Workspace
from dmt_ray.errors import DataError
from dmt_ray.plan.files import CONFIDENCE, LABELS, SUMMARY
from dmt_ray.plan.operations.adopt import Adopt


def adopt(config: Adopt, work: Workspace) -> int:
    """Write labels.npy, confidence.npy and summary.json, as `label` does; the chief of a team does it alone.

    summary.json holds beside what `label` writes: drafted, the share of the pixels that had a label before the
    selection; and of each class the precision that it reached on the labelled images and the pixels judged there. The
    threshold of a class that is left out is None.

    Returns:
        Number of images read.

    Raises:
        DataError: If a file cannot be used, or the files are not those that the settings were made for.
    """
    parts = divide(config.split, config.data, work.dataset)
    count = len(parts.labelled) + len(parts.unlabelled)
    if not work.team.chief:
        return count
    images, classes = work.dataset.subsets["train"], len(work.dataset.classes)
    masks = ExternalMasks(config.external, images, work.dataset.classes, config.data.size is not None)
    if config.external.fingerprint not in ("", masks.fingerprint()):
        raise DataError(f"the files in {config.external.masks} have changed since the start: start again")
    made = masks.calibrate(parts.labelled)
    lowest = np.full(IGNORE + 1, LEVELS)  # of a class that is left out, and of no label, no pixel counts
    for k, threshold in enumerate(made.thresholds):
        lowest[k] = LEVELS if threshold is None else threshold
    begins = offsets(images, parts.unlabelled)
    labels, confidence = (open_flat(work.out / name, np.uint8, int(begins[-1])) for name in (LABELS, CONFIDENCE))
    predicted, judged, tally = np.zeros(classes, np.int64), Confusion(classes + 1), Tally()
    for place, position in enumerate(parts.unlabelled):
        drafted, levels = (array.reshape(-1) for array in masks.of(position))
        kept = np.where(levels >= lowest[drafted], drafted, IGNORE).astype(np.uint8)
        sure = torch.from_numpy(levels.astype(np.float32)) / SURE
        there = slice(int(begins[place]), int(begins[place + 1]))
        labels[there], confidence[there] = kept, to_byte(sure).numpy()
        predicted += np.bincount(drafted, minlength=IGNORE + 1)[:classes]
        truth = np.array(images.mask(position).reshape(-1))
        judged.update(torch.from_numpy(np.where(kept == IGNORE, classes, kept)), torch.from_numpy(truth))
        truth[drafted == IGNORE] = IGNORE
        tally.update(torch.from_numpy(drafted), encode(1 - sure), torch.from_numpy(truth))
        work.progress(len(parts.labelled) + place + 1, count)
    flush((labels, confidence))
    if not predicted.any():
        raise DataError(f"the masks of the unlabelled images in {config.external.masks} hold no label")
    # `summarise` divides by the pixels that had a label: all, of other teachers. Here "kept" is brought to all pixels.
    summary = summarise(judged, replace(work, team=ALONE), len(parts.unlabelled), predicted)
    drafted_share = int(predicted.sum()) / int(begins[-1])
    summary |= {"pixels": int(begins[-1]), "drafted": drafted_share, "kept": summary["kept"] * drafted_share}
    summary["thresholds"] = [None if level is None else level / SURE for level in made.thresholds]
    summary |= {"precision": made.precision, "judged": made.judged}
    summary["error_by_share"] = dict(zip(map(str, SHARES), tally.errors(SHARES), strict=True))
    (work.out / SUMMARY).write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return count
