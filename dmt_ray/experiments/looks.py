"""Looks: numbers of seeds, fixed beforehand, after which it is seen which rows of a table are decided.

What a look may err is in `dmt_ray.results.sequential`.
"""

import itertools
from collections.abc import Sequence

from dmt_ray.errors import ConfigError

LOOKS = (3, 5, 8, 12)  # unless the user names others


def looks_of(until_decided: bool, looks: Sequence[int] | None) -> tuple[int, ...]:
    """The looks that a command line asks for; () without --until-decided.

    Raises:
        ConfigError: If they are not increasing numbers of seeds of which the first allows an interval, or are not used.
    """
    if not until_decided:
        if looks is not None:
            raise ConfigError("--looks belongs to --until-decided: pass both, or neither")
        return ()
    chosen = LOOKS if looks is None else tuple(looks)
    if chosen[0] < 2 or any(before >= after for before, after in itertools.pairwise(chosen)):
        raise ConfigError(
            f"--looks takes increasing numbers of seeds, the first at least 2, such as {in_words(LOOKS, ' ')}, but got "
            f"{in_words(chosen, ' ')}"
        )
    return chosen


def in_words(looks: Sequence[int], between: str = ", ") -> str:
    """The looks for people: "3, 5, 8, 12"."""
    return between.join(map(str, looks))
