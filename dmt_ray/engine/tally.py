"""Sums over pixels from which all scores of a model are made, in one pass over the images.

Everything is added up on the device. What can be counted is counted in whole numbers, so that neither the order of the
images nor the number of workers moves a bit of it.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from dmt_ray import IGNORE
from dmt_ray.config import Task
from dmt_ray.engine import metrics
from dmt_ray.engine.team import Team

BINS = 15  # of the confidence, equally wide (Guo et al. 2017, Sec. 3)
BOUNDARY = 0.02  # width of a boundary, as a fraction of the image's diagonal (Cheng et al. 2021, Sec. 4)
UNITS = 2**24  # of a confidence or a loss: as fine as a float32 near 1
MOST = 1024.0  # nats: the largest loss of a pixel, so that no sum overflows


class Tally:
    """Counts of a model's decisions and probabilities.

    Args:
        classes: Number of classes K.
        task: Images with a single class each have no boundaries.
        device: Where the batches are.
        full: Whether the probabilities and the boundaries are judged, too; else only the decisions.
    """

    def __init__(self, classes: int, task: Task, device: torch.device | str = "cpu", *, full: bool = True) -> None:
        self.decisions = metrics.Confusion(classes, device)
        self._classes, self._full, self._masks = classes, full, task == "segmentation"
        # In both, the last place takes what is not judged: to leave it out would make the host wait.
        self._bins = torch.zeros((BINS + 1, 2), dtype=torch.int64, device=device)  # wrong and right decisions
        self._confidence = torch.zeros(BINS + 1, dtype=torch.int64, device=device)  # sums, in `UNITS`
        self._boundary = torch.zeros(3 * classes + 1, dtype=torch.int64, device=device)
        self._losses = torch.zeros(2, dtype=torch.int64, device=device)  # sums of the Brier score and NLL, in `UNITS`
        self._likely = torch.zeros((), dtype=torch.float64, device=device)

    def update(self, logits: Tensor, truth: Tensor) -> None:
        """Judge one batch of images of one size; the host does not wait for the device.

        Args:
            logits: ``[N, K, H, W]``, any floating type.
            truth: Classes ``0..K-1`` or `IGNORE`, uint8 ``[N, H, W]``.
        """
        highest, decided = logits.max(dim=1)  # the first of equal ones, as argmax, in a quarter of its time
        self.decisions.update(decided, truth)
        if not self._masks:
            self._likely += metrics.right_probability(logits, truth)
        if self._full:
            self._judge_probabilities(logits.float(), highest.float(), decided, truth)
            if self._masks:
                self._judge_boundaries(decided, truth)

    def _judge_probabilities(self, logits: Tensor, highest: Tensor, decided: Tensor, truth: Tensor) -> None:
        """Count confidences by bin, and add up the Brier score and the log-likelihood.

        With z = exp(logit - highest), a probability is z / sum(z), and that of the decision 1 / sum(z): no softmax of
        all classes is kept.
        """
        judged = self._known(truth)
        log_right = logits.gather(1, torch.where(judged, truth, 0).long().unsqueeze(1)).squeeze(1) - highest
        powers = (logits - highest.unsqueeze(1)).exp_()
        total = powers.sum(dim=1)
        confidence = 1 / total
        log_right -= total.log()
        brier = powers.square_().sum(dim=1) * confidence**2 - 2 * log_right.exp() + 1
        for place, loss in enumerate((brier, -log_right)):
            units = (loss.clamp(max=MOST).double() * UNITS).round().long()
            self._losses[place] += torch.where(judged, units, 0).sum()
        # Bin m holds the confidences in ((m - 1) / BINS, m / BINS]; none is 0.
        bins = torch.where(judged, (confidence * BINS).ceil().long().sub_(1).clamp_(0, BINS - 1), BINS).flatten()
        right = (decided == truth).flatten()
        self._bins.view(-1).scatter_add_(0, 2 * bins + right, torch.ones_like(bins))
        self._confidence.scatter_add_(0, bins, (confidence.flatten() * UNITS).round().long())

    def _known(self, truth: Tensor) -> Tensor:
        """Where the truth is a class. What is neither that nor `IGNORE` is found when the counts are read."""
        return (truth >= 0) & (truth < self._classes)

    def _judge_boundaries(self, decided: Tensor, truth: Tensor) -> None:
        """Count boundary pixels by class: those of both maps where they agree, those of the truth, those decided."""
        classes = self._classes
        judged = self._known(truth)
        # What is not known belongs to neither, so that both end where the known pixels end.
        truth, decided = (torch.where(judged, labels, IGNORE) for labels in (truth, decided))
        width = boundary_width(*truth.shape[-2:])
        of_truth, of_decided = boundary(truth, width) & judged, boundary(decided, width) & judged
        both = of_truth & of_decided & (decided == truth)
        kinds = ((both, truth, 0), (of_truth, truth, classes), (of_decided, decided, 2 * classes))
        cells = torch.cat([torch.where(mask, labels.long() + start, 3 * classes).flatten()
                           for mask, labels, start in kinds])  # fmt: skip
        self._boundary.scatter_add_(0, cells, torch.ones_like(cells))

    def scores(self, team: Team, classes: Sequence[int] = ()) -> dict[str, Any]:
        """All scores, of the images of all workers of a team; every one of them has to call it.

        Args:
            team: The workers.
            classes: Of these classes is the mean of the IoU, see `metrics.mean_iou`; none: of all that occur.

        Returns:
            miou, pixel_accuracy, iou (None for an absent class), confusion (rows: truth); in classification also
            measure ("accuracy"), accuracy and fine_grained. Of a full tally also brier, nll and reliability, see
            `_calibration`, and in segmentation boundary, see `_boundaries`.

        Raises:
            ValueError: If no pixel is judged.
        """
        matrix = team.add(self.decisions.matrix())
        scores: dict[str, Any] = {
            "miou": metrics.mean_iou(matrix, classes),
            "pixel_accuracy": metrics.pixel_accuracy(matrix),
            "iou": _by_class(metrics.iou(matrix)),
            "confusion": matrix.tolist(),
        }
        judged = int(matrix.sum())
        if not self._masks:
            scores |= {
                "measure": "accuracy",
                "accuracy": int(matrix.diagonal().sum()) / judged,
                "fine_grained": float(team.add(self._likely)) / judged,
            }
        if self._full:
            brier, nll = (loss / UNITS / judged for loss in team.add(self._losses).tolist())
            scores |= self._calibration(team, brier, nll)
            if self._masks:
                scores["boundary"] = self._boundaries(team)
        return scores

    def _calibration(self, team: Team, brier: float, nll: float) -> dict[str, Any]:
        """Brier score, negative log-likelihood in nats, and the bins of a reliability diagram: pixels of each bin, how
        many of them are right, and the sum of their confidences."""
        wrong, right = (column.cpu()[:-1] for column in team.add(self._bins).unbind(dim=1))
        confidence = team.add(self._confidence).cpu()[:-1].double() / UNITS
        bins = {"count": (wrong + right).tolist(), "right": right.tolist(), "confidence": confidence.tolist()}
        return {"brier": brier, "nll": nll, "reliability": bins}

    def _boundaries(self, team: Team) -> dict[str, Any]:
        """IoU of the boundary pixels of each class, None where there are none, and their width in image diagonals."""
        both, truth, decided = team.add(self._boundary).cpu()[:-1].view(3, -1).double()
        return {"width": BOUNDARY, "iou": _by_class(both / (truth + decided - both))}


def boundary_width(height: int, width: int) -> int:
    """Width in pixels of the boundaries in an image, at least 1: 2 % of the diagonal (Cheng et al. 2021, Sec. 4)."""
    return max(1, round(BOUNDARY * math.hypot(height, width)))


def boundary(labels: Tensor, width: int) -> Tensor:
    """The pixels that are at most `width` pixels from another label, or from the rim of the image.

    These are the inner boundaries of all classes at once: a mask without what is left of it after `width` erosions
    with a square of 3 x 3, as in the code of Cheng et al. (2021).

    Args:
        labels: Integers from 0 to 255, ``[N, H, W]``.
        width: At least 1.

    Returns:
        bool ``[N, H, W]``.
    """
    padded = pad(labels.short(), (width,) * 4, value=-1)  # beyond the rim there is no label
    # Where the highest and the lowest label within that distance are one, they are all the same.
    highest, lowest = (_slide(_slide(padded, 2 * width + 1, 1, of), 2 * width + 1, 2, of)
                       for of in (torch.maximum, torch.minimum))  # fmt: skip
    return highest != lowest


def _slide(values: Tensor, length: int, dim: int, of: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The maximum, or what else `of` gives, of all windows of a length; each step doubles what a value stands for."""
    done = 1
    while done < length:
        step = min(done, length - done)
        rest = values.shape[dim] - step
        values = of(values.narrow(dim, 0, rest), values.narrow(dim, step, rest))
        done += step
    return values


def _by_class(values: Tensor) -> list[float | None]:
    return [None if value != value else value for value in values.tolist()]
