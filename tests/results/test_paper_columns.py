"""Which columns a paper's numbers may stand beside, by the settings that are stored."""

import pytest

from dmt_ray.experiments.ablation import Ablation, Column, Row, cells
from dmt_ray.experiments.experiment_file import ExperimentFile, write
from dmt_ray.results import tidy
from dmt_ray.store import Store


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param((), None, id="random weights"),
        pytest.param(("model.weights_file=coco.safetensors",), "1/50", id="weights as the paper's"),
        pytest.param(("model.weights_file=coco.safetensors", "pretrain.epochs=3"), None, id="another training"),
    ],
)
def test_a_column_from_other_first_weights_is_not_the_papers(tmp_path, changes, expected):
    columns = {"voc-1/50": Column(paper="1/50")}
    made = cells("voc-1/50", changes, {"Baseline": Row("baseline")}, columns, lambda config: config)
    ablation = Ablation("components", "What is each part worth?", "voc-1/50", made, (0,), "Baseline", "dmt-9")
    file = ExperimentFile(ablation, tmp_path, None, "voc-1/50", changes, 0, {}, "python -m x")
    store = Store(tmp_path)
    file.folder.mkdir(parents=True)
    write(file.folder, file)
    frame = tidy.of_ablation(file.folder, store)
    assert frame.attrs["about"]["paper_columns"] == {"voc-1/50": expected}
