"""The page on data tells the truth."""

import re

from dmt_ray.data import divide, open_dataset
from dmt_ray.recipes import load
from tests.helpers.paths import ROOT

PAGE = ROOT / "docs/how-to/own-images.md"


def test_the_example_opens_an_own_folder(own_root, tmp_path):
    (example,) = re.findall(r"```yaml\n(# pets.yaml.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "pets.yaml").write_text(example)
    config = load(str(tmp_path / "pets.yaml"), ["data.size=[4, 6]", "split.labelled=1/4"])
    dataset = open_dataset(config.data, own_root, tmp_path / "cache")
    parts = divide(config.split, config.data, dataset)
    # 10 images with masks: 2 are reported, 1 of the other 8 is held out, a quarter of 7 is labelled.
    assert dataset.classes == ("background", "cat", "dog")
    assert [len(part) for part in (parts.reported[1], parts.selection[1], parts.labelled)] == [2, 1, 2]
    assert len(parts.unlabelled) == 5 + 3
