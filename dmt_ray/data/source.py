"""What a data set's file says of it: the base class of its settings, and what it can consist of."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dmt_ray.config import DataSettings
from dmt_ray.data.check import Problems
from dmt_ray.data.decode import REVISION, Decoded, Decoder, Size
from dmt_ray.data.files import Item, colours
from dmt_ray.data.pictures import Reading

Archive = tuple[str, str]  # address, md5


class DataSource(DataSettings):
    """Base of every data set: its settings are fields, and what is known of its files is said by these attributes.

    A new data set is one module in `data/sets/` with one such class, and one line in `config.DATA_SETS`.
    """

    in_files: ClassVar[bool] = True  # whether the data set lies in a folder; else the program makes it
    markers: ClassVar[tuple[str, ...]] = ()  # what the data set's folder holds, one of them at least
    further_folders: ClassVar[tuple[str, ...]] = ()  # names of the data set's folder below DMT_DATA, beside its own
    valtiny: ClassVar[str] = ""  # file in `data/lists/` with the validation images on which the authors of DMT tuned
    where: ClassVar[str] = ""  # where to get it, if it cannot be downloaded
    unpacked_in: ClassVar[str] = ""  # folder below the data set's, in which its archives are unpacked

    def content(self, root: Path, problems: Problems) -> "Content":
        """What the data set in a folder consists of; what is wrong with its files goes to `problems`."""
        raise NotImplementedError

    @property
    def reading(self) -> Reading:
        """What the settings say of the pictures."""
        return Reading(self.range, self.orientation, self.channels)

    def archives(self) -> list[Archive]:
        """What can be downloaded; nothing unless a data set says otherwise."""
        return []

    def never_held_out(self, id: str) -> bool:
        """Whether a train image stays out of a validation set that is drawn, because its mask came later."""
        return False

    def is_root(self, folder: Path) -> bool:
        """Whether a folder is the data set's."""
        return any((folder / marker).exists() for marker in self.markers)


@dataclass(frozen=True)
class Content(ABC):
    """Classes and images of a data set, not yet decoded."""

    classes: tuple[str, ...]
    subsets: Mapping[str, Any]  # "train", and what there is of "val" and "test" -> what its images are decoded from
    colours: NDArray[np.uint8] | None = field(default=None, kw_only=True)  # of each class, where there are own ones
    groups: Mapping[str, str] = field(default_factory=dict, kw_only=True)  # id -> group that no draw tears apart

    @property
    def palette(self) -> NDArray[np.uint8]:
        """RGB colour of each class, ``[K, 3]``."""
        return colours(len(self.classes)) if self.colours is None else self.colours

    @property
    def steps(self) -> int:
        """How many steps the progress of decoding has: one a subset."""
        return len(self.subsets)

    def files(self) -> Iterable[Path]:
        """All files that are read."""
        return ()

    def compare(self, digests: Mapping[Path, str], problems: Problems) -> None:  # noqa: B027 - nothing to compare
        """Remarks on files that are there twice; `digests` are of their bytes."""

    @abstractmethod
    def identity(self, size: Size, digests: Mapping[Path, str]) -> Mapping[str, object]:
        """What the fingerprint is made of: all that can change a decoded pixel at a working size, as JSON values."""

    @abstractmethod
    def decode(self, subset: str, decoder: Decoder) -> Iterator[Decoded]:
        """The images of a subset in their order; what is wrong with a file goes to `decoder.problems`."""


@dataclass(frozen=True)
class Listing(Content):
    """Content that is a file an image, and a mask beside it or a class."""

    subsets: dict[str, list[Item]]

    @property
    def steps(self) -> int:
        """One an image."""
        return sum(map(len, self.subsets.values()))

    def check(self, problems: Problems) -> "Listing":
        """This listing; problems are subsets without images, and images in two subsets."""
        first: dict[str, str] = {}
        for subset, items in self.subsets.items():
            if not items and not problems:
                problems.add("subsets without images", subset)
            for item in items:
                if (other := first.setdefault(item.id, subset)) != subset:
                    kind = "images in two subsets; expected none, as scores would include images that were trained on"
                    problems.add(kind, f"{item.id} ({other} and {subset})")
        return self

    def files(self) -> Iterable[Path]:
        """Images and masks."""
        items = [item for items in self.subsets.values() for item in items]
        return dict.fromkeys(path for item in items for path in (item.image, *(mask for mask, _ in item.masks)))

    def compare(self, digests: Mapping[Path, str], problems: Problems) -> None:
        """Remarks on images that are in two subsets, or twice in one, under different names."""
        first: dict[str, tuple[str, str]] = {}
        for subset, items in self.subsets.items():
            for item in items:
                if (content := digests.get(item.image)) is None:
                    continue
                other, id = first.setdefault(content, (subset, item.id))
                if id == item.id:
                    continue
                kind = f"images that are in {subset} under several names"
                if other != subset:
                    seen = "trained on" if other == "train" else "selected on"
                    kind = f"images of {subset} that are also in {other}, so that its scores are of images {seen}"
                problems.remark(kind, f"{item.id} is {id}")

    def identity(self, size: Size, digests: Mapping[Path, str]) -> Mapping[str, object]:
        """Ids, the files' bytes, and what the values in the masks mean."""
        subsets = {
            subset: [
                # The depth of an image never changed what is read.
                [item.id, _of_image(digests.get(item.image)), item.mask and digests.get(item.mask), item.values.digest]
                + ([] if item.label is None else [item.label])
                + ([[digests.get(path), values.digest] for path, values in item.further])
                for item in items
            ]
            for subset, items in self.subsets.items()
        }
        # Groups decide which images are held out for validation.
        groups = {"groups": dict(self.groups)} if self.groups else {}
        return {"revision": REVISION, "classes": self.classes, "size": size, "subsets": subsets, **groups}

    def decode(self, subset: str, decoder: Decoder) -> Iterator[Decoded]:
        """The images of a subset, but those that cannot be used."""
        known = decoder.digests.keys()
        return decoder.decode_all(
            [item for item in self.subsets[subset] if {item.image, *(path for path, _ in item.masks)} <= known]
        )


def _of_image(digest: str | None) -> str | None:
    """An image's digest without the depth behind it."""
    if digest is None:
        return None
    content, *marks = digest.split(":")
    return ":".join([content, *(mark for mark in marks if mark.startswith("o"))])


@dataclass(frozen=True)
class Generated(Content):
    """Content that the program makes."""

    subsets: dict[str, Iterator[Decoded]]
    made_by: Mapping[str, object]
    """What tells other pixels apart; its "revision" is raised whenever the same settings give other ones."""

    def identity(self, size: Size, digests: Mapping[Path, str]) -> Mapping[str, object]:
        """What makes the images, and the working size."""
        made_by = {"size": size, **self.made_by}
        return made_by | {"revision": [REVISION, self.made_by["revision"]], "classes": self.classes}

    def decode(self, subset: str, decoder: Decoder) -> Iterator[Decoded]:
        """The images of a subset."""
        yield from self.subsets[subset]
        decoder.steps.one_more()
