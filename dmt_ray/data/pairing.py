"""Images and masks by patterns of their paths: nested folders, suffixes, several mask files of one image."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from dmt_ray.data.check import Problems
from dmt_ray.data.files import (
    IMAGE_ENDINGS,
    LOSSLESS_ENDINGS,
    STRANGE,
    UNREAD_ENDINGS,
    below,
    inside,
    is_printable,
    listed,
)
from dmt_ray.errors import ConfigError

ID, FOLDER, CLASS = "{id}", "{folder}", "{class}"
MOST_WILDCARDS = 4  # in a pattern: with each, more ways to read a name have to be tried
_TOKENS = re.compile(r"(\{[^{}]*\}|\*)")


@dataclass(frozen=True)
class Pattern:
    """How the paths of some files look: "{id}" stands for what pairs them, "*" for any part of a name.

    "{id}" may be several names, as of nested folders; "{folder}" stands for what goes before it in the id, as for train
    in train/images/cat.jpg. Text without "{id}" is a folder, of whose files all are meant.
    """

    text: str  # as it is set
    setting: str  # for people: "data.images"
    endings: frozenset[str]  # of the files that are read, in small letters
    classes: Sequence[str] = field(default=(), kw_only=True)  # what "{class}" can be

    @property
    def is_folder(self) -> bool:
        """Whether it names a folder."""
        return ID not in self.text

    @property
    def joins(self) -> bool:
        """Whether several files can have one id."""
        return CLASS in self.text or "*" in self.text

    @property
    def folder(self) -> str:
        """The folder in which all files lie, relative to the data set's; "" for that itself."""
        names = PurePosixPath(self.text if self.is_folder else _TOKENS.split(self.text, maxsplit=1)[0] + "x").parts
        return "/".join(names if self.is_folder else names[:-1])

    def regex(self) -> re.Pattern[str]:
        """What a path below the data set's folder must look like.

        Raises:
            ConfigError: If the text holds what cannot be in a pattern.
        """
        if self.is_folder:  # whose name may hold anything
            return re.compile(f"{re.escape(self.text)}/(?P<id>.+){self._ending}")
        made, tokens = "", _TOKENS.split(self.text)
        if tokens.count("*") > MOST_WILDCARDS:
            raise ConfigError(
                f"{self.setting} can hold {MOST_WILDCARDS} *, but got {tokens.count('*')} in {self.text!r}"
            )
        for token in tokens:
            if token in (ID, FOLDER):
                name = token[1:-1]
                made += f"(?P<{name}>.+)" if f"(?P<{name}>" not in made else f"(?P={name})"
            elif token == "*":
                made += "[^/]*"
            elif token == CLASS and self.classes and "(?P<kind>" not in made:
                names = sorted(self.classes, key=len, reverse=True)
                made += f"(?P<kind>{'|'.join(map(re.escape, names))})"
            elif "{" in token or "}" in token:
                known = f"{ID}, {FOLDER}, * and for masks {CLASS}"
                raise ConfigError(f"{self.setting} can hold {known}, but got {token!r} in {self.text!r}")
            else:
                made += re.escape(token)
        has_ending = PurePosixPath(self.text).suffix.lower() in self.endings
        return re.compile(made if has_ending else made + self._ending)

    @property
    def _ending(self) -> str:
        return f"(?i:{'|'.join(map(re.escape, sorted(self.endings)))})"


@dataclass(frozen=True)
class Found:
    """A file that fits a pattern."""

    path: Path
    kind: str | None  # the class that its name says


def find(pattern: Pattern, root: Path, problems: Problems, without: Sequence[Pattern] = ()) -> dict[str, list[Found]]:
    """The files that fit a pattern, by their ids, sorted; hidden ones are left out.

    Problems are a folder that is missing, images of formats that are not read, and files that differ only in their
    ending. `without` are patterns whose files are something else.
    """
    name = pattern.text if pattern.is_folder else pattern.folder
    folder = inside(root, name, pattern.setting) if name or pattern.is_folder else root
    regex, others = pattern.regex(), [other.regex() for other in without]
    found: dict[str, list[Found]] = {}
    for path in files_below(folder, root, problems):
        name = below(path, root)
        if any(other.fullmatch(name) for other in others):
            continue
        fits = regex.fullmatch(name)
        if fits is None:
            if pattern.is_folder and not any(_lies_in(name, other) for other in without):
                _left_out(path, root, pattern.endings, problems)
            continue
        parts = fits.groupdict()
        files = found.setdefault("/".join(part for part in (parts.get("folder"), parts["id"]) if part), [])
        if files and not pattern.joins:
            twins = f"{below(files[-1].path, root)} and {path.name}"
            problems.add("files that differ only in their extension; expected one file per name", twins)
            files.clear()
        files.append(Found(path, parts.get("kind")))
    return dict(sorted(found.items()))


def _lies_in(name: str, pattern: Pattern) -> bool:
    return bool(pattern.folder) and name.startswith(f"{pattern.folder}/")


def _left_out(path: Path, root: Path, endings: frozenset[str], problems: Problems) -> None:
    if endings is IMAGE_ENDINGS and path.suffix.lower() in UNREAD_ENDINGS:
        problems.add(f"images in formats that are not read; expected {listed(endings)}", below(path, root))
    else:
        kind = f"files that are skipped, because their names do not end in {listed(endings)}"
        problems.remark(kind, below(path, root))


def files_below(folder: Path, root: Path, problems: Problems) -> Iterator[Path]:
    """All files of a folder and of the folders in it, sorted, but the hidden ones; problems are unreadable folders."""

    def unreadable(error: OSError) -> None:
        place = Path(error.filename)
        problems.add("folders that are missing or cannot be read", f"{below(place, root)} ({error.strerror})")

    seen = set[str]()
    for place, folders, names in os.walk(folder, onerror=unreadable, followlinks=True):
        seen.add(os.path.realpath(place))
        folders[:] = sorted(
            name for name in folders if name[0] != "." and os.path.realpath(os.path.join(place, name)) not in seen
        )
        for name in (*folders, *sorted(names)):
            if not is_printable(name):
                problems.add(STRANGE, below(Path(place, name), root))
        folders[:] = filter(is_printable, folders)
        yield from (Path(place, name) for name in sorted(names) if name[0] != "." and is_printable(name))


def is_mask(name: str, data: Mapping[str, Any]) -> bool:
    """Whether a path is one of a mask in a data set.

    Args:
        name: The path, relative to the data set's folder.
        data: The data set's settings as plain values, such as the record of a training holds them.
    """
    if data.get("name") != "folder":
        return False
    pattern = Pattern(data.get("masks", "masks"), "data.masks", LOSSLESS_ENDINGS, classes=data["classes"])
    return pattern.regex().fullmatch(name) is not None
