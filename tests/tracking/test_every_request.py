"""A fault at every request to MLflow: what it says is complete is complete, and publishing again ends the same."""

import copy
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from dmt_ray.results.curves import Point
from dmt_ray.tracking.publication import Content, DataInput, Entry, Publication, Series
from dmt_ray.tracking.publish import PUBLISHED, publish
from tests.helpers.disk import Died
from tests.helpers.fake_mlflow import KINDS, Kind, Server


def entry(name: str, identity: dict[str, str], version: str) -> Entry:
    """A run with everything that a run can have."""

    def write_files(folder: Path) -> None:
        for ending in ("a", "b", "c"):
            (folder / f"{name}.{ending}").write_text(f"{name} {ending} {version}", encoding="utf-8")

    def content() -> Content:
        points = [Point("A/loss", 1 / step, step, 1000 + step) for step in range(1, 6)]
        return Content(
            params={"seed": "0", "method": name},
            tags={"row": name, "state": version, "error": "x" if version == "before" else None},
            note=f"The [runs](#children) of {name}",
            series=[Series("0.A", "d0", lambda: points), Series("", "", lambda: [Point("mean", 0.5, 1, 2000)])],
            write_files=write_files,
            files_digest=f"files of {version}",
            end=3000,
            data=DataInput("camvid", "f1f1", {"classes": "sky"}),
        )

    return Entry(name, identity, "FINISHED", lambda: f"digest of {name} {version}", content, lambda: 500)


def table(version: str = "after") -> Publication:
    """A table of two runs; before, there was a third."""
    names = ("first", "second", "third") if version == "before" else ("first", "second")
    children = [entry(name, {"dmt.kind": "cell", "dmt.cell": name}, version) for name in names]
    outdated: dict[str, str | None] = {"state": "not in the table", "order": None}
    return Publication(entry("table", {"dmt.kind": "ablation"}, version), lambda: children, outdated)


def complete(server: Server, whole: Server) -> set[str]:
    """Names of the runs that say that they are complete; they must be so."""
    held, expected = server.everything(), whole.everything()
    says = {name for name, (tags, *_) in held.items() if tags.get(PUBLISHED) == f"digest of {name} after"}
    for name in says:
        assert held[name] == expected[name], name
    return says


@pytest.fixture
def start(tmp_path: Path) -> Server:
    """An MLflow that holds the table as it was before."""
    server = Server()
    publish(server.mirror(tmp_path), table("before"))
    return server


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("empty", [True, False])
def test_no_fault_loses_what_is_published(
    tmp_path: Path, start: Server, kind: Kind, empty: bool, record_property: Callable[[str, object], None]
) -> None:
    before, whole = Server() if empty else start, copy.deepcopy(Server() if empty else start)
    whole.count = 0
    publish(whole.mirror(tmp_path), table())
    assert complete(whole, whole) == {"table", "first", "second"}
    at = 0
    while True:
        at += 1
        server = copy.deepcopy(before)
        server.at, server.kind, server.count = at, kind, 0
        mirror = server.mirror(tmp_path)
        with suppress(ConnectionError, Died):
            publish(mirror, table())
        if server.count < at:
            break
        found = complete(server, whole)
        # A page never speaks of runs that are not there.
        assert "table" not in found or found == {"table", "first", "second"}
        if server.dead:
            server.at, server.dead = 0, False
            mirror = server.mirror(tmp_path)
        mirror.known.clear()  # as the tracker does
        publish(mirror, table())
        assert server.everything() == whole.everything(), (at, kind)
    assert at > 15
    record_property("faults", at - 1)
    assert server.everything() == whole.everything()


def test_publishing_again_asks_for_little_and_changes_nothing(tmp_path: Path, start: Server) -> None:
    publish(start.mirror(tmp_path), table())
    held, start.count = copy.deepcopy(start.everything()), 0
    publish(start.mirror(tmp_path), table())
    assert start.everything() == held
    assert start.count <= 4
