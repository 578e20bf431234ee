"""Published lists of labelled images, by name: which data set they are for, and where in its folder they lie."""

from typing import NamedTuple


class PublishedList(NamedTuple):
    """A list of labelled images that a publication comes with."""

    data: str  # name of the data set
    path: str  # below the data set's folder
    where: str  # to get it


_UNIMATCH = "copy the folder splits/ of github.com/LiheYoung/UniMatch into the data set's folder"
_UNIMATCH_V2 = "copy the folder splits/ of github.com/LiheYoung/UniMatch-V2 into the data set's folder"
_VOC_ITSELF = PublishedList("voc", "ImageSets/Segmentation/train.txt", "it is PASCAL VOC's own list of train")

PUBLISHED = (
    {
        f"unimatch-voc-{n}": PublishedList("voc", f"splits/pascal/{n}/labeled.txt", _UNIMATCH)
        for n in (92, 183, 366, 732)
    }
    # A rule and no draw: all images that PASCAL VOC itself has masks of.
    | {"unimatch-voc-1464": _VOC_ITSELF}
    | {f"u2pl-voc-1_{s}": PublishedList("voc", f"splits/pascal/u2pl_1_{s}/labeled.txt", _UNIMATCH) for s in (16, 8, 4)}
    | {
        f"unimatch-cityscapes-1_{s}": PublishedList("cityscapes", f"splits/cityscapes/1_{s}/labeled.txt", _UNIMATCH)
        for s in (30, 16, 8, 4, 2)
    }
    | {
        f"unimatch-ade20k-1_{s}": PublishedList("ade20k", f"splits/ade20k/1_{s}/labeled.txt", _UNIMATCH_V2)
        for s in (64, 32, 16, 8, 4, 2)
    }
)
"""Name, as `split.list` takes it -> the list."""
