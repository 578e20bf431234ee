"""A new data set is one file, here tests/helpers/stripes.py, and its registration."""

from collections.abc import Iterator

import pytest

from dmt_ray.config import DATA_SETS, Config, override
from dmt_ray.data import divide, open_dataset
from dmt_ray.errors import ConfigError
from dmt_ray.methods import METHODS
from dmt_ray.recipes import load, named
from tests.helpers.stripes import StripesData


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    DATA_SETS.register("stripes", StripesData)
    yield
    DATA_SETS.forget("stripes")


def test_it_is_chosen_by_its_name_and_has_its_own_settings():
    config = load("shapes", ["data={name: stripes, width: 2}"])
    assert (config.data.name, config.data.model_dump()["width"]) == ("stripes", 2)
    with pytest.raises(ConfigError, match="did you mean 'width'"):
        load("shapes", ["data={name: stripes, widht: 2}"])


def test_its_settings_are_written_read_and_part_of_the_keys():
    one, other = (load("shapes", [f"data={{name: stripes, width: {width}}}"]) for width in (2, 4))
    assert Config(**one.model_dump(mode="json")) == one
    first, second = (METHODS["dmt"](config, 0).stages()[0] for config in (one, other))
    assert first.config.data == one.data
    assert first.key != second.key


def test_it_is_opened_divided_and_opened_again(tmp_path):
    config = override(named("shapes"), {"data": {"name": "stripes"}, "split.labelled": 2, "split.selection": 0.25})
    first, again = (open_dataset(config.data, None, tmp_path) for _ in range(2))
    assert first.fingerprint == again.fingerprint
    assert {name: len(images) for name, images in again.subsets.items()} == {"train": 8, "test": 2}
    parts = divide(config.split, config.data, again)
    assert (len(parts.labelled), len(parts.unlabelled), parts.reported) == (2, 4, ("test", (0, 1)))
