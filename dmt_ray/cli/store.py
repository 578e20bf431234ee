"""`dmt store`: look after what was computed."""

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from dmt_ray.cli.exit_codes import ExitCode
from dmt_ray.cli.options import begin
from dmt_ray.errors import ConfigError
from dmt_ray.plan.words import be, counted

if TYPE_CHECKING:
    from dmt_ray.store import Store
    from dmt_ray.store.upkeep import Verified


def list_store(options: argparse.Namespace) -> None:
    """Print the stages of a store, a line each."""
    from rich.filesize import decimal as size

    store = existing(options.storage)
    if options.json:
        from dmt_ray.cli.documents import StoreDocument

        return StoreDocument.of(str(options.storage.absolute()), store).show()
    rows = store.ls()
    for row in rows:
        evicted = f"  (evicted: {', '.join(row.evicted)})" if row.evicted else ""
        print(
            f"{row.operation + '-' + row.key[:8]:18}  seed {row.seed}  {size(row.bytes):>9}  {row.made}  "
            f"{row.summary}{evicted}"
        )
    print(f"{counted(len(rows), 'stage')}, {size(store.size())}")


def verify_store(options: argparse.Namespace) -> int:
    """Check every byte of stages; a status of its own if anything was damaged."""
    share, store = _share(options.share), existing(options.storage, options.shared)
    part = "every byte" if share == 1 else f"every byte of the {options.share} of the stages that were read longest ago"
    begin(f"reading {part} in {options.storage}")
    here = store.verify(share)
    for name in here.damaged:
        print(f"damaged, quarantined: {name}")
    for sentence in store.remade():
        print(f"note: {sentence}")
    print(_intact(here))
    damaged = len(here.damaged)
    if options.shared:
        there = store.verify_shared(share)
        for name in there.damaged:
            print(f"damaged in the object store, counts as missing: {name}")
        print(f"object store: {_intact(there)}")
        damaged += len(there.damaged)
    return ExitCode.DAMAGED if damaged else ExitCode.DONE


def _intact(verified: "Verified") -> str:
    damaged = len(verified.damaged)
    intact = verified.read - damaged
    return f"{counted(intact, 'stage')} {be(intact)} intact, {damaged:,} {'was' if damaged == 1 else 'were'} damaged"


def collect_garbage(options: argparse.Namespace) -> None:
    """Evict files until the budget is met."""
    from rich.filesize import decimal as size

    from dmt_ray.experiments.audit_file import shown_to_come_back

    budget, store = _bytes(options.budget), existing(options.storage)
    freed = store.gc(budget, first=shown_to_come_back(options.storage))
    print(
        f"{counted(len(freed.evicted), 'file')} evicted, {counted(len(freed.removed), 'leftover')} removed: "
        f"{size(freed.bytes)} freed, {size(freed.left)} left"
    )


def existing(folder: Path, shared: str | None = None) -> "Store":
    """The store in a folder, and the object store that it shares.

    Raises:
        ConfigError: If there is none.
    """
    from dmt_ray.store import Store

    if not (folder / "store.json").exists():
        raise ConfigError(f"there is no store in {folder}. Pass its folder as --storage.")
    return Store(folder, shared)


def _share(text: str) -> float:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*", text)
    if not match or not 0 < float(match[1]) <= 100:
        raise ConfigError(f"--share is a percentage above 0 and at most 100, such as 5%, but got {text!r}")
    return float(match[1]) / 100


def _bytes(text: str) -> int:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kMGT]?)i?B?\s*", text)
    if not match:
        raise ConfigError(f"a size is written as 500MB or 10GB, but got {text!r}")
    return int(float(match[1]) * 1000 ** " kMGT".index(match[2] or " "))
