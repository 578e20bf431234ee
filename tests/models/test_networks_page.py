"""The networks that docs/reference/networks.md offers as settings to copy."""

import re

import pytest
import yaml

from dmt_ray import models
from dmt_ray.config import Model
from dmt_ray.errors import ModelError
from dmt_ray.execution.network_check import check_network
from tests.helpers.paths import ROOT

PAGE = (ROOT / "docs/reference/networks.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## Networks on good encoders\n")[2].partition("\n## ")[0]
ROWS = re.findall(r"^\| (.+?) \| `(\{.+\})` \| (\d+) k \|$", SECTION, re.MULTILINE)


def test_there_are_rows():
    assert len(ROWS) == SECTION.count("architecture: ") == 8


@pytest.mark.parametrize(("settings", "side"), [pytest.param(*row[1:], id=row[0]) for row in ROWS])
def test_it_is_built_takes_the_crops_that_stand_beside_it_and_can_be_frozen(settings, side):
    model, multiple = Model(**yaml.safe_load(settings)), int(side)
    check_network(model.evolve(frozen=True), 5, (4 * multiple, 5 * multiple), "segmentation")
    with pytest.raises(ModelError, match=r"divides|divisible by"):
        check_network(model, 5, (4 * multiple, 5 * multiple - 1), "segmentation")


@pytest.mark.parametrize("settings", [pytest.param(row[1], id=row[0]) for row in ROWS])
def test_there_are_weights_of_its_name(settings, tmp_path, monkeypatch):
    """With nothing in the hub's cache and no network: other names are refused before anything is looked for."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    model = Model(**yaml.safe_load(settings))
    with pytest.raises(ModelError, match="are not on this machine and cannot be downloaded"):
        models.first_weights(model, tmp_path)
    with pytest.raises(ModelError, match="there are no weights 'lvd'"):
        models.first_weights(model.evolve(encoder_weights="lvd"), tmp_path)
