"""Downloads a data set, only when a person asks for it (`dmt data download`)."""

from pathlib import Path
from urllib.error import URLError

from dmt_ray.config import Data
from dmt_ray.data.source import DataSource
from dmt_ray.errors import DataError


def download(data: Data, root: Path) -> Path:
    """Downloads and unpacks a data set's archives, whose digests are checked; what is there is not downloaded again.

    The archives stay beside what is unpacked below `root`, in the folder that is returned.

    Raises:
        DataError: If this data set cannot be downloaded (the message says where to get it), the download fails, or
            `root` cannot be written.
    """
    assert isinstance(data, DataSource)
    archives = data.archives()
    if not archives:
        raise DataError(f"{data.name!r} cannot be downloaded: {data.where}. See docs/reference/data.md")
    from torchvision.datasets.utils import download_and_extract_archive  # seconds, and only needed here

    place = root / data.unpacked_in
    for address, md5 in archives:
        try:
            download_and_extract_archive(address, str(place), md5=md5)
        except URLError as error:
            raise DataError(f"cannot download {address}: {error.reason}. Try again later") from None
        except RuntimeError:
            raise DataError(
                f"the file downloaded from {address} is not the expected one: its md5 should be {md5}. Try again later"
            ) from None
        except OSError as error:
            raise DataError(f"cannot write {address} to {place}: {error.strerror or error}") from None
    return place
