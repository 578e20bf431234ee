"""Masks of train images from elsewhere, with how confident they are; and which of them have proved right.

Confidences are compared as 16-bit numbers, 65535 standing for 1: what a PNG file can hold, without rounding.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dmt_ray import IGNORE
from dmt_ray.config import External
from dmt_ray.data.decode import digest
from dmt_ray.data.images import Images
from dmt_ray.data.pictures import Unfit, read_mask
from dmt_ray.errors import DataError
from dmt_ray.plan.key import canonical
from dmt_ray.plan.words import counted

LEVELS = 65536  # of confidence
SURE = LEVELS - 1  # the level that stands for 1
SHOWN = 5  # classes that an error names
Number = TypeVar("Number", bound=np.generic)


class Calibration(NamedTuple):
    """From which confidence on the labels of each class count; lists have an entry a class."""

    thresholds: list[int | None]  # lowest level that counts; None: the class is left out
    precision: list[float | None]  # from the threshold on; of a class left out the best; None: no pixel was judged
    judged: list[int]  # pixels of a class on the labelled images whose truth is known


@dataclass(frozen=True, eq=False)
class ExternalMasks:
    """The files of `External`, and the train images that they belong to.

    A mask's name is the image's id. Where that begins with folders and no two images share its last name, the last name
    will do.

    Raises:
        DataError: If a folder is not there, holds no PNG file, or none of an image; or a mask lacks its confidence.
    """

    external: External
    images: Images  # the train images
    classes: tuple[str, ...]
    resized: bool  # whether the images were resized when they were decoded; else a mask has its image's size

    def __post_init__(self) -> None:
        """Look for the files."""
        if not self._masks:
            example = f"{self.images.ids[0]}.png"
            raise DataError(
                f"no file in external.masks, {self.external.masks}, has the id of a train image; expected PNG files "
                f"such as {example}"
            )
        if self.external.confidence is not None:
            lacking = [path.name for i, path in self._masks.items() if i not in self._confidences]
            if lacking:
                raise DataError(
                    f"{counted(len(lacking), 'mask')} in {self.external.masks} without a file of the same name in "
                    f"external.confidence, {self.external.confidence}: {', '.join(lacking[:SHOWN])}"
                )

    @cached_property
    def _masks(self) -> Mapping[int, Path]:
        assert self.external.masks is not None
        return self._of_images(Path(self.external.masks), "external.masks")

    @cached_property
    def _confidences(self) -> Mapping[int, Path]:
        if self.external.confidence is None:
            return {}
        return self._of_images(Path(self.external.confidence), "external.confidence")

    def _of_images(self, folder: Path, setting: str) -> Mapping[int, Path]:
        """The PNG file of each train image that has one, by its position."""
        if not folder.is_dir():
            raise DataError(f"there is no folder {folder}; set {setting} to the folder of the files")
        files = {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.png"))}
        last = [PurePosixPath(id).name for id in self.images.ids]
        times = Counter(last)
        found = {}
        for i, (id, name) in enumerate(zip(self.images.ids, last, strict=True)):
            path = files.get(id) or (files.get(name) if times[name] == 1 else None)
            if path is not None:
                found[i] = path
        return found

    def has(self, i: int) -> bool:
        """Whether there is a mask of train image i."""
        return i in self._masks

    def of(self, i: int) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
        """The labels (class or `IGNORE`) of train image i, and their levels of confidence, at working size.

        Without a mask no pixel has a label.

        Raises:
            DataError: If a file cannot be used.
        """
        height, width = (int(side) for side in self.images.mask_sizes[i])
        if i not in self._masks:
            return np.full((height, width), IGNORE, np.uint8), np.zeros((height, width), np.uint16)
        path = self._masks[i]
        labels = _read(path)
        strange = np.setdiff1d(labels, [*range(len(self.classes)), IGNORE])
        if strange.size:
            raise DataError(
                f"{path} holds {strange[0]}; expected class numbers 0..{len(self.classes) - 1}, or {IGNORE} for no "
                "label"
            )
        self._check_size(path, labels.shape, (height, width), exact=not self.resized)
        levels: NDArray[np.uint16] = np.full(labels.shape, SURE, np.uint16)
        if i in self._confidences:
            grey = _read(self._confidences[i])
            self._check_size(self._confidences[i], grey.shape, labels.shape, exact=True)
            levels = grey.astype(np.uint16) * np.uint16(257 if grey.dtype == np.uint8 else 1)
        return _brought_to(labels.astype(np.uint8), height, width), _brought_to(levels, height, width)

    def _check_size(self, path: Path, size: tuple[int, ...], other: tuple[int, ...], *, exact: bool) -> None:
        if exact and size != other:
            what = f"{path} is {size[0]} x {size[1]} pixels (height x width)"
            raise DataError(f"{what}, but what it belongs to is {other[0]} x {other[1]}; expected the same size")

    def files(self) -> Sequence[Path]:
        """All files of train images."""
        return (*self._masks.values(), *self._confidences.values())

    def fingerprint(self, digests: Mapping[Path, str] | None = None) -> str:
        """20 hex digits over the images' ids and the bytes of their files; `digests` are those that are known."""
        if digests is None:
            digests = {path: digest(path.read_bytes()) for path in self.files()}
        content = [
            [self.images.ids[i], digests[path], digests[self._confidences[i]] if i in self._confidences else None]
            for i, path in self._masks.items()
        ]
        return hashlib.sha256(canonical(content)).hexdigest()[:20]

    def calibrate(self, labelled: Iterable[int]) -> Calibration:
        """Choose thresholds on labelled images, see `thresholds`.

        Raises:
            DataError: If no labelled image has a mask, or no class is right often enough, with how often each is.
        """
        wrong, right = np.zeros((2, len(self.classes), LEVELS), np.int64)
        judged = [i for i in labelled if self.has(i)]
        for i in judged:
            (labels, levels), truth = self.of(i), self.images.mask(i)
            known = (labels != IGNORE) & (truth != IGNORE)
            cells = labels[known].astype(np.int64) * LEVELS + levels[known]
            for counts, chosen in ((wrong, labels != truth), (right, labels == truth)):
                places, times = np.unique(cells[chosen[known]], return_counts=True)
                counts.reshape(-1)[places] += times
        if not judged:
            raise DataError(
                f"none of the labelled images has a mask in {self.external.masks}, so nothing tells how often these "
                "masks are right; add masks of labelled images"
            )
        made = calibrated(wrong, right, self.external.precision)
        if all(threshold is None for threshold in made.thresholds):
            each = zip(made.precision, self.classes, strict=True)
            reached = sorted(((value, name) for value, name in each if value is not None), reverse=True)
            best = ", ".join(f"{name} {value:.3f}" for value, name in reached[:SHOWN])
            raise DataError(
                f"on {counted(len(judged), 'labelled image')} no class of the masks in {self.external.masks} reaches "
                f"the external.precision of {self.external.precision:g}. The best: {best or 'none could be judged'}. "
                "Set a smaller external.precision, or external.masks to null"
            )
        return made

    def left_out(self, made: Calibration) -> str:
        """The classes that a calibration leaves out, with the precision that they reach; "" for none."""
        return ", ".join(
            f"{name} ({'on no labelled image' if value is None else f'{value:.3f}'})"
            for name, threshold, value in zip(self.classes, made.thresholds, made.precision, strict=True)
            if threshold is None
        )


def calibrated(wrong: NDArray[np.int64], right: NDArray[np.int64], precision: float) -> Calibration:
    """The lowest confidence of each class from which on its labels are right often enough.

    The threshold t of a class is the lowest level at which ``right(>= t) / (right(>= t) + wrong(>= t))`` is at least
    the precision. It is chosen on these pixels, and so the precision on others may be lower, the more so the fewer
    pixels were judged.

    Args:
        wrong: Pixels of each class and level whose truth is another class, int64 ``[K, LEVELS]``.
        right: Those that are right, likewise.
        precision: In ``(0, 1]``.
    """
    thresholds, reached, judged = list[int | None](), list[float | None](), list[int]()
    for wrong_ones, right_ones in zip(wrong, right, strict=True):
        levels = np.flatnonzero(wrong_ones + right_ones)[::-1]  # from the most confident down
        hits, all_ones = right_ones[levels].cumsum(), (wrong_ones + right_ones)[levels].cumsum()
        judged.append(int(all_ones[-1]) if len(levels) else 0)
        fitting = np.flatnonzero(hits >= precision * all_ones - 1e-9 * all_ones)
        if len(fitting):
            thresholds.append(int(levels[fitting[-1]]))
            reached.append(float(hits[fitting[-1]] / all_ones[fitting[-1]]))
        else:
            thresholds.append(None)
            reached.append(float((hits / all_ones).max()) if len(levels) else None)
    return Calibration(thresholds, reached, judged)


def _read(path: Path) -> NDArray[np.generic]:
    try:
        return read_mask(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except Unfit as unfit:
        raise DataError(f"{path} cannot be used: {unfit.args[0]} ({unfit.args[1]})") from None


def _brought_to(values: NDArray[Number], height: int, width: int) -> NDArray[Number]:
    """Numbers at working size, to the nearest pixel, as masks are brought there."""
    if values.shape == (height, width):
        return values
    # Pillow resizes 16-bit images as 32-bit ones alone.
    image = Image.fromarray(values if values.dtype == np.uint8 else values.astype(np.int32))
    resized: NDArray[Number] = np.asarray(image.resize((width, height), Image.Resampling.NEAREST)).astype(values.dtype)
    return resized
