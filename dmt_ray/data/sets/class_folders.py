"""Images in one folder per class: train/cat/1.jpg, test/cat/2.jpg, and val/ where there is one."""

from pathlib import Path
from typing import ClassVar, Literal

from dmt_ray.config import Task
from dmt_ray.data.check import Problems
from dmt_ray.data.files import IMAGE_ENDINGS, Item, below, files_in, refuse_lookalikes
from dmt_ray.data.mask_values import MaskValues
from dmt_ray.data.source import DataSource, Listing


class ClassFoldersData(DataSource):
    """One folder a class: train/cat/1.jpg, test/cat/2.jpg; val/ where there is one. The classes are the folders' names.

    Images of one size need no `size`; others are resized to it.
    """

    task: ClassVar[Task] = "classification"
    markers: ClassVar[tuple[str, ...]] = ("train",)
    where: ClassVar[str] = "it is a folder of your own"
    further_folders: ClassVar[tuple[str, ...]] = ("cifar10_small",)

    name: Literal["class_folders"] = "class_folders"
    reported: Literal["val", "test"] = "test"

    def content(self, root: Path, problems: Problems) -> Listing:
        """The images of the subsets that are there, of which train and the test set must be; train has all classes."""
        refuse_lookalikes(root, ("train", "val", "test"), problems)
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
        values = MaskValues.numbers(min(len(classes), 255), ignore=255)
        subsets: dict[str, list[Item]] = {}
        for name in names:
            items = []
            for label, kind in enumerate(classes):
                files = files_in(folders[name][kind], IMAGE_ENDINGS, root, problems) if kind in folders[name] else {}
                if kind in folders[name] and not files:
                    problems.add("folders without images", below(folders[name][kind], root))
                items += [Item(f"{name}/{kind}/{stem}", file, None, values, label) for stem, file in files.items()]
            subsets[name] = sorted(items, key=lambda item: item.id)
        return Listing(classes, subsets).check(problems)


def _folders(folder: Path, root: Path, problems: Problems) -> dict[str, Path]:
    try:
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        problems.add("folders that are missing or cannot be read", f"{below(folder, root)} ({error.strerror})")
        return {}
    for path in paths:
        if not path.is_dir() and path.suffix.lower() in IMAGE_ENDINGS:
            problems.add("images outside the folders of the classes, which would not be read", below(path, root))
    return {path.name: path for path in paths if path.is_dir()}
