"""Which fault strikes what, and when: drawn from a seed before anything runs."""

import hashlib
import random
from dataclasses import astuple, dataclass

GAP = 20.0  # seconds: in each stretch of this length one fault strikes
ABSENCE = (2.0, 40.0)  # seconds that something is stopped or away: a lease expires after 30 s without a beat

KINDS = (
    ("driver", "killed"),
    ("driver", "terminated"),
    ("driver", "interrupted"),
    ("driver", "paused"),
    ("worker", "killed"),
    ("worker", "paused"),
    ("node", "killed"),
    ("node", "paused"),
    ("raylet", "killed"),
    ("head", "killed"),
    ("MLflow", "killed"),
    ("MLflow", "paused"),
    ("object store", "killed"),
    ("object store", "paused"),
)
"""What is struck and how. A node is killed with all its processes, as by a power cut; a raylet dies alone, and what it
has started notices that by itself."""


@dataclass(frozen=True)
class Event:
    """One fault.

    Attributes:
        at: Seconds after the first start of a driver.
        target: What is struck, as in `KINDS`.
        what: How, as in `KINDS`.
        seconds: For how long it is stopped, or away until it is started anew; of no meaning for the others.
        draw: In [0, 1): which one of several workers.
    """

    at: float
    target: str
    what: str
    seconds: float
    draw: float

    def __str__(self) -> str:
        lasts = self.target not in ("driver", "worker") or self.what == "paused"
        return f"{self.target} {self.what}{f' for {self.seconds:.1f} s' if lasts else ''}"


def schedule(seed: int, minutes: float) -> list[Event]:
    """The faults of a run, in their order.

    Event i strikes between 20 i and 20 (i + 1) seconds. Kinds come as from a pack of cards that is shuffled when it is
    used up: of any 14 events in a row from the first on, each kind is one.

    Args:
        seed: The same seed gives the same faults; `random.Random.random` promises its numbers for all versions.
        minutes: How long faults strike, above 0. A longer schedule begins as a shorter one of its seed.
    """
    numbers, pack = random.Random(seed), list[tuple[str, str]]()
    events = []
    for i in range(int(60 * minutes / GAP)):
        if not pack:
            pack = sorted(KINDS, key=lambda _: numbers.random())
        least, most = ABSENCE
        at, seconds = GAP * (i + numbers.random()), least + (most - least) * numbers.random()
        events.append(Event(round(at, 1), *pack.pop(), round(seconds, 1), numbers.random()))
    return events


def digest(events: list[Event]) -> str:
    """Tells schedules apart: 8 hex digits."""
    return hashlib.sha256(repr([astuple(event) for event in events]).encode()).hexdigest()[:8]
