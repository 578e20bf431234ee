"""What a stage's files have in common with those of the same stage computed again, and how much of a difference counts.

On a processor of the same kind, with the same versions and threads, a stage comes back byte by byte. Elsewhere rounding
differs, and a bound on what matters takes the place of the digests (docs/decisions/0085-what-an-audit-compares.md).
"""

import io
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from dmt_ray.plan.files import CHOICE, HISTORY, IMAGES, LABELS, METRICS, RANK, SUMMARY
from dmt_ray.plan.measures import headline
from dmt_ray.plan.words import be, counted
from dmt_ray.store.provenance import OF_NUMBERS

WEIGHTS = ".safetensors"
_FIRST = (WEIGHTS, LABELS, METRICS)  # what a difference is looked for in first


@dataclass(frozen=True)
class Bound:
    """How far a stage may be from what its record holds where the bytes cannot be the same; all in [0, 1].

    Attributes:
        score: mIoU or accuracy of an evaluation, on the validation or the test images; of a labelling the share of
            pixels with a label, and the accuracy of the labels.
        labels: Share of the pixels (or images) whose pseudo label is another one.
        weights: Largest difference of a weight, divided by the largest weight of its tensor.
        loss: Mean loss over a training's history, relative.
    """

    score: float = 0.02
    labels: float = 0.05
    weights: float = 0.25
    loss: float = 0.05

    def __str__(self) -> str:
        return (
            f"scores within {100 * self.score:g} points, at most {self.labels:.0%} of the labels changed, weights "
            f"within {self.weights:.0%} of the largest of their tensor, mean losses within {self.loss:.0%}"
        )


BOUND = Bound()


class Difference(NamedTuple):
    """How a file differs."""

    text: str  # for people: "model.safetensors: head.weight by up to 3e-05"
    within: bool  # whether the bound allows it


def unlike(made: Mapping[str, Any], here: Mapping[str, Any]) -> tuple[str, ...]:
    """Why a stage cannot be expected to come back byte by byte, a few words each; none: it must.

    Args:
        made: How the stage was made, as its record says.
        here: The same of this machine: "host", "device", "cpu" and "versions".
    """
    reasons = []
    if not str(made.get("device", "")).startswith("cpu") or not str(here["device"]).startswith("cpu"):
        reasons.append(f"made on {made.get('device', 'an unknown device')}, computed again on {here['device']}")
    elif made.get("cpu", here["cpu"]) != here["cpu"]:
        reasons.append(f"made on {made['cpu']}, computed again on {here['cpu']}")
    elif "cpu" not in made and made.get("host") != here["host"]:
        reasons.append("made on another machine, of which the record does not say the processor")
    if made.get("workers", 1) != 1:
        reasons.append(f"made by {made['workers']} workers together, computed again by one")
    if made.get("compiled"):
        reasons.append("made with torch.compile")
    there = made.get("versions", {})
    reasons += [
        f"{name} {there.get(name, 'unknown')} then, {here['versions'].get(name)} now"
        for name in OF_NUMBERS
        if there.get(name) != here["versions"].get(name)
    ]
    return tuple(reasons)


def rank(name: str) -> tuple[int, str]:
    """Where a file stands in the order in which differences are looked for."""
    return next((place for place, end in enumerate(_FIRST) if name.endswith(end)), len(_FIRST)), name


def compare(name: str, recorded: bytes, computed: bytes, bound: Bound = BOUND) -> Difference:
    """How a file of a stage differs from the same file computed again; the two are not the same bytes.

    Args:
        name: Its name in the stage's folder.
        recorded: Its bytes in the store.
        computed: Those that came out now.
        bound: What is allowed elsewhere.
    """
    try:
        text, within = _compare(name, recorded, computed, bound)
    except (SafetensorError, BadZipFile, ValueError, LookupError, TypeError, OSError, EOFError) as error:
        text, within = f"cannot be read ({str(error).partition(chr(10))[0]})", False
    return Difference(f"{name}: {text}", within)


def _compare(name: str, recorded: bytes, computed: bytes, bound: Bound) -> tuple[str, bool]:
    if name.endswith(WEIGHTS):
        return _tensors(load(recorded), load(computed), bound)
    if name.endswith(".npy"):
        return _array(name, _arrays(recorded), _arrays(computed), bound)
    if name.endswith(".npz"):
        return _tensors(dict(_arrays(recorded)), dict(_arrays(computed)), None)
    if name.endswith(".json"):
        return _json(name, json.loads(recorded), json.loads(computed), bound)
    return _csv(name, pd.read_csv(io.BytesIO(recorded)), pd.read_csv(io.BytesIO(computed)), bound)


def _arrays(content: bytes) -> Any:
    """The array in a .npy file, or the arrays in a .npz file by name."""
    return np.load(io.BytesIO(content), allow_pickle=False)


def _tensors(
    before: Mapping[str, NDArray[Any]], after: Mapping[str, NDArray[Any]], bound: Bound | None
) -> tuple[str, bool]:
    """The first tensor that differs, and by how much; without a bound everything is allowed."""
    if before.keys() != after.keys():
        names = sorted(before.keys() ^ after.keys())
        return f"has other tensors, the first is {names[0]}", bound is None
    first, count, largest = "", 0, 0.0
    for name, ours in before.items():
        theirs = after[name]
        if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
            return f"{name} is {theirs.dtype} {list(theirs.shape)} instead of {ours.dtype} {list(ours.shape)}", False
        if ours.tobytes() == theirs.tobytes():
            continue
        count += 1
        if not np.issubdtype(ours.dtype, np.number):
            first = first or f"{name} holds other values"
            continue
        far = float(np.max(np.abs(ours.astype(np.float64) - theirs.astype(np.float64))))
        relative = far / (float(np.max(np.abs(ours.astype(np.float64)))) or 1.0)
        largest = max(largest, math.inf if math.isnan(relative) else relative)
        first = first or f"{name} by up to {far:.3g}, {relative:.2g} of its largest value"
    more = f"; {count:,} of {len(before):,} tensors differ, by up to {largest:.2g}" if count > 1 else ""
    return f"{first or 'other bytes around the same tensors'}{more}", bound is None or largest <= bound.weights


def _array(name: str, before: NDArray[Any], after: NDArray[Any], bound: Bound) -> tuple[str, bool]:
    """The share of values that differ; of confidences, which labels follow from, nothing is demanded."""
    if before.shape != after.shape or before.dtype != after.dtype:
        return f"{after.dtype} {list(after.shape)} instead of {before.dtype} {list(before.shape)}", False
    other = np.flatnonzero(before.ravel() != after.ravel())
    share = len(other) / max(1, before.size)
    first = f", the first at {other[0]}: {before.ravel()[other[0]]} then, {after.ravel()[other[0]]} now" * bool(
        len(other)
    )
    text = f"{len(other):,} of {counted(before.size, 'value')} {be(len(other))} different ({share:.3%}){first}"
    return text, name not in (LABELS, IMAGES, RANK) or share <= bound.labels


def _json(name: str, before: Any, after: Any, bound: Bound) -> tuple[str, bool]:
    ours, theirs = dict(_leaves(before)), dict(_leaves(after))
    places = [place for place in {**ours, **theirs} if ours.get(place) != theirs.get(place)]
    text = "the same values, written differently"
    if places:
        at = places[0]
        text = f"{at} was {ours.get(at)} and is {theirs.get(at)}"
        text += f"; {len(places):,} values differ" if len(places) > 1 else ""
    if name == CHOICE:
        return text, before == after
    within = True
    if name == METRICS:
        pairs = [(headline(before[images]), headline(after[images])) for images in before]
        far = max((abs(one - other) for one, other in pairs), default=0.0)
        text, within = f"{text}; the scores differ by up to {100 * far:.2f} points", far <= bound.score
    elif name == SUMMARY:
        both = [(before[key], after[key]) for key in ("kept", "accuracy") if before.get(key) and after.get(key)]
        within = all(abs(one - other) <= bound.score for one, other in both)
    return text, within


def _leaves(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted places of nested values, and what is there."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from _leaves(part, f"{place}.{name}" if place else str(name))
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from _leaves(part, f"{place}[{number}]")
    else:
        yield place, value


def _csv(name: str, before: pd.DataFrame, after: pd.DataFrame, bound: Bound) -> tuple[str, bool]:
    if list(before.columns) != list(after.columns) or len(before) != len(after):
        return (
            f"{len(after):,} rows of {len(after.columns):,} columns, not {len(before):,} of {len(before.columns):,}",
            False,
        )
    same = (before == after) | (before.isna() & after.isna())
    text = "the same values, written differently"
    if not same.all(axis=None):
        row = int(np.flatnonzero(~same.all(axis=1))[0])
        column = str(same.columns[~same.iloc[row]][0])
        text = f"row {row}, {column} was {before[column].iloc[row]} and is {after[column].iloc[row]}"
        count = int((~same.all(axis=1)).sum())
        text += f"; {count:,} of {counted(len(same), 'row')} {be(count)} different"
    within = True
    if name == HISTORY:
        for column in (column for column in before.columns if column.rpartition(".")[2] == "loss"):
            ours, theirs = float(before[column].mean()), float(after[column].mean())
            within &= abs(ours - theirs) <= bound.loss * abs(ours)
    return text, within
