"""Numbers and lists as English sentences have them."""

from collections.abc import Sequence


def counted(number: int, noun: str) -> str:
    """A number of things: "1 stage", "2 stages", "1,024 stages"; `noun` is a singular whose plural ends in s."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def listed(words: Sequence[str], last: str = "and") -> str:
    """One or more words as a list: "a", "a and b", "a, b and c"."""
    *first, end = words
    return f"{', '.join(first)} {last} {end}" if first else end
