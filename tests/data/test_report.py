"""The text of `dmt data check`."""

import numpy as np

from dmt_ray.data import Dataset, Images, report


def test_report_of_three_images():
    masks = np.array([0, 0, 0, 1, 1, 255, 255, 255, 255, 255], np.uint8)  # 1 x 4, 2 x 2 and an unlabelled 2 x 1
    images = Images(
        ids=("a", "b", "c"),
        sizes=np.array([[1, 4], [2, 2], [2, 1]], np.int32),
        offsets=np.array([0, 4, 8, 10]),
        pixels=np.zeros((10, 3), np.uint8),
        masks=masks,
        known=np.array([True, True, False]),
    )
    dataset = Dataset("folder", ("ground", "cat"), np.zeros((2, 3), np.uint8), "abc", {"train": images}, None)
    assert report(dataset).splitlines() == [
        "folder: 2 classes, fingerprint abc",
        "",
        "subset  images  without mask  height  width",
        "train        3             1     1-2    1-4",
        "",
        "class     train %",
        "0 ground    60.00",
        "1 cat       40.00",
        "no class    37.50",
    ]
