"""What a store and the object store that it shares with other machines give each other.

Two folders beside the stages hold notices, a file <operation>-<key> each: outbox/ names the stages that are still to be
uploaded, refused/ those whose copy in the object store was found to be damaged.
"""

import logging
import shutil
import time
from dataclasses import replace
from pathlib import Path

from dmt_ray.errors import MissingStages, StoreError
from dmt_ray.store import files
from dmt_ray.store.claims import POLL, Claims
from dmt_ray.store.shared import Shared
from dmt_ray.store.shelf import DamagedStage, Place, Shelf
from dmt_ray.store.upkeep import LARGE

log = logging.getLogger(__name__)


class Exchange:
    """Fetches and uploads stages.

    Args:
        shelf: The stages of this store.
        claims: Its claims.
        url: The object store (see `Shared`).
    """

    def __init__(self, shelf: Shelf, claims: Claims, url: str) -> None:
        self._shelf = shelf
        self._claims = claims
        self._shared = Shared(url)
        self.name = self._shared.name

    def has(self, place: Place, *, afresh: bool = False) -> bool:
        """Whether a stage can be fetched (see `Shared.has`)."""
        return self._shared.has(place, afresh=afresh) and not self._refusal(place).exists()

    # ---- fetching -----------------------------------------------------------------------------------------------

    def bring(self, place: Place, *, whole: bool) -> None:
        """Fetch what is not here of a stage, if the object store has it; one process does, the others wait.

        Args:
            place: The stage.
            whole: Whether labels and weights are needed. If not, they count as evicted here.

        Raises:
            DamagedStage: If it is not what its record says. It counts as missing until it is computed again.
            StoreError: If the server does not answer, or the disk has no room.
        """
        while not self._shelf.is_here(place, whole=whole) and not self._refusal(place).exists():
            claim = self._claims.take(f"fetch-{place.key}", "fetch")
            if claim is None:
                time.sleep(POLL)
                continue
            with claim:
                if not self._shelf.is_here(place, whole=whole):
                    self._fetch(place, whole)
                return

    def _fetch(self, place: Place, whole: bool) -> None:
        aside = self._shelf.folder / "aside" / files.aside_name(place.name)
        try:
            record = self._shared.record(place)
            if record is None:
                return
            left_out = () if whole else tuple(sorted(record.files.keys() & set(LARGE)))
            record = replace(record, evicted=left_out)
            self._check_room(place, record.size)
            aside.mkdir(parents=True)
            self._shared.get(place, record, sorted(record.files.keys() - set(left_out)), aside)
            self._shelf.install(place, aside, record)
        except ValueError as fault:
            message = (
                f"{place.name} in the shared store {self._shared.name} is damaged: {fault}. "
                f"It counts as missing, and is replaced when it has been computed again."
            )
            self._write(self._refusal(place), message)
            log.warning(message)
            raise DamagedStage(message) from None
        finally:
            files.remove(aside)

    def _check_room(self, place: Place, size: int) -> None:
        free = shutil.disk_usage(self._shelf.folder).free
        if size > free:
            raise StoreError(
                f"cannot fetch {place.name}: it has {size} bytes, but {self._shelf.folder} has room for {free}. "
                f"Free space, or pass another folder as --storage."
            )

    # ---- uploading ----------------------------------------------------------------------------------------------

    def promise(self, place: Place) -> None:
        """Note that a stage is to be uploaded: what is killed before it is done is made up for."""
        self._write(self._shelf.outbox / place.name, "")

    def give(self, place: Place) -> bool:
        """Upload a stage that was promised; if that fails, it stays in the outbox and the failure is only logged.

        Returns:
            Whether the server could be used.
        """
        try:
            self._upload(place)
        except (MissingStages, DamagedStage):  # it is promised again when it has been computed again
            return True
        except OSError as error:
            log.warning("%s is kept in %s and uploaded later: %s", place.name, self._shelf.folder, error)
            return False
        (self._shelf.outbox / place.name).unlink(missing_ok=True)
        return True

    def give_left(self) -> list[str]:
        """Upload what was promised and not done, and return the names of what is still left.

        Stages that are claimed are left to who computes them; of several processes, one does the rest.
        """
        if self._left() and (claim := self._claims.take("upload", "upload")):
            with claim:
                for place in self._left():
                    if self._claims.holder(place.key) is None and not self.give(place):
                        break
        return [place.name for place in self._left()]

    def _left(self) -> list[Place]:
        return list(self._shelf.promised())

    def _upload(self, place: Place) -> None:
        refusal = self._refusal(place)
        if not refusal.exists() and self._shared.has(place, afresh=True):
            return
        record = self._shelf.intact(place)
        if record.evicted:
            log.warning("%s lacks %s and is not uploaded.", place.name, ", ".join(record.evicted))
            return
        self._shared.put(place, record, place.path)
        refusal.unlink(missing_ok=True)

    def _refusal(self, place: Place) -> Path:
        return self._shelf.folder / "refused" / place.name

    def _write(self, path: Path, text: str) -> None:
        path.parent.mkdir(exist_ok=True)
        files.replace(path, text, self._shelf.folder / "aside")
