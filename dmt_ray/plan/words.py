"""Numbers and lists as English sentences have them."""

from collections.abc import Sequence


def counted(number: float, noun: str, many: str = "") -> str:
    """A number of things: "1 stage", "2 stages", "1,024 stages", "0.5 hours"; `many`: a plural without s."""
    digits = f"{number:,}" if isinstance(number, int) else f"{number:,g}"
    return f"{digits} {noun if number == 1 else many or f'{noun}s'}"


def be(number: float) -> str:
    """The verb behind a number of things: "is" or "are"."""
    return "is" if number == 1 else "are"


def listed(words: Sequence[str], last: str = "and") -> str:
    """One or more words as a list: "a", "a and b", "a, b and c"."""
    *first, end = words
    return f"{', '.join(first)} {last} {end}" if first else end
