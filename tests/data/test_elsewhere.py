"""Masks from elsewhere: which file belongs to which image, what it may hold, and when its labels count."""

import numpy as np
import pytest
from PIL import Image

from dmt_ray.config import External
from dmt_ray.data.elsewhere import LEVELS, SURE, ExternalMasks, calibrated
from dmt_ray.data.images import Images
from dmt_ray.errors import DataError

CLASSES = ("ground", "cat", "dog")


def subset(ids, truth) -> Images:
    """Images of the shape of their true masks, which are all alike."""
    height, width = np.shape(truth)
    count, area = len(ids), height * width
    masks = np.tile(np.array(truth, np.uint8).reshape(-1), count)
    sizes = np.full((count, 2), (height, width), np.int32)
    pixels, known = np.zeros((count * area, 3), np.uint8), np.ones(count, np.bool_)
    return Images(tuple(ids), sizes, np.arange(count + 1) * area, pixels, masks, known)


def save(path, values, kind=np.uint8):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(values, kind)).save(path)


def masks(tmp_path, ids=("a",), truth=((0, 1), (2, 255)), *, resized=False, confidence=False, precision=0.9):
    external = External(
        masks=str(tmp_path / "masks"),
        confidence=str(tmp_path / "sure") if confidence else None,
        precision=precision,
    )
    return ExternalMasks(external, subset(ids, truth), CLASSES, resized)


# ---- which labels count ----------------------------------------------------------------------------------------


def counts(*of_class):
    """Wrong and right pixels by level, ``[K, LEVELS]``; of each class {level: (wrong, right)}."""
    wrong, right = np.zeros((2, len(of_class), LEVELS), np.int64)
    for k, levels in enumerate(of_class):
        for level, (bad, good) in levels.items():
            wrong[k, level], right[k, level] = bad, good
    return wrong, right


def test_the_threshold_is_the_lowest_confidence_from_which_on_enough_labels_are_right():
    # From the top 9 of 10, then 13 of 16, then 33 of 36 are right: a dip in between does no harm.
    made = calibrated(*counts({300: (1, 9), 200: (2, 4), 100: (0, 20)}), 0.9)
    assert made.thresholds == [100]
    assert made.precision == [pytest.approx(33 / 36)]
    assert made.judged == [36]
    assert calibrated(*counts({300: (1, 9), 200: (2, 4)}), 0.9).thresholds == [300]
    assert calibrated(*counts({300: (1, 9), 200: (2, 4)}), 0.8125).thresholds == [200]  # 13 of 16, exactly


def test_a_class_that_never_reaches_the_precision_is_left_out_with_the_best_that_it_reaches():
    made = calibrated(*counts({SURE: (1, 3), 5: (0, 1)}, {}, {0: (0, 7)}), 0.9)
    assert made.thresholds == [None, None, 0]
    assert made.precision == [0.8, None, 1.0]
    assert made.judged == [5, 0, 7]


def test_precision_is_measured_where_both_the_label_and_the_truth_are_known(tmp_path):
    save(tmp_path / "masks/a.png", [[0, 2], [2, 1]])  # right, wrong, right, truth unknown
    made = masks(tmp_path, precision=0.5).calibrate([0])
    assert made.thresholds == [SURE, None, SURE]
    assert made.precision == [1.0, None, 0.5]
    assert masks(tmp_path).left_out(made) == "cat (on no labelled image)"


def test_where_no_class_is_right_often_enough_the_error_says_how_often_each_is(tmp_path):
    save(tmp_path / "masks/a.png", [[1, 1], [0, 255]])
    with pytest.raises(
        DataError, match=r"reaches the external\.precision of 0\.6\. The best: cat 0\.500, ground 0\.000\."
    ):
        masks(tmp_path, precision=0.6).calibrate([0])
    with pytest.raises(DataError, match="none of the labelled images has a mask"):
        masks(tmp_path, ("a", "b")).calibrate([1])


# ---- files -----------------------------------------------------------------------------------------------------


def test_a_mask_has_the_id_of_its_image_or_its_last_name_if_that_is_of_one_image(tmp_path):
    for name in ("new/a", "b", "c"):
        save(tmp_path / f"masks/{name}.png", [[0, 1], [2, 0]])
    found = masks(tmp_path, ("new/a", "new/b", "old/c", "new/c"))
    assert [found.has(i) for i in range(4)] == [True, True, False, False]
    assert found.of(3)[0].tolist() == [[255, 255], [255, 255]]


@pytest.mark.parametrize(
    ("kind", "values"), [(np.uint8, [[255, 51], [0, 102]]), (np.uint16, [[65535, 13107], [0, 26214]])]
)
def test_confidences_of_8_and_16_bits_are_the_same_numbers(tmp_path, kind, values):
    save(tmp_path / "masks/a.png", [[0, 1], [2, 0]])
    save(tmp_path / "sure/a.png", values, kind)
    assert (masks(tmp_path, confidence=True).of(0)[1] / SURE).tolist() == [[1, 0.2], [0, 0.4]]
    assert masks(tmp_path).of(0)[1].tolist() == [[SURE, SURE], [SURE, SURE]]


def test_masks_and_confidences_are_brought_to_the_working_size_together(tmp_path):
    save(tmp_path / "masks/a.png", np.repeat(np.repeat([[0, 1], [2, 255]], 2, axis=0), 2, axis=1))
    save(tmp_path / "sure/a.png", np.repeat(np.repeat([[4000, 5000], [60000, 7]], 2, axis=0), 2, axis=1), np.uint16)
    labels, levels = masks(tmp_path, resized=True, confidence=True).of(0)
    assert labels.tolist() == [[0, 1], [2, 255]]
    assert levels.tolist() == [[4000, 5000], [60000, 7]]


def test_what_cannot_be_used_is_named(tmp_path):
    with pytest.raises(DataError, match=r"there is no folder .*masks; set external\.masks"):
        masks(tmp_path)
    save(tmp_path / "masks/b.png", [[0, 1], [2, 0]])
    with pytest.raises(DataError, match=r"has the id of a train image; expected PNG files such as a\.png"):
        masks(tmp_path)
    save(tmp_path / "masks/a.png", [[0, 1], [3, 0]])
    with pytest.raises(DataError, match=r"a\.png holds 3; expected class numbers 0\.\.2, or 255"):
        masks(tmp_path).of(0)
    save(tmp_path / "masks/a.png", [[0, 1]])
    with pytest.raises(DataError, match=r"a\.png is 1 x 2 pixels .* is 2 x 2"):
        masks(tmp_path).of(0)
    (tmp_path / "sure").mkdir()
    with pytest.raises(DataError, match=r"1 mask .* without a file of the same name in external\.confidence.*: a\.png"):
        masks(tmp_path, confidence=True)
    save(tmp_path / "sure/a.png", [[9, 9], [9, 9]])
    with pytest.raises(DataError, match=r"sure/a\.png is 2 x 2 pixels .* is 1 x 2"):
        masks(tmp_path, resized=True, confidence=True).of(0)
    (tmp_path / "masks/a.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"a\.png cannot be used: files that are damaged"):
        masks(tmp_path).of(0)


def test_the_fingerprint_is_of_the_files_and_not_of_where_they_lie(tmp_path):
    for place in ("one", "two"):
        save(tmp_path / place / "masks/a.png", [[0, 1], [2, 0]])
        save(tmp_path / place / "masks/of no image.png", [[0 if place == "one" else 1]])
        save(tmp_path / place / "sure/a.png", [[9, 9], [9, 9]])
    one, two = (masks(tmp_path / place, confidence=True).fingerprint() for place in ("one", "two"))
    assert one == two != masks(tmp_path / "one").fingerprint()
    save(tmp_path / "two/sure/a.png", [[9, 9], [9, 8]])
    assert masks(tmp_path / "two", confidence=True).fingerprint() != one
