"""Label: a teacher's classes and confidences of the unlabelled images, and which of them are sure enough.

One forward pass writes classes and ranking codes to disk as it goes and counts them; then the threshold of each class
is known, and a pass over the files, not over the network, drops what lies below. Nothing grows with the number of
images but the files: 2 bytes a pixel for good, 2 more while it works.

The workers of a team share the images out. Each keeps its own part until the counts of all are added up and the part
is selected from; then the chief puts the parts together.
"""

import json
from collections.abc import Mapping, Sequence
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
    # Whole batches are shared out: the last bits of an image's logits may depend on the batch that it is in.
    batches = list(by_size(images, positions, work.eval_batch))
    own, team = work.team.share(batches), work.team
    part = _Part(out if team.size == 1 else scratch, scratch, team.rank, images, positions, own)
    ranking = Ranking(len(work.dataset.classes), work.device)
    passes = 2 if config.rule == "renormalised" else 1
    done = 0
    for places in own:
        predicted = predict(logits_of(network, work, images, [positions[place] for place in places]))
        ranking.update(predicted.labels, predicted.codes)
        for row, place in enumerate(places):
            part.write(place, predicted.labels[row], predicted.codes[row])
        done += len(places) * team.size
        work.progress(min(done, len(positions)), passes * len(positions))
    team.add(ranking.counts)
    rule: Literal["class_balanced", "global"] = "global" if config.rule == "global" else "class_balanced"
    thresholds = ranking.thresholds(config.share, rule)
    if config.rule == "renormalised":
        _renormalise(network, work, images, positions, own, decode(thresholds), part)
    else:
        part.drop_below(thresholds)
    predicted_pixels = ranking.counts.sum(dim=1).cpu().numpy()
    summary = _summarise(part, work, images, positions, predicted_pixels)
    summary["thresholds"] = [float(value) for value in decode(thresholds)]
    if team.chief:
        (out / SUMMARY).write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    if team.size > 1:
        _put_together(part, work, images, positions, batches, out)
    part.close(keep=team.size == 1)
    return {"steps": len(positions)}


class _Part:
    """One worker's share of the labels, in flat arrays on disk, addressed by the place of an image in `positions`.

    Args:
        folder: Where the labels go.
        scratch: Where the codes go, for as long as they are needed.
        rank: Of the worker, so that several can share the folders.
        images: The train images.
        positions: The unlabelled images.
        own: Batches of places that this worker labels.
    """

    def __init__(
        self,
        folder: Path,
        scratch: Path,
        rank: int,
        images: Images,
        positions: Sequence[int],
        own: Sequence[list[int]],
    ) -> None:
        self.places = sorted(place for batch in own for place in batch)
        self._offsets = offsets(images, [positions[place] for place in self.places])
        self._index = {place: index for index, place in enumerate(self.places)}
        prefix = f"{rank}-" if rank or folder == scratch else ""
        self._files = [folder / f"{prefix}{name}" for name in (LABELS, CONFIDENCE)]
        self._codes_file = scratch / f"{rank}-codes.npy"
        size = int(self._offsets[-1])
        self.labels, self.confidence = (_flat(file, np.uint8, size) for file in self._files)
        self._codes = _flat(self._codes_file, np.uint16, size)

    def place(self, place: int) -> slice:
        """Where an image lies."""
        index = self._index[place]
        return slice(int(self._offsets[index]), int(self._offsets[index + 1]))

    def write(self, place: int, labels: torch.Tensor, codes: torch.Tensor) -> None:
        """Classes and codes of an image."""
        self.labels[self.place(place)] = labels.flatten().cpu().numpy()
        self._codes[self.place(place)] = codes.flatten().cpu().numpy()

    def drop_below(self, thresholds: NDArray[np.uint16]) -> None:
        """Apply the thresholds, and turn codes into bytes of confidence."""
        for first in range(0, len(self.labels), _CHUNK):
            part = slice(first, first + _CHUNK)
            codes = np.asarray(self._codes[part])
            self.labels[part] = select(np.asarray(self.labels[part]), codes, thresholds)
            self.confidence[part] = to_byte(torch.from_numpy(decode(codes))).numpy()

    def close(self, *, keep: bool) -> None:
        """Flush what lasts and remove what does not."""
        for array, file in zip((self.labels, self.confidence), self._files):
            if keep and isinstance(array, np.memmap):
                array.flush()
            if not keep:
                file.unlink()
        del self._codes
        self._codes_file.unlink()


def _flat(file: Path, dtype: type[np.generic], size: int) -> NDArray[Any]:
    if size:
        return np.lib.format.open_memmap(file, mode="w+", dtype=dtype, shape=(size,))
    empty = np.zeros(0, dtype)  # an empty file cannot be mapped
    np.save(file, empty)
    return empty


def _put_together(
    part: _Part, work: Workspace, images: Images, positions: Sequence[int], batches: Sequence[list[int]], out: Path
) -> None:
    """Bring the parts of all workers to the chief, who writes them as one."""
    team = work.team
    if not team.chief:
        for place in part.places:
            team.send_to_chief(part.labels[part.place(place)])
            team.send_to_chief(part.confidence[part.place(place)])
        return
    ends = offsets(images, positions)
    whole = [_flat(out / name, np.uint8, int(ends[-1])) for name in (LABELS, CONFIDENCE)]
    for rank in range(team.size):
        for place in sorted(place for batch in batches[rank :: team.size] for place in batch):
            there = slice(int(ends[place]), int(ends[place + 1]))
            for array, own in zip(whole, (part.labels, part.confidence)):
                if rank:
                    team.take_from(rank, array[there])
                else:
                    array[there] = own[part.place(place)]
    for array in whole:
        if isinstance(array, np.memmap):
            array.flush()


def _renormalise(
    network: nn.Module,
    work: Workspace,
    images: Images,
    positions: Sequence[int],
    own: Sequence[list[int]],
    thresholds: NDArray[np.float32],
    part: _Part,
) -> None:
    """CBST's own selection. The class can change with the thresholds, so the network has to run a second time."""
    done = len(positions)
    cuts = torch.from_numpy(thresholds).to(work.device)
    for places in own:
        logits = logits_of(network, work, images, [positions[place] for place in places])
        probs = logits.float().softmax(dim=1)
        labels = renormalise(probs, cuts)
        valid = labels != IGNORE
        confidence = probs.gather(1, torch.where(valid, labels, 0).unsqueeze(1)).squeeze(1)
        for row, place in enumerate(places):
            part.labels[part.place(place)] = labels[row].flatten().to(torch.uint8).cpu().numpy()
            part.confidence[part.place(place)] = to_byte(confidence[row]).flatten().cpu().numpy()
        done += len(places) * work.team.size
        work.progress(min(done, 2 * len(positions)), 2 * len(positions))


def _summarise(
    part: _Part,
    work: Workspace,
    images: Images,
    positions: Sequence[int],
    predicted: NDArray[np.int64],
) -> dict[str, Any]:
    """Coverage, and where the truth is known accuracy: for analysis only, training never sees it."""
    classes = len(work.dataset.classes)
    kept = torch.zeros(classes, dtype=torch.int64)
    matrix = torch.zeros(classes, classes + 1, dtype=torch.int64)  # the last column is for pixels without a label
    for place in part.places:
        labels = np.asarray(part.labels[part.place(place)])
        kept += torch.from_numpy(np.bincount(labels, minlength=IGNORE + 1)[:classes])
        position = positions[place]
        if images.known[position]:
            given = torch.from_numpy(np.where(labels == IGNORE, classes, labels).astype(np.int64))
            truth = torch.from_numpy(images.mask(position).reshape(-1).astype(np.int64))
            matrix += confusion_matrix(given, truth, classes + 1)[:classes]
    work.team.add(kept)
    work.team.add(matrix)
    right, judged = matrix.diagonal().double(), matrix[:, :classes].sum(dim=0).double()
    total = int(predicted.sum())
    return {
        "images": len(positions),
        "pixels": total,
        "kept": float(int(kept.sum()) / total),
        "predicted": [float(count / total) for count in predicted],
        "coverage": [k / float(p) if p else None for k, p in zip(kept.tolist(), predicted)],
        "accuracy": float(right.sum() / judged.sum()) if judged.any() else None,
        "class_accuracy": [float(r / j) if j else None for r, j in zip(right, judged)] if judged.any() else None,
    }
