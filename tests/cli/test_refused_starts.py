"""A start that the cluster refuses, for lack of room or of a GPU, leaves nothing behind that looks begun."""

import json

import pytest

from dmt_ray.execution import cluster

TWO_CPUS = [{"CPU": 2.0}]
COMMANDS = {
    "ablation": ("ablate", "components", "--rows", "DMT", "--until-decided"),
    "run": ("run", "--workers", 2),
}


@pytest.fixture
def left_behind(dmt, monkeypatch, tmp_path, settings, pictures):
    """Start a command on a cluster of two CPUs, which refuses it; what it says, and what is listed after it."""
    monkeypatch.setattr(cluster, "connect", lambda *_, **__: {})
    monkeypatch.setattr(cluster, "disconnect", lambda: None)
    monkeypatch.setattr(cluster, "nodes", lambda: TWO_CPUS)
    monkeypatch.setattr(cluster, "prepare", lambda: None)
    monkeypatch.setattr(cluster, "stop_on_terminate", lambda: None)
    published: list[object] = []
    monkeypatch.setattr("dmt_ray.tracking.tracker.Tracker.publish_soon", lambda _, what: published.append(what))

    def call(*words: object) -> str:
        storage = tmp_path / "runs"
        where = ("--recipe", settings, "--data", pictures, "--storage", storage)
        printed: list[str] = []
        with monkeypatch.context() as patch:
            patch.setattr("dmt_ray.cli.options.runnable", lambda text: printed.append(text) or text)
            dmt(*words, *where, status=2)
        assert json.loads(dmt("status", "--json", "--storage", storage)) == {"experiments": []}
        assert published == []
        return " ".join(printed)

    return call


@pytest.mark.parametrize("what", COMMANDS)
def test_what_no_node_has_a_gpu_for_is_not_listed_as_begun(what, left_behind):
    said = left_behind(*COMMANDS[what], "--gpus-per-worker", 1)
    assert "--gpus-per-worker is 1, but no node of the Ray cluster has a GPU (found: 1 node with 2 CPUs" in said


def test_a_search_whose_shared_stages_have_no_room_is_not_listed_as_begun(left_behind):
    said = left_behind("sweep", "gamma_sweep", "--trials", 2, "--shared-workers", 4)
    assert "--shared-workers is 4, but there is room for 2 workers of 1 CPU: --shared-workers 2 would fit" in said
