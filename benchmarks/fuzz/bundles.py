"""Bundles at every depth: the compressed archive, the tar archive in it, the files in that; and what an audit notes."""

import io
import json
import lzma
import tarfile
from functools import cache, partial
from pathlib import Path
from typing import Any

from dmt_ray.errors import StoreError
from dmt_ray.experiments import audit_file, bundle
from dmt_ray.methods import METHODS
from dmt_ray.plan import Stage
from dmt_ray.recipes import named
from dmt_ray.store.record import Record

from . import damage
from .reader import Reader

ARCHIVE = f"toy{bundle.ENDING}"
BLOCK = 512  # bytes of a header of a tar archive


@cache
def _stages() -> list[Stage]:
    return METHODS["dst"](named("shapes").evolve(percentiles=(1.0,)), 0).stages()


@cache
def _content() -> dict[str, bytes]:
    """What a bundle of one recorded stage holds."""
    first, config = _stages()[0], named("shapes").evolve(percentiles=(1.0,))
    identity: dict[str, Any] = {"operation": first.operation.name, "revision": first.operation.revision}
    identity |= {"config": first.config.identity(), "seed": 0, "inputs": {}}
    record = Record(
        key=first.key,
        summary="in words",
        input_digests={},
        files={"history.csv": "0" * 32},
        sizes={"history.csv": 3},
        evicted=(),
        made={"seconds": 1.5, "versions": {"torch": "2"}},
        **identity,
    )
    member = {"name": "DST", "method": "dst", "seed": 0, "rungs": [], "config": config.model_dump(mode="json")}
    about = {"format": 1, "name": "toy", "kind": "ablation", "versions": {"dmt-ray": "0.2.0"}, "git": {"commit": "0"}}
    return {
        "bundle.json": json.dumps(about).encode(),
        "plans.json": json.dumps([member]).encode(),
        f"records/{first.name}.json": record.to_json().encode(),
    }


def _packed(content: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in content.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def _compressed(archive: bytes) -> bytes:
    return lzma.compress(archive, preset=0)


def with_sums(content: bytes) -> bytes:
    """Correct the checksums of a tar archive's headers."""
    blocks = [content[place : place + BLOCK] for place in range(0, len(content), BLOCK)]
    for number, block in enumerate(blocks):
        if block[257:262] == b"ustar":
            sum_ = sum(block[:148]) + 8 * ord(" ") + sum(block[156:])
            blocks[number] = block[:148] + f"{sum_:06o}\0 ".encode() + block[156:]
    return b"".join(blocks)


def _tar(folder: Path) -> None:
    (folder / ARCHIVE).write_bytes(_compressed((folder / "toy.tar").read_bytes()))
    bundle.read(folder / ARCHIVE)


def _member(name: str, folder: Path) -> None:
    text = (folder / "damaged" / Path(name).name).read_bytes()
    (folder / ARCHIVE).write_bytes(_compressed(_packed(_content() | {name: text})))
    bundle.read(folder / ARCHIVE)


def _member_reader(name: str) -> Reader:
    seeds = partial(lambda name, _: [_content()[name]], name)
    file = f"damaged/{Path(name).name}"
    return Reader(file, partial(_member, name), seeds, (StoreError,), ARCHIVE, damage.closed)


def _audits(_: Path) -> list[bytes]:
    one = {"digest": "0" * 32, "agrees": True, "exact": False, "what": "", "seconds": 1.5, "when": "2026-01-01"}
    stages = {_stages()[0].name: one | {"machine": 0}}
    return [json.dumps({"seed": 0, "machines": [{"device": "cpu"}], "stages": stages}).encode()]


READERS = {
    "bundle": Reader(
        ARCHIVE,
        lambda folder: bundle.read(folder / ARCHIVE),
        lambda _: [_compressed(_packed(_content()))],
        (StoreError,),
    ),
    "bundle's archive": Reader("toy.tar", _tar, lambda _: [_packed(_content())], (StoreError,), ARCHIVE, with_sums),
    **{f"bundle's {name.partition('/')[0]}": _member_reader(name) for name in _content()},
    "audit.json": Reader(
        "audit.json", lambda folder: audit_file.read(folder / "audit.json"), _audits, (StoreError,), None, damage.closed
    ),
}
