"""Recipes, overrides, lists, tables and other texts that people write."""

import json
from pathlib import Path
from typing import Any

import yaml

from dmt_ray.data.check import Problems
from dmt_ray.data.files import LOSSLESS_ENDINGS, read_list
from dmt_ray.data.groups import groups_of
from dmt_ray.data.pairing import Pattern, find
from dmt_ray.errors import DataError, UserError, without_password
from dmt_ray.recipes import load, named
from dmt_ray.tracking.connection import check_uri

from .reader import Reader

IDS = ("a", "b/c", "d e", "ä", "2007_000032")


def _recipe(folder: Path) -> None:
    load(str(folder / "mine.yaml"))


def _recipes(folder: Path) -> list[bytes]:
    changes: list[dict[str, Any]] = [
        {"recipe": "shapes", "finetune": {"epochs": 3, "batch": [2, 6]}, "weight.gamma1": 4, "percentiles": [0.5, 1]},
        {"recipe": "folder", "data": {"classes": ["a", "b"], "mask_values": {"0..9": "a", "other": "b"}, "size": None}},
        {"recipe": "camvid", "model": {"architecture": "Unet", "encoder": "resnet18", "arguments": {"x": [1]}}},
        json.loads(named("digits").model_dump_json()),
    ]
    aliased = b"recipe: shapes\nfinetune: &a {epochs: 3}\nonline: *a\npercentiles: &b [0.5, 1.0]\n"
    return [*(yaml.safe_dump(one, sort_keys=False).encode() for one in changes), aliased]


def _text(folder: Path, name: str) -> str:
    return (folder / name).read_text(encoding="utf-8", errors="replace")


def _override(folder: Path) -> None:
    load("shapes", [_text(folder, "change.txt")])


def _overrides(folder: Path) -> list[bytes]:
    return [b"finetune.epochs=3", b"data.size=[72, 96]", b"weight={rule: flip, gamma1: 2}", b'split.labelled="1/20"']


def _raise(problems: Problems, folder: Path) -> None:
    if problems:
        raise problems.error("toy", folder)


def _list(folder: Path) -> None:
    problems = Problems()
    ids = read_list(folder / "train.txt", folder, problems, set(IDS), 2)
    _raise(problems, folder)
    assert all((folder / f"{id}.png").resolve().is_relative_to(folder.resolve()) for id in ids), ids


def _lists(folder: Path) -> list[bytes]:
    pairs = "JPEGImages/2007_000032.jpg SegmentationClass/2007_000032.png\nb/c.png,b/c.png\n"
    return ["\n".join(IDS).encode(), pairs.encode(), "\ufeffa\r\nb/c\r\n".encode()]


def _groups(folder: Path) -> None:
    problems = Problems()
    groups_of("patients.csv:patient", IDS, folder, problems)
    _raise(problems, folder)


def _tables(folder: Path) -> list[bytes]:
    rows = [("image", "patient", "age"), ("a", "p1", "3"), ("b/c.png", "p1", "4"), ('"d e"', "p2", "")]
    rows += [("ä", "p3", ""), ("2007_000032", "p3", "1")]
    return ["\n".join(mark.join(row) for row in rows).encode() for mark in ",;\t"]


def _patterns(folder: Path) -> list[bytes]:
    return [b"{folder}/images/{id}.png", b"{id}_*_{class}.png", b"masks", b"*/{id}*_*.tif", b"{id}/{id}.jpg"]


def _pattern(folder: Path) -> None:
    text = _text(folder, "pattern.txt")
    root = folder / "root"
    for name in ("images/a.png", "masks/a_1_disc.png", f"images/{'a' * 120}.png", f"x/{'a_' * 50}.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    find(Pattern(text, "data.masks", LOSSLESS_ENDINGS, classes=("disc", "square")), root, Problems())


def _group_pattern(folder: Path) -> None:
    groups_of(f"{{group}}{_text(folder, 'group.txt')}", ("a" * 200, "a_" * 60, *IDS), folder, Problems())


def _mask_values(folder: Path) -> None:
    load("folder", [f"data.mask_values={_text(folder, 'values.txt')}", "data.classes=[a, b]"])


def _codings(folder: Path) -> list[bytes]:
    return [b"{0: a, 1..9: b, 255: ignore}", b"{128 64 128: a, 0 0 0: b}", b"{other: a, -1: b, 65535: ignore}"]


def _uri(folder: Path) -> None:
    uri = _text(folder, "uri.txt")
    password = f"pa55word{uri.replace('/', '').replace('?', '')}"
    assert "pa55word" not in without_password(f"postgresql://me:{password}@host/db")
    check_uri(uri)


def _uris(folder: Path) -> list[bytes]:
    return [b"http://me:secret@host:5000/x?a=b", b"sqlite:////a/mlflow.db", b"postgresql+psycopg://me@h/db?password=x"]


READERS = {
    "recipe": Reader("mine.yaml", _recipe, _recipes, (UserError,)),
    "override": Reader("change.txt", _override, _overrides, (UserError,), ""),
    "list of images": Reader("train.txt", _list, _lists, (DataError,)),
    "table of groups": Reader("patients.csv", _groups, _tables, (DataError,)),
    "pattern of files": Reader("pattern.txt", _pattern, _patterns, (UserError,), ""),
    "pattern of groups": Reader("group.txt", _group_pattern, lambda _: [b"_*", b"*_*x", b"-"], (UserError,), ""),
    "mask values": Reader("values.txt", _mask_values, _codings, (UserError,), ""),
    "tracking URI": Reader("uri.txt", _uri, _uris, (UserError,), ""),
}
