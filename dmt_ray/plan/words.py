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


def numbered(numbers: Sequence[int], noun: str) -> str:
    """One or more things by their numbers: "seed 0", "seeds 0, 1, 2"."""
    return f"{noun if len(numbers) == 1 else f'{noun}s'} {', '.join(map(str, numbers))}"


def spanned(last: int, noun: str) -> str:
    """Things that are numbered from 0 on, up to the last: "rung 0", "rungs 0 to 5"."""
    return f"{noun}s 0 to {last}" if last else f"{noun} 0"
