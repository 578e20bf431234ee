"""The Oxford-IIIT Pets (O. M. Parkhi et al., CVPR 2012) as torchvision lays them out.

images/*.jpg, annotations/trimaps/*.png, and the ids in annotations/trainval.txt and annotations/test.txt.
"""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from dmt_ray.config import PositiveFraction
from dmt_ray.data.check import Problems
from dmt_ray.data.files import below, drawn, files_in, is_plain, lines_of, of_ids
from dmt_ray.data.mask_values import MaskValues
from dmt_ray.data.source import Archive, DataSource, Listing

FOLDER = "oxford-iiit-pet"
LISTS = ("trainval.txt", "test.txt")
TEST_SEED = 7_393_000  # of the draw of the test images, the same for all splits

CLASSES = ("background", "pet")
_EXPECTED = "1 (pet), 2 (background) or 3 (border)"
BORDERS: dict[str, tuple[tuple[str, ...], MaskValues]] = {
    "ignore": (CLASSES, MaskValues.of({1: 1, 2: 0}, [3], _EXPECTED)),
    "pet": (CLASSES, MaskValues.of({1: 1, 2: 0, 3: 1}, [], _EXPECTED)),
    "class": ((*CLASSES, "border"), MaskValues.of({1: 1, 2: 0, 3: 2}, [], _EXPECTED)),
}
"""Classes, and what the trimaps' values are, for each `data.border`."""


class PetsData(DataSource):
    """The Oxford-IIIT Pets as torchvision lays them out: images/, annotations/trimaps/, the lists of annotations/.

    The images of both lists are pooled, and `test_share` of them is drawn as test set (Pet study, Sec. 3).
    """

    markers: ClassVar[tuple[str, ...]] = (FOLDER, "annotations")
    unpacked_in: ClassVar[str] = FOLDER

    name: Literal["pets"] = "pets"
    border: Literal["ignore", "pet", "class"] = Field(
        "pet", description="The trimaps' border (value 3): not counted, part of the pet, or a class of its own."
    )
    test_share: PositiveFraction = Field(0.2, description="Fraction of the images drawn as the test set.")
    reported: Literal["test"] = "test"

    def archives(self) -> list[Archive]:
        """Those that torchvision knows."""
        from torchvision.datasets import OxfordIIITPet  # seconds, and only needed here

        return list(OxfordIIITPet._RESOURCES)

    def content(self, root: Path, problems: Problems) -> Listing:
        """The images and trimaps of both lists, pooled, `test_share` of them drawn as "test" (Pet study, Sec. 3)."""
        home = root / FOLDER if (root / FOLDER).is_dir() else root
        classes, values = BORDERS[self.border]
        images = files_in(home / "images", frozenset({".jpg", ".jpeg"}), root, problems)
        trimaps = files_in(home / "annotations/trimaps", frozenset({".png"}), root, problems)
        ids = _ids(home / "annotations", root, problems)
        image, trimap = below(home / "images/ID.jpg", root), below(home / "annotations/trimaps/ID.png", root)
        files = {f"an image; expected {image}": images, f"a trimap; expected {trimap}": trimaps}
        test = set(drawn(ids, self.test_share, TEST_SEED))
        items = of_ids(ids, files, values, problems)
        subsets = {
            subset: [item for item in items if (item.id in test) == (subset == "test")] for subset in ("train", "test")
        }
        return Listing(classes, subsets).check(problems)


def _ids(folder: Path, root: Path, problems: Problems) -> list[str]:
    """The first word of each line of both lists, sorted."""
    ids, place = set[str](), below(folder, root)
    for name in LISTS:
        for id in (line.split()[0] for line in lines_of(folder / name, root, problems)):
            if not is_plain(id):
                problems.add("list entries that do not begin with a plain id", f"{id!r} in {place}/{name}")
            elif id in ids:
                problems.add("ids that are listed twice", f"{id} in {place}/{name}")
            else:
                ids.add(id)
    return sorted(ids)
