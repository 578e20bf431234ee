"""Images in one folder per class: train/cat/1.jpg, test/cat/2.jpg, and val/ where there is one; or cat/1.jpg alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

from dmt_ray.config import PositiveFraction, Task
from dmt_ray.config.settings import neutral
from dmt_ray.data.check import Problems
from dmt_ray.data.files import IMAGE_ENDINGS, STRANGE, SUBSETS, Item, below, drawn, is_printable, refuse_lookalikes
from dmt_ray.data.mask_values import MaskValues
from dmt_ray.data.pairing import Pattern, find
from dmt_ray.data.source import DataSource, Listing

TEST_SEED = 8_000_889  # of the draw of the test images, the same for all splits


class ClassFoldersData(DataSource):
    """One folder a class: train/cat/1.jpg, test/cat/2.jpg; val/ where there is one. The classes are the folders' names.

    Where there is neither train nor test, as in cat/1.jpg, test images are drawn. Folders in those of the classes are
    read, too. Images of one size need no `size`; others are resized to it.
    """

    task: ClassVar[Task] = "classification"
    markers: ClassVar[tuple[str, ...]] = ("train",)
    where: ClassVar[str] = "it is a folder of your own"
    further_folders: ClassVar[tuple[str, ...]] = ("cifar10_small",)

    name: Literal["class_folders"] = "class_folders"
    test_share: PositiveFraction = neutral(
        0.2, description="Fraction of the images of each class drawn as the test set, if there is no folder train."
    )
    reported: Literal["val", "test"] = "test"

    def content(self, root: Path, problems: Problems) -> Listing:
        """The images of the subsets that are there, of which train and the test set must be; train has all classes."""
        refuse_lookalikes(root, ("train", "val", "test"), problems)
        if self.reported == "test" and _is_flat(root):
            return self._drawn(root, problems)
        needed = ("train", self.reported)
        names = [name for name in ("train", "val", "test") if name in needed or (root / name).is_dir()]
        folders = {name: _folders(root / name, root, problems) for name in names}
        classes = tuple(sorted(folders["train"]))
        if len(classes) < 2 and not problems:
            problems.add(
                "folders with fewer than two classes; expected one folder per class", below(root / "train", root)
            )
        if len(classes) > 255:
            problems.add("folders with more than 255 classes", below(root / "train", root))
        for name in names[1:]:
            for other in sorted(folders[name].keys() ^ folders["train"].keys()):
                place = root / (name if other in folders[name] else "train") / other
                problems.add("classes that not all subsets have", below(place, root))
        subsets = {name: _items(folders[name], classes, f"{name}/", root, problems) for name in names}
        return Listing(classes, subsets).check(problems)

    def _drawn(self, root: Path, problems: Problems) -> Listing:
        """The images of folders that are classes, a share of each class drawn as the test set."""
        folders = _folders(root, root, problems)
        classes = tuple(sorted(folders))
        items = _items(folders, classes, "", root, problems)
        test = set[str]()
        for label, kind in enumerate(classes):
            ids = [item.id for item in items if item.label == label]
            if len(ids) == 1:
                problems.add("classes with a single image, which cannot be trained on and tested", kind)
            test |= {*drawn(ids, min(self.test_share, 1 - 1 / max(2, len(ids))), TEST_SEED)} if ids else set()
        subsets = {
            name: [item for item in items if (item.id in test) == (name == "test")] for name in ("train", "test")
        }
        return Listing(classes, subsets).check(problems)


def _is_flat(root: Path) -> bool:
    """Whether the folders in the data set's are the classes."""
    names = {path.name.lower() for path in root.iterdir() if path.is_dir()}
    return len({name for name in names if name[0] != "."}) > 1 and not names & {"train", "val", "test", *SUBSETS}


def _items(
    folders: Mapping[str, Path], classes: Sequence[str], before: str, root: Path, problems: Problems
) -> list[Item]:
    """The images of each class in the order of their ids; `before` is what these begin with."""
    values = MaskValues.numbers(min(len(classes), 255), ignore=255)
    items = []
    for label, kind in enumerate(classes):
        if kind not in folders:
            continue
        found = find(Pattern(below(folders[kind], root), "the folder of a class", IMAGE_ENDINGS), root, problems)
        if not found:
            problems.add("folders without images", below(folders[kind], root))
        items += [
            Item(f"{before}{kind}/{id}", files[0].path, None, values, label) for id, files in found.items() if files
        ]
    return sorted(items, key=lambda item: item.id)


def _folders(folder: Path, root: Path, problems: Problems) -> dict[str, Path]:
    try:
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        problems.add("folders that are missing or cannot be read", f"{below(folder, root)} ({error.strerror})")
        return {}
    for path in paths:
        if not is_printable(path.name):
            problems.add(STRANGE, below(path, root))
        if not path.is_dir() and path.suffix.lower() in IMAGE_ENDINGS:
            problems.add("images outside the folders of the classes, which would not be read", below(path, root))
    return {path.name: path for path in paths if path.is_dir()}
