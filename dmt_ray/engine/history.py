"""What a training writes down about itself: sums that stay on the device, and rows of their means."""

import csv
from collections.abc import Sequence
from math import inf, isfinite
from pathlib import Path

import torch

from dmt_ray import IGNORE
from dmt_ray.engine.batch_loader import Step
from dmt_ray.engine.team import Team
from dmt_ray.losses.step import STATISTICS, StepLoss

_PSEUDO = ("area", "judged", "right", "right_weight", "wrong_weight")


class StepSums:
    """Sums of a step's statistics since the last row; nothing here waits for the device but `row`.

    Args:
        classes: Names of the classes.
        device: Where the sums are kept.
        team: The workers whose steps are added up.
        compared: Whether the student is compared with a teacher that labelled before and was more or less confident.
            It is not in pretraining, with labels that are made online, or where ranks replace confidences.
    """

    def __init__(self, classes: tuple[str, ...], device: torch.device, team: Team, *, compared: bool) -> None:
        self._classes, self._compared = classes, compared
        self._team = team
        self._device = device
        self._clear()

    def _clear(self) -> None:
        self._sums = torch.zeros(len(STATISTICS) + len(_PSEUDO), dtype=torch.float64, device=self._device)
        self._per_class = torch.zeros(IGNORE + 1, dtype=torch.float64, device=self._device)

    def add(self, loss: StepLoss, step: Step) -> None:
        """Add a step. The truth of pseudo-labelled images is compared here, after the fact, and nowhere else."""
        self._sums[: len(STATISTICS)] += loss.statistics
        if step.truth is None:
            return
        labels, weights = loss.target
        valid = labels != IGNORE
        judged = valid & (step.truth != IGNORE)
        right = judged & (labels == step.truth)
        sums = (judged.sum(), right.sum(), (weights * right).sum(), (weights * (judged & ~right)).sum())
        self._sums[len(STATISTICS)] += labels.numel()
        self._sums[len(STATISTICS) + 1 :] += torch.stack([value.double() for value in sums])
        flat = labels.flatten()
        self._per_class.scatter_add_(0, flat, torch.ones_like(flat, dtype=torch.float64))

    def row(self) -> dict[str, float]:
        """Means since the last row, over the whole team; waits for the device.

        Returns:
            ``loss``; and with pseudo labels the shares ``agreement``, ``negative``, ``positive`` of the labels given,
            ``mean_weight`` of those that train, ``coverage`` (share of the pseudo-labelled area that trains),
            ``pseudo_accuracy``, ``right_weight`` and ``wrong_weight`` (mean weight of right and of wrong labels) where
            the truth is known, and ``coverage.CLASS``. What nothing was counted for is NaN.
        """
        s = dict(zip(STATISTICS + _PSEUDO, self._team.add(self._sums).tolist()))
        row = {"loss": mean_loss(s["loss"], s["counted"])}
        if s["area"]:
            cases = ("agreement", "negative", "positive") if self._compared else ()
            row |= {name: fraction(s[name], s["valid"]) for name in cases}
            row |= {
                "mean_weight": fraction(s["weight"], s["selected"]),
                "coverage": s["selected"] / s["area"],
                "pseudo_accuracy": fraction(s["right"], s["judged"]),
                "right_weight": fraction(s["right_weight"], s["right"]),
                "wrong_weight": fraction(s["wrong_weight"], s["judged"] - s["right"]),
            }
            per_class = self._team.add(self._per_class).tolist()
            row |= {f"coverage.{name}": per_class[k] / s["area"] for k, name in enumerate(self._classes)}
        self._clear()
        return row


def mean_loss(total: float, counted: float) -> float:
    """The mean loss of some steps: NaN where nothing was counted, infinite where their sum is NaN or infinite.

    Steps without a labelled pixel, as scribbles give them, have no loss and are no divergence.
    """
    return fraction(total, counted) if isfinite(total) else inf


def fraction(part: float, whole: float) -> float:
    """Part of a whole; NaN where there is none."""
    return part / whole if whole else float("nan")


Row = dict[str, float]


def write_rows(file: Path, rows: Sequence[Row]) -> None:
    """Write a CSV file: numbers in full precision, NaN as nothing; the same bytes for the same numbers."""
    columns = list(rows[0])
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")  # classes may be called "road, route"
        writer.writerow(columns)
        writer.writerows(["" if row[name] != row[name] else repr(row[name]) for name in columns] for row in rows)
