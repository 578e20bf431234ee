"""Collects everything that is wrong with a data set, so that a person hears of it at once and before any training."""

from dmt_ray.errors import DataError

SHOWN = 10  # files named for each kind of problem; the others are counted


class Problems:
    """What is wrong and which files it concerns, grouped by kind."""

    def __init__(self) -> None:
        self._problems: dict[str, list[str]] = {}

    def add(self, kind: str, what: str) -> None:
        """Notes one problem.

        Args:
            kind: What is wrong and what was expected, the same text for all files of this kind.
            what: The file or id, with what was found in it.
        """
        self._problems.setdefault(kind, []).append(what)

    def __bool__(self) -> bool:
        return bool(self._problems)

    def error(self, name: str, folder: object) -> DataError:
        """One error that names all kinds, the first files of each, and how many more there are."""
        lines = [f"the data set {name!r} in {folder} cannot be used:"]
        for kind, files in self._problems.items():
            more = f", and {len(files) - SHOWN} more" if len(files) > SHOWN else ""
            lines.append(f"- {kind}: {', '.join(files[:SHOWN])}{more}")
        return DataError("\n".join(lines))
