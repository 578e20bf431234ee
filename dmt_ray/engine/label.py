"""Label: a teacher's classes and confidences of the unlabelled images, and which of them are sure enough.

One forward pass writes classes and ranking codes to disk as it goes and counts them; then the threshold of each class
is known, and a pass over the files, not over the network, drops what lies below. Nothing grows with the number of
images but the files: 2 bytes a pixel for good, 2 more while it works. The device computes a batch while the last one is
written and the next one read.

The workers of a team share the images out. Each keeps its own part until the counts of all are added up and the part
is selected from; then the chief puts the parts together.

In classification, where a label and its code are 3 bytes an image, the most confident are found by sorting, exactly;
and images that have no label are left out of the files.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dmt_ray import IGNORE, models
from dmt_ray.data.images import Images
from dmt_ray.data.splits import divide
from dmt_ray.engine.inference import WholeImages, by_size
from dmt_ray.engine.metrics import Confusion
from dmt_ray.engine.pseudo_labels import flush, offsets, open_flat
from dmt_ray.engine.ranking import (
    CERTAIN,
    Codes,
    Prediction,
    Ranking,
    Tally,
    decode,
    most_confident,
    predict,
    renormalise,
    select,
    to_byte,
)
from dmt_ray.engine.team import Team
from dmt_ray.engine.transfer import to_host, upload
from dmt_ray.engine.workspace import Workspace
from dmt_ray.plan.files import CONFIDENCE, IMAGES, LABELS, SUMMARY
from dmt_ray.plan.operations.label import Label

SHARES = (0.2, 0.4, 0.6, 0.8, 1.0)  # most confident fractions of the labels, whose errors summary.json holds
Batches = Sequence[list[int]]  # of places in `Parts.unlabelled`
_CHUNK = 1 << 22  # pixels that are held in memory while thresholds are applied, or parts put together


def label(config: Label, work: Workspace) -> int:
    """Let the model in ``work.inputs["teacher"]`` label; writes labels.npy, confidence.npy and summary.json.

    In classification also images.npy, the places in `Parts.unlabelled` of the images that are labelled, int64; the
    other two files hold these alone.

    Returns:
        Number of images labelled.
    """
    network, description = models.load(work.inputs["teacher"])
    network = network.to(work.device).to(memory_format=torch.channels_last).eval()
    images = work.dataset.subsets["train"]
    positions = divide(config.split, config.data, work.dataset).unlabelled
    # Whole batches are shared out: the last bits of an image's logits may depend on the batch that it is in.
    batches = list(by_size(images, positions, work.eval_batch))
    own, team = work.team.share(batches), work.team
    part = _Part(work, images, positions, own)
    whole = WholeImages(network, work, images, models.title(description))
    ranking = Ranking(len(work.dataset.classes), work.device)
    total, done = len(positions) * (2 if config.rule == "renormalised" else 1), 0
    for places, (labels, codes) in to_host(predictions(whole, positions, own, ranking)):
        for row, place in enumerate(places):
            part.labels[part.place(place)] = labels[row].reshape(-1)
            part.codes[part.place(place)] = codes[row].reshape(-1)
        done += len(places) * team.size
        work.progress(min(done, len(positions)), total)
    whole.check()
    team.add(ranking.counts)
    rule: Literal["class_balanced", "global"] = "global" if config.rule == "global" else "class_balanced"
    thresholds = ranking.thresholds(config.share, rule)
    by_image = work.dataset.task == "classification"
    tally = Tally(work.device)
    judged = Confusion(len(work.dataset.classes) + 1, work.device)  # one more for pixels without a label
    if config.rule == "renormalised":
        done, cuts = len(positions), decode(upload([thresholds], work.device))
        for places, (labels, confidence) in to_host(_renormalised(whole, positions, own, cuts, judged, tally)):
            for row, place in enumerate(places):
                part.labels[part.place(place)] = labels[row].reshape(-1)
                part.confidence[part.place(place)] = confidence[row].reshape(-1)
            done += len(places) * team.size
            work.progress(min(done, total), total)
    else:
        kept = None
        if by_image:
            classes = len(work.dataset.classes)
            kept, thresholds = _most_confident_images(part, len(positions), config.share, rule, team, classes)
        cuts = upload([thresholds], work.device)
        for there, (labels, confidence) in to_host(_selected(part, cuts, kept, judged, tally)):
            part.labels[there], part.confidence[there] = labels, confidence
    summary = summarise(judged, work, len(positions), ranking.counts.sum(dim=1).cpu().numpy())
    summary["thresholds"] = [float(value) for value in decode(torch.from_numpy(thresholds))]
    team.add(tally.counts)
    summary["error_by_share"] = dict(zip(map(str, SHARES), tally.errors(SHARES)))
    if team.chief:
        (work.out / SUMMARY).write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    if team.size > 1:
        _put_together(part, work, images, positions, batches)
    part.close(keep=team.size == 1)
    if by_image and team.chief:
        _leave_out_unlabelled(work.out)
    return len(positions)


class _Layout:
    """Where some images lie in a flat array of their pixels, addressed by their places in `positions`."""

    def __init__(self, images: Images, positions: Sequence[int], batches: Batches) -> None:
        self._images, self._positions = images, positions
        self.places = sorted(place for batch in batches for place in batch)
        self._offsets = offsets(images, [positions[place] for place in self.places])
        self._index = {place: index for index, place in enumerate(self.places)}
        self.pixels = int(self._offsets[-1])

    def truth(self, places: Sequence[int], device: torch.device) -> Tensor:
        """The true labels of some images, one after the other."""
        return upload([self._images.mask(self._positions[place]).reshape(-1) for place in places], device)

    def place(self, place: int) -> slice:
        """Where an image lies."""
        index = self._index[place]
        return slice(int(self._offsets[index]), int(self._offsets[index + 1]))

    def runs(self) -> Iterator[tuple[list[int], slice]]:
        """The images in their order, as many at a time as have about `_CHUNK` pixels, and where these lie."""
        run: list[int] = []
        for place in self.places:
            run.append(place)
            there = slice(self.place(run[0]).start, self.place(place).stop)
            if there.stop - there.start >= _CHUNK or place == self.places[-1]:
                yield run, there
                run = []


class _Part(_Layout):
    """One worker's share of the labels, in flat arrays on disk; codes are there for as long as they are needed."""

    def __init__(self, work: Workspace, images: Images, positions: Sequence[int], own: Batches) -> None:
        super().__init__(images, positions, own)
        rank, folder = work.team.rank, work.out if work.team.size == 1 else work.scratch
        prefix = f"{rank}-" if rank or folder == work.scratch else ""  # several workers can share the folders
        self._files = [folder / f"{prefix}{name}" for name in (LABELS, CONFIDENCE)]
        self._codes_file = work.scratch / f"{rank}-codes.npy"
        self.labels, self.confidence = (open_flat(file, np.uint8, self.pixels) for file in self._files)
        self.codes = open_flat(self._codes_file, np.uint16, self.pixels)

    def close(self, *, keep: bool) -> None:
        """Flush what lasts and remove what does not."""
        if keep:
            flush((self.labels, self.confidence))
        for file in () if keep else self._files:
            file.unlink(missing_ok=True)
        del self.codes
        self._codes_file.unlink(missing_ok=True)


def _put_together(part: _Part, work: Workspace, images: Images, positions: Sequence[int], batches: Batches) -> None:
    """Bring the parts of all workers to the chief, which writes them as one."""
    team = work.team
    if not team.chief:
        for _, there in part.runs():
            team.send_to_chief(part.labels[there])
            team.send_to_chief(part.confidence[there])
        return
    together = _Layout(images, positions, batches)
    whole = [open_flat(work.out / name, np.uint8, together.pixels) for name in (LABELS, CONFIDENCE)]
    for rank in range(team.size):
        layout = _Layout(images, positions, batches[rank :: team.size])
        for run, there in layout.runs():
            for array, own in zip(whole, (part.labels, part.confidence)):
                received = np.empty(there.stop - there.start, np.uint8) if rank else own[there]
                if rank:
                    team.take_from(rank, received)
                for place in run:
                    at = layout.place(place)
                    array[together.place(place)] = received[at.start - there.start : at.stop - there.start]
    flush(whole)


@torch.inference_mode()
def predictions(
    whole: WholeImages, positions: Sequence[int], batches: Batches, ranking: Ranking
) -> Iterator[tuple[list[int], Prediction]]:
    """Classes and codes of the images of each batch, counted; the host does not wait for the device."""
    for places in batches:
        prediction = predict(whole.logits([positions[place] for place in places]))
        ranking.update(prediction.labels, prediction.codes)
        yield places, prediction


@torch.inference_mode()
def _renormalised(
    whole: WholeImages, positions: Sequence[int], batches: Batches, cuts: Tensor, judged: Confusion, tally: Tally
) -> Iterator[tuple[list[int], tuple[Tensor, Tensor]]]:
    """CBST's own selection. The class can change with the thresholds, so the network has to run a second time."""
    for places in batches:
        chosen = [positions[place] for place in places]
        logits, truth = whole.logits(chosen), whole.masks(chosen)
        tally.update(*predict(logits), truth)
        probs = logits.float().softmax(dim=1)
        labels = renormalise(probs, cuts)
        valid = labels != IGNORE
        confidence = probs.gather(1, torch.where(valid, labels, 0).unsqueeze(1)).squeeze(1)
        judged.update(torch.where(valid, labels, len(cuts)), truth)
        yield places, (labels.to(torch.uint8), to_byte(confidence))


def _most_confident_images(
    part: _Part, images: int, share: float, rule: Literal["class_balanced", "global"], team: Team, classes: int
) -> tuple[NDArray[np.bool_], Codes]:
    """Which images of a part belong to the most confident fraction of all; the lowest code kept of each class."""
    known = torch.zeros(2, images, dtype=torch.int64)
    known[:, part.places] = torch.from_numpy(np.stack([part.labels, part.codes]).astype(np.int64))
    labels, codes = team.add(known).numpy()
    codes = codes.astype(np.uint16)
    every = np.ones(images, np.bool_)
    groups = [labels == k for k in range(classes)] if rule == "class_balanced" else [every] * classes
    kept, thresholds = np.zeros(images, np.bool_), np.full(classes, CERTAIN, np.uint16)
    for k, group in enumerate(groups):
        if group.any():
            chosen = np.flatnonzero(group)[most_confident(codes[group], share)]
            kept[chosen], thresholds[k] = True, codes[chosen].min()
    return kept[part.places], thresholds


def _leave_out_unlabelled(out: Path) -> None:
    """Keep the images that have a label, and write down which they are."""
    labels = np.load(out / LABELS, allow_pickle=False)
    kept = np.flatnonzero(labels != IGNORE).astype(np.int64)
    confidence = np.load(out / CONFIDENCE, allow_pickle=False)
    for name, array in ((IMAGES, kept), (LABELS, labels[kept]), (CONFIDENCE, confidence[kept])):
        np.save(out / name, array)


def _selected(
    part: _Part, cuts: Tensor, confident: NDArray[np.bool_] | None, judged: Confusion, tally: Tally
) -> Iterator[tuple[slice, tuple[Tensor, Tensor]]]:
    """The labels that reach their thresholds, or those of the confident images; and bytes of confidence."""
    for run, there in part.runs():
        given, codes = (upload([array[there]], cuts.device) for array in (part.labels, part.codes))
        truth = part.truth(run, cuts.device)
        tally.update(given, codes, truth)
        chosen = None if confident is None else upload([confident[there]], cuts.device)
        labels = select(given, codes, cuts) if chosen is None else torch.where(chosen, given, IGNORE)
        judged.update(torch.where(labels == IGNORE, len(cuts), labels), truth)
        yield there, (labels, to_byte(decode(codes)))


def summarise(judged: Confusion, work: Workspace, images: int, predicted: NDArray[np.int64]) -> dict[str, Any]:
    """Coverage, and where the truth is known accuracy: for analysis only, training never sees it."""
    classes = len(work.dataset.classes)
    kept = work.team.add(judged.predicted()[:classes])
    matrix = work.team.add(judged.matrix()[:classes])  # the last column is for pixels without a label
    right, given = matrix.diagonal().double(), matrix[:, :classes].sum(dim=0).double()
    total = int(predicted.sum())
    return {
        "images": images,
        "pixels": total,
        "kept": float(int(kept.sum()) / total),
        "predicted": [float(count / total) for count in predicted],
        "coverage": [k / float(p) if p else None for k, p in zip(kept.tolist(), predicted)],
        "accuracy": float(right.sum() / given.sum()) if given.any() else None,
        "class_accuracy": [float(r / j) if j else None for r, j in zip(right, given)] if given.any() else None,
    }
