"""The contract of data sets, on a good one of others and on deliberately wrong ones."""

from typing import Any, ClassVar, Literal

import numpy as np
import pytest

from dmt_ray.data.decode import Decoded
from dmt_ray.data.source import DataSource, Generated
from dmt_ray.testing import ContractBroken, check_contents, check_dataset
from dmt_ray.testing.squares import SquaresData
from tests.helpers.stripes import StripesData


def images(count: int, *, high: int = 2, seed: int | None = 0, names: Any = None) -> Any:
    generator = np.random.default_rng(seed)
    for i in range(count):
        mask = generator.integers(0, high, (16, 16)).astype(np.uint8)
        name = f"image_{i}" if names is None else names[i]
        yield Decoded(name, np.repeat(mask[..., None] * np.uint8(90), 3, axis=2), mask, known=True)


class Wrong(DataSource):
    """Two images to train, one to test; what is wrong with them is a setting."""

    in_files: ClassVar[bool] = False
    where: ClassVar[str] = "it is drawn"

    name: Literal["wrong"] = "wrong"
    reported: Literal["test"] = "test"
    fault: str = ""

    def content(self, root: Any, problems: Any) -> Generated:
        how: dict[str, Any] = {
            "class": {"high": 5},
            "random": {"seed": None},
            "twice": {"names": ["same", "same"]},
            "order": {"names": ["second", "first"]},
        }.get(self.fault, {})
        subsets = {"train": images(2, **how), "test": images(1)}
        if self.fault == "no test":
            del subsets["test"]
        made_by: dict[str, Any] = {"revision": 1, "fault": self.fault}
        if self.fault == "set":
            made_by["classes of the masks"] = {0, 1}
        if self.fault == "changing":
            made_by["draw"] = float(np.random.default_rng().random())
        return Generated(("dark", "bright"), subsets, made_by)


@pytest.mark.parametrize(
    "data", [StripesData(), StripesData(width=2), SquaresData(), Wrong()], ids=lambda one: one.name
)
def test_a_good_data_set_keeps_the_contract(data):
    dataset = check_contents(data)
    assert (dataset.name, "train" in dataset.subsets) == (data.name, True)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("class", r"the mask of image_0 of train of wrong holds \[2, 3, 4\]: allowed are the classes 0 to 1 and 255"),
        (
            "random",
            "the train images of wrong are others when they are decoded again, under the same fingerprint",
        ),
        ("twice", "two images of train of wrong have the same name: same"),
        ("order", "the images of train of wrong are not in the order of their names: sort them in `content`"),
        ("no test", "wrong lacks the subset test; it has train"),
        ("set", "what wrong says of its content has no fingerprint: .*no stable bytes"),
        ("changing", "wrong has another fingerprint when it is opened again: `identity` must return the same values"),
    ],
)
def test_a_wrong_data_set_is_told_what_to_change(fault, message):
    with pytest.raises(ContractBroken, match=message):
        check_contents(Wrong(fault=fault))


@pytest.mark.slow
def test_the_fingerprint_of_a_data_set_of_others_is_the_same_in_a_fresh_process():
    check_dataset(StripesData())
