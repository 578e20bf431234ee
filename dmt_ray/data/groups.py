"""Groups of images that a draw of test or validation images must not tear apart: patients, scenes, videos."""

import csv
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from dmt_ray.data.check import Problems
from dmt_ray.data.files import below, id_of, inside, lines_of
from dmt_ray.data.pairing import MOST_WILDCARDS
from dmt_ray.errors import ConfigError

GROUP = "{group}"
_TOKENS = re.compile(r"(\{[^{}]*\}|\*)")
_DELIMITERS = ",;\t"


def groups_of(setting: str, ids: Collection[str], root: Path, problems: Problems) -> dict[str, str]:
    """The group of each image.

    Args:
        setting: `data.groups`: a pattern of the ids, in which "{group}" stands for as few characters as can be and "*"
            for any; or "FILE:COLUMN", a CSV file below the data set's folder and its column with the groups.
        ids: The images' ids.
        root: The data set's folder.
        problems: Takes images that belong to no group.

    Raises:
        ConfigError: If the setting is neither.
    """
    groups = _by_pattern(setting, ids) if GROUP in setting else _by_table(setting, ids, root, problems)
    for id in ids:
        if id not in groups and groups:
            problems.add(f"images without a group; data.groups is {setting!r}", id)
    if not groups and not problems and ids:
        problems.add(f"images without a group; data.groups is {setting!r}", next(iter(ids)))
    return groups


def drawn_groups(ids: Sequence[str], groups: Mapping[str, str], share: float, seed: int) -> list[str]:
    """About a share of some ids, in whole groups, drawn and sorted: one group at least, and never all of them.

    Groups are taken in a random order as long as the next one brings the number of images nearer to the share.
    """
    members: dict[str, list[str]] = {}
    for id in sorted(ids):
        members.setdefault(groups[id], []).append(id)
    names, wanted = sorted(members), share * len(ids)
    taken: list[str] = []
    for place in np.random.default_rng(seed).permutation(len(names))[: max(1, len(names) - 1)]:
        more = members[names[place]]
        if not taken or abs(len(taken) + len(more) - wanted) < abs(len(taken) - wanted):
            taken += more
    return sorted(taken)


def check_apart(subsets: Mapping[str, Iterable[str]], groups: Mapping[str, str], problems: Problems) -> None:
    """Problems are groups with images in two subsets."""
    first: dict[str, tuple[str, str]] = {}
    torn = set[str]()
    for subset, ids in subsets.items():
        for id in ids:
            if (group := groups.get(id)) is None or group in torn:
                continue
            other, before = first.setdefault(group, (subset, id))
            if other != subset:
                torn.add(group)
                kind = "groups with images in two subsets; expected each group in one, as data.groups is set"
                problems.add(kind, f"{group} ({before} in {other}, {id} in {subset})")


def _by_pattern(setting: str, ids: Iterable[str]) -> dict[str, str]:
    made, tokens = "", _TOKENS.split(setting)
    if tokens.count("*") > MOST_WILDCARDS:
        raise ConfigError(f"data.groups can hold {MOST_WILDCARDS} *, but got {tokens.count('*')} in {setting!r}")
    for token in tokens:
        if token == GROUP and "(?P<group>" not in made:
            made += "(?P<group>.+?)"
        elif token == "*":
            made += ".*"
        elif "{" in token or "}" in token:
            raise ConfigError(f"data.groups can hold {GROUP} once, and *, but got {token!r} in {setting!r}")
        else:
            made += re.escape(token)
    regex = re.compile(made)
    return {id: fits["group"] for id in ids if (fits := regex.fullmatch(id)) is not None}


def _by_table(setting: str, ids: Collection[str], root: Path, problems: Problems) -> dict[str, str]:
    name, _, column = setting.rpartition(":")
    if not name or not column:
        raise ConfigError(
            f"data.groups must be a pattern of the images' names such as '{GROUP}_*', or a CSV file and a column "
            f"such as 'patients.csv:patient', but got {setting!r}"
        )
    path = inside(root, name, "data.groups")
    lines = lines_of(path, root, problems)
    if not lines:
        return {}
    delimiter = max(_DELIMITERS, key=lines[0].count)
    try:
        rows = list(csv.DictReader(lines, delimiter=delimiter, skipinitialspace=True))
    except csv.Error as error:
        problems.add("tables that cannot be read", f"{below(path, root)} ({error})")
        return {}
    columns = list(rows[0]) if rows else []
    if column not in columns:
        problems.add(f"tables without the column {column!r} of data.groups", f"{below(path, root)} has {columns}")
        return {}
    tables = [_column(rows, other, column, ids) for other in columns if other and other != column]
    # The column that names the images is the one in which most of them are found.
    return max(tables, key=len, default={})


def _column(rows: Sequence[Mapping[str, str | None]], images: str, groups: str, ids: Collection[str]) -> dict[str, str]:
    """The groups of the images that a column names."""
    depth = max(id.count("/") + 1 for id in ids)
    named = ((id_of(row[images] or "", depth, ids), row[groups]) for row in rows)
    return {id: group for id, group in named if id in ids and id is not None and group}
