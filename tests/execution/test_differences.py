"""What differs between a stage's file and the same file computed again, by hand; and when bytes must be the same."""

import io
import json

import numpy as np
import pytest
from safetensors.numpy import save

from dmt_ray.execution.differences import Bound, compare, rank, unlike

VERSIONS = {"torch": "2.15.0", "torchvision": "0.29", "segmentation-models-pytorch": "0.6", "timm": "1", "numpy": "2"}
HERE = {"host": "b", "device": "cpu (4 cores)", "cpu": "EPYC, avx2", "versions": VERSIONS}


def npy(*values: int) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array(values, np.uint8))
    return buffer.getvalue()


def weights(*values: float) -> bytes:
    return save({"bias": np.ones(2, np.float32), "head": np.array(values, np.float32)})


def scores(*values: float) -> bytes:
    names = ("selection", "reported")
    return json.dumps({name: {"miou": value} for name, value in zip(names, values, strict=True)}).encode()


@pytest.mark.parametrize(
    ("name", "before", "after", "text", "within"),
    [
        pytest.param(
            "model.safetensors", weights(1, 4), weights(1, 4.5), "head by up to 0.5, 0.12 of its largest value", True,
            id="a weight",
        ),
        pytest.param(
            "model.safetensors", weights(1, 4), weights(3, 4), "head by up to 2, 0.5 of its largest value", False,
            id="a weight beyond the bound",
        ),
        pytest.param(
            "model.safetensors", weights(1, 4), weights(1, 4, 5), "head is float32 [3] instead of float32 [2]", False,
            id="another shape",
        ),
        pytest.param(
            "labels.npy", npy(*[7] * 40), npy(*[7] * 39, 8),
            "1 of 40 values is different (2.500%), the first at 39: 7 then, 8 now", True, id="a label",
        ),
        pytest.param(
            "labels.npy", npy(*[7] * 10), npy(*[7] * 9, 8),
            "1 of 10 values is different (10.000%), the first at 9: 7 then, 8 now", False,
            id="a label beyond the bound",
        ),
        pytest.param(
            "confidence.npy", npy(1, 2), npy(1, 3),
            "1 of 2 values is different (50.000%), the first at 1: 2 then, 3 now", True,
            id="confidence follows from the weights",
        ),
        pytest.param(
            "metrics.json", scores(0.5, 0.5), scores(0.5, 0.515),
            "reported.miou was 0.5 and is 0.515; the scores differ by up to 1.50 points", True, id="a score",
        ),
        pytest.param(
            "metrics.json", scores(0.5, 0.5), scores(0.53, 0.5),
            "selection.miou was 0.5 and is 0.53; the scores differ by up to 3.00 points", False,
            id="a score beyond the bound",
        ),
        pytest.param(
            "choice.json", b'{"picked": "first"}', b'{"picked": "second"}', "picked was first and is second", False,
            id="a choice",
        ),
        pytest.param(
            "history.csv", b"step,loss\n1,2.0\n2,1.0\n", b"step,loss\n1,2.0\n2,1.1\n",
            "row 1, loss was 1.0 and is 1.1; 1 of 2 rows is different", True, id="a loss: the means are 1.5 and 1.55",
        ),
        pytest.param(
            "history.csv", b"step,loss\n1,2.0\n2,1.0\n", b"step,loss\n1,2.0\n2,1.2\n",
            "row 1, loss was 1.0 and is 1.2; 1 of 2 rows is different", False, id="the means are 1.5 and 1.6",
        ),
        pytest.param(
            "history.csv", b"step,loss\n1,2.0\n", b"step,loss\n1,2.0\n2,1.2\n", "2 rows of 2 columns, not 1 of 2",
            False, id="another length",
        ),
    ],
)  # fmt: skip
def test_what_differs_is_said_and_measured(name: str, before: bytes, after: bytes, text: str, within: bool) -> None:
    assert compare(name, before, after) == (f"{name}: {text}", within)


@pytest.mark.parametrize("name", ["labels.npy", "model.safetensors", "examples.npz", "metrics.json", "history.csv"])
@pytest.mark.parametrize("content", [b"", b"nothing of the kind", b"PK\x03\x04", b"[]", b"null"])
def test_a_file_that_is_no_such_file_is_no_agreement(name: str, content: bytes) -> None:
    """A text of one word is a table, of another length."""
    recorded = {"labels.npy": npy(1), "model.safetensors": weights(1, 2), "metrics.json": scores(0.5, 0.5)}
    found = compare(name, recorded.get(name, b"step,loss\n1,2.0\n"), content)
    assert not found.within
    assert found.text.startswith(f"{name}: ")


def test_a_tighter_bound_finds_more() -> None:
    assert not compare("labels.npy", npy(*[7] * 40), npy(*[7] * 39, 8), Bound(labels=0.01)).within


def test_weights_are_looked_at_before_what_follows_from_them() -> None:
    names = ["examples.npz", "history.csv", "labels.npy", "metrics.json", "model.safetensors"]
    assert sorted(names, key=rank)[:3] == ["model.safetensors", "labels.npy", "metrics.json"]


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        pytest.param({}, None, id="the same"),
        pytest.param({"host": "a", "device": "cpu (64 cores)"}, None, id="the same processor elsewhere"),
        pytest.param({"cpu": "Xeon, avx512f"}, "made on Xeon, avx512f, computed again on EPYC, avx2", id="processor"),
        pytest.param({"device": "NVIDIA H200"}, "made on NVIDIA H200, computed again on cpu", id="device"),
        pytest.param({"workers": 2}, "made by 2 workers together", id="workers"),
        pytest.param({"compiled": True}, "made with torch.compile", id="compiled"),
        pytest.param({"versions": VERSIONS | {"torch": "2.14.0"}}, "torch 2.14.0 then, 2.15.0 now", id="versions"),
        pytest.param({"versions": VERSIONS | {"mlflow": "3"}}, None, id="a version that moves no number"),
    ],
)
def test_bytes_are_compared_on_a_processor_of_the_same_kind_with_the_same_versions(
    made: dict[str, object], reason: str | None
) -> None:
    reasons = unlike(HERE | {"host": "a"} | made, HERE)
    assert len(reasons) == (reason is not None)
    assert all(each.startswith(str(reason)) for each in reasons)


def test_a_record_without_a_processor_counts_on_its_own_machine_alone() -> None:
    """As earlier versions wrote them."""
    made = {name: value for name, value in HERE.items() if name != "cpu"}
    assert unlike(made, HERE) == ()
    assert unlike(made | {"host": "a"}, HERE) == (
        "made on another machine, of which the record does not say the processor",
    )
