"""Label: a teacher's classes and confidences of the unlabelled images, and which of them are sure enough.

One forward pass writes classes and ranking codes to disk as it goes and counts them; then the threshold of each class
is known, and a pass over the files, not over the network, drops what lies below. Nothing grows with the number of
images but the files: 2 bytes a pixel for good, 2 more while it works.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dmt_ray import models
from dmt_ray.data.images import Images
from dmt_ray.data.splits import divide
from dmt_ray.engine.inference import by_size, logits_of
from dmt_ray.engine.labels import CONFIDENCE, LABELS, offsets
from dmt_ray.engine.metrics import confusion_matrix
from dmt_ray.engine.ranking import Ranking, decode, predict, renormalise, select, to_byte
from dmt_ray.engine.workspace import Workspace
from dmt_ray.losses import IGNORE
from dmt_ray.slices import Label

SUMMARY = "summary.json"
_CHUNK = 1 << 24  # pixels that are held in memory while thresholds are applied


def label(
    config: Label, *, seed: int, inputs: Mapping[str, Path], out: Path, scratch: Path, work: Workspace
) -> dict[str, Any]:
    """Let the model in ``inputs["teacher"]`` label; writes labels.npy, confidence.npy and summary.json.

    Returns:
        {"steps": number of images labelled}.
    """
    network, _ = models.load(inputs["teacher"])
    network = network.to(work.device).to(memory_format=torch.channels_last).eval()
    images = work.dataset.subsets["train"]
    positions = divide(config.split, config.data, work.dataset).unlabelled
    renormalised = config.rule == "renormalised"
    passes = 2 if renormalised else 1
    writer = _Writer(out, scratch, images, positions)
    ranking = Ranking(len(work.dataset.classes), work.device)
    done = 0
    for places in by_size(images, positions, work.eval_batch):
        predicted = predict(logits_of(network, work, images, [positions[place] for place in places]))
        ranking.update(predicted.labels, predicted.codes)
        for row, place in enumerate(places):
            writer.write(place, predicted.labels[row], predicted.codes[row])
        done += len(places)
        work.progress(done, passes * len(positions))
    rule: Literal["class_balanced", "global"] = "global" if config.rule == "global" else "class_balanced"
    thresholds = ranking.thresholds(config.share, rule)
    if renormalised:
        _renormalise(network, work, images, positions, decode(thresholds), writer)
    else:
        writer.drop_below(thresholds)
    predicted_pixels = ranking.counts.sum(dim=1).cpu().numpy()
    summary = _summarise(writer, work, images, positions, predicted_pixels)
    summary["thresholds"] = [float(value) for value in decode(thresholds)]
    (out / SUMMARY).write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    writer.close()
    return {"steps": len(positions)}


class _Writer:
    """The flat arrays on disk, addressed by image."""

    def __init__(self, out: Path, scratch: Path, images: Images, positions: tuple[int, ...]) -> None:
        self._offsets = offsets(images, positions)
        self._codes_file = scratch / "codes.npy"
        shape = (int(self._offsets[-1]),)
        create = np.lib.format.open_memmap
        self.labels = create(out / LABELS, mode="w+", dtype=np.uint8, shape=shape)
        self.confidence = create(out / CONFIDENCE, mode="w+", dtype=np.uint8, shape=shape)
        self._codes = create(self._codes_file, mode="w+", dtype=np.uint16, shape=shape)

    def place(self, i: int) -> slice:
        """Where the i-th unlabelled image lies."""
        return slice(int(self._offsets[i]), int(self._offsets[i + 1]))

    def write(self, i: int, labels: torch.Tensor, codes: torch.Tensor) -> None:
        """Classes and codes of the i-th unlabelled image."""
        self.labels[self.place(i)] = labels.flatten().cpu().numpy()
        self._codes[self.place(i)] = codes.flatten().cpu().numpy()

    def drop_below(self, thresholds: NDArray[np.uint16]) -> None:
        """Apply the thresholds, and turn codes into bytes of confidence."""
        for first in range(0, len(self.labels), _CHUNK):
            part = slice(first, first + _CHUNK)
            codes = np.asarray(self._codes[part])
            self.labels[part] = select(np.asarray(self.labels[part]), codes, thresholds)
            self.confidence[part] = to_byte(torch.from_numpy(decode(codes))).numpy()

    def close(self) -> None:
        """Flush what lasts and remove what does not."""
        self.labels.flush()
        self.confidence.flush()
        del self._codes
        self._codes_file.unlink()


def _renormalise(
    network: nn.Module,
    work: Workspace,
    images: Images,
    positions: tuple[int, ...],
    thresholds: NDArray[np.float32],
    writer: _Writer,
) -> None:
    """CBST's own selection. The class can change with the thresholds, so the network has to run a second time."""
    done = len(positions)
    cuts = torch.from_numpy(thresholds).to(work.device)
    for places in by_size(images, positions, work.eval_batch):
        logits = logits_of(network, work, images, [positions[place] for place in places])
        probs = logits.float().softmax(dim=1)
        labels = renormalise(probs, cuts)
        valid = labels != IGNORE
        confidence = probs.gather(1, torch.where(valid, labels, 0).unsqueeze(1)).squeeze(1)
        for row, place in enumerate(places):
            writer.labels[writer.place(place)] = labels[row].flatten().to(torch.uint8).cpu().numpy()
            writer.confidence[writer.place(place)] = to_byte(confidence[row]).flatten().cpu().numpy()
        done += len(places)
        work.progress(done, 2 * len(positions))


def _summarise(
    writer: _Writer,
    work: Workspace,
    images: Images,
    positions: tuple[int, ...],
    predicted: NDArray[np.int64],
) -> dict[str, Any]:
    """Coverage, and where the truth is known accuracy: for analysis only, training never sees it."""
    classes = len(work.dataset.classes)
    kept = np.zeros(classes, np.int64)
    matrix = torch.zeros(classes, classes + 1, dtype=torch.int64)  # the last column is for pixels without a label
    for i, position in enumerate(positions):
        labels = np.asarray(writer.labels[writer.place(i)])
        kept += np.bincount(labels, minlength=IGNORE + 1)[:classes]
        if images.known[position]:
            given = torch.from_numpy(np.where(labels == IGNORE, classes, labels).astype(np.int64))
            truth = torch.from_numpy(images.mask(position).reshape(-1).astype(np.int64))
            matrix += confusion_matrix(given, truth, classes + 1)[:classes]
    right, judged = matrix.diagonal().double(), matrix[:, :classes].sum(dim=0).double()
    total = int(predicted.sum())
    return {
        "images": len(positions),
        "pixels": total,
        "kept": float(kept.sum() / total),
        "predicted": [float(count / total) for count in predicted],
        "coverage": [float(k / p) if p else None for k, p in zip(kept, predicted)],
        "accuracy": float(right.sum() / judged.sum()) if judged.any() else None,
        "class_accuracy": [float(r / j) if j else None for r, j in zip(right, judged)] if judged.any() else None,
    }
