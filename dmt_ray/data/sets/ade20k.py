"""ADE20K with the 150 classes of the scene parsing benchmark, in its layout: ADEChallengeData2016/."""

from pathlib import Path
from typing import ClassVar, Literal

from dmt_ray.data.check import Problems
from dmt_ray.data.files import paired
from dmt_ray.data.mask_values import MaskValues
from dmt_ray.data.source import DataSource, Listing

# The first name of each class in the benchmark's own list, objectInfo150.txt.
CLASSES = (
    "wall", "building", "sky", "floor", "tree", "ceiling", "road", "bed", "windowpane", "grass", "cabinet", "sidewalk",
    "person", "earth", "door", "table", "mountain", "plant", "curtain", "chair", "car", "water", "painting", "sofa",
    "shelf", "house", "sea", "mirror", "rug", "field", "armchair", "seat", "fence", "desk", "rock", "wardrobe", "lamp",
    "bathtub", "railing", "cushion", "base", "box", "column", "signboard", "chest of drawers", "counter", "sand",
    "sink", "skyscraper", "fireplace", "refrigerator", "grandstand", "path", "stairs", "runway", "case", "pool table",
    "pillow", "screen door", "stairway", "river", "bridge", "bookcase", "blind", "coffee table", "toilet", "flower",
    "book", "hill", "bench", "countertop", "stove", "palm", "kitchen island", "computer", "swivel chair", "boat", "bar",
    "arcade machine", "hovel", "bus", "towel", "light", "truck", "tower", "chandelier", "awning", "streetlight",
    "booth", "television", "airplane", "dirt track", "apparel", "pole", "land", "bannister", "escalator", "ottoman",
    "bottle", "buffet", "poster", "stage", "van", "ship", "fountain", "conveyer belt", "canopy", "washer", "plaything",
    "swimming pool", "stool", "barrel", "basket", "waterfall", "tent", "bag", "minibike", "cradle", "oven", "ball",
    "food", "step", "tank", "trade name", "microwave", "pot", "animal", "bicycle", "lake", "dishwasher", "screen",
    "blanket", "sculpture", "hood", "sconce", "vase", "traffic light", "tray", "ashcan", "fan", "pier", "crt screen",
    "plate", "monitor", "bulletin board", "shower", "radiator", "glass", "clock", "flag",
)  # fmt: skip
VALUES = MaskValues.numbers(len(CLASSES), ignore=0, first=1)
HOME = "ADEChallengeData2016"  # as the archive unpacks


class AdeData(DataSource):
    """ADE20K: images/{training,validation} and annotations/{training,validation}, 150 classes, 0 = ignore."""

    markers: ClassVar[tuple[str, ...]] = (HOME, "annotations/training")
    where: ClassVar[str] = "get ADEChallengeData2016.zip from sceneparsing.csail.mit.edu"

    name: Literal["ade20k"] = "ade20k"
    reported: Literal["val"] = "val"

    def content(self, root: Path, problems: Problems) -> Listing:
        """The images and masks of training and validation."""
        home = root / HOME if (root / HOME).is_dir() else root
        folders = {"train": "training", "val": "validation"}
        subsets = {
            subset: list(paired(home / "images" / part, home / "annotations" / part, root, VALUES, problems).values())
            for subset, part in folders.items()
        }
        return Listing(CLASSES, subsets).check(problems)
