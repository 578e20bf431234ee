"""File systems in memory: a disk that one machine has, and one that several mount over a network.

A machine looks at a shared disk as the NFS client of Linux does. Names and attributes come from its caches for up to
`caching` seconds, also that a name does *not* exist. What is opened is compared with the server first ("close to
open"); what a machine changes itself it sees at once; a file that another machine has removed is ESTALE, upon which the
path is looked up anew.
"""

import errno
import os
import random
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

Answer = TypeVar("Answer")


class Stale(Exception):
    """The server no longer has what a machine remembers."""


class Node:
    """A file, or a folder. `durable` is what a power cut leaves of it for certain."""

    __slots__ = ("alive", "change", "content", "durable", "durable_entries", "entries", "mtime", "number")

    def __init__(self, number: int, mtime: float, folder: bool) -> None:
        self.number, self.mtime = number, mtime
        self.entries: dict[str, Node] | None = {} if folder else None
        self.durable_entries: dict[str, Node] = {}
        self.content = self.durable = b""
        self.alive = True
        self.change = 0  # a folder's: counts what was changed in it


class Status(NamedTuple):
    """What `os.stat` answers."""

    st_mode: int
    st_ino: int
    st_size: int
    st_mtime: float
    st_dev: int = 1
    st_nlink: int = 1

    @property
    def st_mtime_ns(self) -> int:
        """Of the last change, in nanoseconds."""
        return int(self.st_mtime * 1e9)


class Change(NamedTuple):
    """Names that appear or go (None) at once."""

    names: tuple[tuple[Node, str, Node | None], ...]


class Disk:
    """What is stored.

    Args:
        clock: The seconds of its own clock.
        network: Whether several machines mount it. What its server has answered is on its disk.
    """

    def __init__(self, clock: Callable[[], float], *, network: bool) -> None:
        self.clock, self.network = clock, network
        self._number = 0
        self.root = self.new(folder=True)
        self._pending: list[Change] = []

    def new(self, *, folder: bool) -> Node:
        """A node that has no name yet."""
        self._number += 1
        return Node(self._number, self.clock(), folder)

    def changed(self, *names: tuple[Node, str, Node | None]) -> None:
        """Let names appear or go."""
        for folder, name, node in names:
            assert folder.entries is not None
            folder.entries.pop(name, None)
            if node is not None:
                folder.entries[name] = node
            folder.change += 1
            folder.mtime = self.clock()
        if not self.network:
            self._pending.append(Change(names))

    def sync(self, node: Node) -> None:
        """Write a file's bytes, or the names in a folder, to the disk."""
        if node.entries is None:
            node.durable = node.content
        elif not self.network:
            pending = list[Change]()
            for change in self._pending:
                if any(folder is node for folder, _, _ in change.names):
                    _apply(change)
                    # What was done to these names before is past.
                    names = {(folder, name) for folder, name, _ in change.names}
                    pending = [Change(tuple(each for each in old.names if each[:2] not in names)) for old in pending]
                else:
                    pending.append(change)
            self._pending = [change for change in pending if change.names]

    def power_cut(self, choose: random.Random) -> None:
        """Lose what was not synced: of names each may be there or not, of a file's bytes none, half or all."""
        for change in self._pending:
            if choose.random() < 0.5:
                _apply(change)
        self._pending = []
        self._settle(self.root, choose)

    def _settle(self, folder: Node, choose: random.Random) -> None:
        folder.entries = dict(folder.durable_entries)
        for node in folder.entries.values():
            node.alive = True
            if node.entries is not None:
                self._settle(node, choose)
            elif node.content != node.durable:
                half = node.content[: len(node.content) // 2]
                node.content = node.durable = choose.choice((node.content, node.durable, half))

    def tree(self, folder: Node | None = None) -> dict[str, Any]:
        """Everything, as nested dicts with (bytes, mtime) at the leaves."""
        entries = (folder or self.root).entries or {}
        return {
            name: self.tree(node) if node.entries is not None else (node.content, node.mtime)
            for name, node in entries.items()
        }

    def fill(self, tree: dict[str, Any], folder: Node | None = None) -> None:
        """Put what `tree` gave into an empty disk; all of it is durable."""
        folder = folder or self.root
        assert folder.entries is not None
        for name, below in tree.items():
            node = folder.entries[name] = self.new(folder=isinstance(below, dict))
            if isinstance(below, dict):
                self.fill(below, node)
            else:
                node.content, node.mtime = below
                node.durable = node.content
        folder.durable_entries = dict(folder.entries)


def _apply(change: Change) -> None:
    for folder, name, node in change.names:
        folder.durable_entries.pop(name, None)
        if node is not None:
            folder.durable_entries[name] = node


@dataclass(frozen=True)
class Place:
    """A path: names below a folder that is open, or below the root of the mount."""

    text: str
    names: Sequence[str]
    start: Node | None = None


class Mount:
    """A disk as one machine sees it.

    Args:
        disk: The disk.
        now: The true time.
        caching: Seconds for which names and attributes are remembered; 0: never, as on a disk of one's own.
    """

    def __init__(self, disk: Disk, now: Callable[[], float], caching: float) -> None:
        self.disk, self._now, self._caching = disk, now, caching
        self._folders: dict[Node, tuple[int, float]] = {}  # the `change` that was seen, and when
        self._names: dict[tuple[Node, str], tuple[Node | None, int]] = {}  # and the `change` for which it holds
        self._attributes: dict[Node, tuple[Status, float]] = {}

    # ---- looking ----------------------------------------------------------------------------------------------------

    def status(self, place: Place) -> Status:
        """As `os.stat`."""

        def look(fresh: bool) -> Status:
            node = self._find(place, fresh)
            known = self._attributes.get(node)
            if self._caching and known is not None and not fresh and self._now() - known[1] < self._caching:
                return known[0]
            return self._fetch(node)

        return self._twice(place, look)

    def fetch(self, node: Node) -> Status:
        """As `os.fstat`."""
        return self._answer(lambda: self._fetch(node))

    def open(self, place: Place) -> Node:
        """What a path leads to, compared with the server."""

        def look(fresh: bool) -> Node:
            node = self._find(place, fresh)
            self._fetch(node)
            return node

        return self._twice(place, look)

    def names(self, node: Node) -> list[tuple[str, Node]]:
        """What a folder that has just been opened holds."""
        if node.entries is None:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        return list(node.entries.items())

    def _fetch(self, node: Node) -> Status:
        if self._caching and not node.alive:
            raise Stale
        folder = node.entries is not None
        mode = stat.S_IFDIR | 0o755 if folder else stat.S_IFREG | 0o644
        answer = Status(mode, node.number, len(node.content), node.mtime)
        if self._caching:
            self._attributes[node] = answer, self._now()
            if folder:
                self._folders[node] = node.change, self._now()
        return answer

    def _find(self, place: Place, fresh: bool) -> Node:
        node = place.start or self.disk.root
        for name in place.names:
            below = self._child(node, name, fresh)
            if below is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), place.text)
            node = below
        return node

    def _child(self, folder: Node, name: str, fresh: bool) -> Node | None:
        if folder.entries is None:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name)
        if not self._caching:
            return folder.entries.get(name)
        now, seen = self._now(), self._folders.get(folder)
        if fresh or seen is None or now - seen[1] >= self._caching:
            self._fetch(folder)
            seen = self._folders[folder]
        known = self._names.get((folder, name))
        if known is not None and known[1] == seen[0]:
            return known[0]
        if not folder.alive:
            raise Stale
        node = folder.entries.get(name)
        self._folders[folder] = folder.change, now
        self._names[folder, name] = node, folder.change
        if node is not None:
            self._fetch(node)
        return node

    # ---- changing ---------------------------------------------------------------------------------------------------

    def create(self, place: Place, *, exclusive: bool) -> Node:
        """Open a file to write it, empty."""

        def do(fresh: bool) -> Node:
            folder, name = self._above(place, fresh)
            node = folder.entries.get(name)  # type: ignore[union-attr]
            if node is None:
                node = self.disk.new(folder=False)
                self._change((folder, name, node))
            elif exclusive:
                self._forget((folder, name))
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), place.text)
            elif node.entries is not None:
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), place.text)
            else:
                node.content = b""
            self._fetch(node)
            return node

        return self._twice(place, do)

    def write(self, node: Node, content: bytes) -> None:
        """Give a file its bytes; over a network this is when it is closed, and makes them durable."""

        def do() -> None:
            if self._caching and not node.alive:
                raise Stale
            node.content, node.mtime = content, self.disk.clock()
            if self.disk.network:
                node.durable = content
            self._fetch(node)

        self._answer(do)

    def mkdir(self, place: Place) -> None:
        """As `os.mkdir`."""

        def do(fresh: bool) -> None:
            folder, name = self._above(place, fresh)
            if name in folder.entries:  # type: ignore[operator]
                self._forget((folder, name))
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), place.text)
            self._change((folder, name, self.disk.new(folder=True)))

        self._twice(place, do)

    def remove(self, place: Place, *, folder: bool) -> None:
        """As `os.unlink`, or `os.rmdir`."""

        def do(fresh: bool) -> None:
            above, name = self._above(place, fresh)
            node = above.entries.get(name)  # type: ignore[union-attr]
            number = 0
            if node is None:
                number = errno.ENOENT
            elif folder != (node.entries is not None):
                number = errno.ENOTDIR if folder else errno.EISDIR
            elif node.entries:
                number = errno.ENOTEMPTY
            if number:
                self._forget((above, name))
                raise OSError(number, os.strerror(number), place.text)
            assert node is not None
            self._change((above, name, None))
            node.alive = False

        self._twice(place, do)

    def rename(self, source: Place, target: Place) -> None:
        """As `os.rename`."""

        def do(fresh: bool) -> None:
            (before, old), (after, new) = self._above(source, fresh), self._above(target, fresh)
            node, there = before.entries.get(old), after.entries.get(new)  # type: ignore[union-attr]
            number = 0
            if node is None:
                number = errno.ENOENT
            elif there is not None and there is not node:
                if node.entries is None:
                    number = errno.EISDIR if there.entries is not None else 0
                elif there.entries is None:
                    number = errno.ENOTDIR
                elif there.entries:
                    number = errno.ENOTEMPTY
            if number:
                self._forget((before, old), (after, new))
                raise OSError(number, os.strerror(number), source.text, None, target.text)
            assert node is not None
            if there is not None and there is not node:
                there.alive = False
            self._change((before, old, None), (after, new, node))

        self._twice(source, do)

    def touch(self, place: Place, when: float | None) -> None:
        """As `os.utime`: without `when` the disk's own clock counts."""

        def do(fresh: bool) -> None:
            node = self._find(place, fresh)
            if self._caching and not node.alive:
                raise Stale
            node.mtime = self.disk.clock() if when is None else when
            self._fetch(node)

        self._twice(place, do)

    def sync(self, node: Node) -> None:
        """As `os.fsync`."""
        self.disk.sync(node)

    def _above(self, place: Place, fresh: bool) -> tuple[Node, str]:
        folder = self._find(Place(place.text, place.names[:-1], place.start), fresh)
        if folder.entries is None:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), place.text)
        if not folder.alive:
            if self._caching:
                raise Stale
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), place.text)
        return folder, place.names[-1]

    def _change(self, *names: tuple[Node, str, Node | None]) -> None:
        self.disk.changed(*names)
        if self._caching:
            for folder, name, node in names:
                self._folders[folder] = folder.change, self._now()
                self._names[folder, name] = node, folder.change

    def _forget(self, *names: tuple[Node, str]) -> None:
        """What the server has refused for its name is looked up anew."""
        for name in names:
            self._names.pop(name, None)

    def _twice(self, place: Place, do: Callable[[bool], Answer]) -> Answer:
        try:
            return do(False)
        except Stale:
            return self._answer(lambda: do(True), place.text)

    @staticmethod
    def _answer(do: Callable[[], Answer], text: str = "") -> Answer:
        try:
            return do()
        except Stale:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), text) from None


def leaves(tree: dict[str, Any], above: str = "") -> Iterator[tuple[str, bytes]]:
    """Path and bytes of every file of a tree."""
    for name, below in tree.items():
        if isinstance(below, dict):
            yield from leaves(below, f"{above}{name}/")
        else:
            yield f"{above}{name}", below[0]
