"""What is wrong with a data set, collected so that a person hears of it at once; and how far its reading is."""

from collections.abc import Callable

from dmt_ray.errors import DataError

Progress = Callable[[int, int], None]  # called with (done, total)
LONGEST = 400  # characters of one of them
SHOWN = 10  # files named for each kind of problem; the others are counted


class Problems:
    """What is wrong or worth a remark, and which files it concerns, grouped by kind."""

    def __init__(self) -> None:
        self._problems: dict[str, list[str]] = {}
        self._remarks: dict[str, list[str]] = {}

    def add(self, kind: str, what: str) -> None:
        """Notes one problem: what is wrong and what was expected, and the file or id with what it holds."""
        self._problems.setdefault(kind, []).append(what)

    def remark(self, kind: str, what: str) -> None:
        """Notes what a person should know, and what does not keep the data set from being used; as `add`."""
        self._remarks.setdefault(kind, []).append(what)

    @property
    def remarks(self) -> tuple[str, ...]:
        """A sentence for each kind of remark, with the first files of each."""
        return tuple(_sentence((kind, sorted(files))) for kind, files in self._remarks.items())

    def __bool__(self) -> bool:
        return bool(self._problems)

    def error(self, name: str, folder: object) -> DataError:
        """One error that names all kinds, the first files of each, and how many more there are."""
        lines = [f"the data set {name!r} in {folder} cannot be used:"]
        lines += [f"- {_sentence(problem)}" for problem in self._problems.items()]
        return DataError("\n".join(lines))


def _sentence(problem: tuple[str, list[str]]) -> str:
    kind, files = problem
    more = f", and {len(files) - SHOWN:,} more" if len(files) > SHOWN else ""
    return f"{kind}: {', '.join(map(_short, files[:SHOWN]))}{more}"


def _short(what: str) -> str:
    """Of a very long text, such as a binary file read as a list, the beginning and the end."""
    return what if len(what) <= LONGEST else f"{what[: LONGEST // 2]} ... {what[-LONGEST // 2 :]}"


class Steps:
    """Progress over a number of steps that becomes known bit by bit."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._done, self._total = progress, 0, total

    def expect(self, more: int) -> None:
        """Adds steps that are still to be done."""
        self._total += more

    def one_more(self) -> None:
        """Says that one more step is done."""
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, self._total)
