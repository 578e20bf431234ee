"""What the virtual GPUs of `scale` do, and when: the seconds of each kind, cut into the phases of a sweep."""

from dataclasses import dataclass, field

KINDS = ("computes", "waits for another worker", "starts", "waits for the driver")


@dataclass
class Timeline:
    """Who does what from when to when; what is left of all GPUs has nothing to do.

    Attributes:
        spent: Kind -> when it began, when it ends, and by how many GPUs.
    """

    spent: dict[str, list[tuple[float, float, float]]] = field(default_factory=lambda: {kind: [] for kind in KINDS})

    def note(self, kind: str, begin: float, end: float, gpus: float = 1.0) -> None:
        """So many GPUs do something for a while."""
        if end > begin:
            self.spent[kind].append((begin, end, gpus))

    def seconds(self, kind: str, begin: float, end: float) -> float:
        """GPU seconds of a kind between two moments."""
        return sum(max(0.0, min(end, until) - max(begin, since)) * gpus for since, until, gpus in self.spent[kind])

    def table(self, gpus: int, phases: dict[str, tuple[float, float]]) -> str:
        """A row for each phase: its hours, and the share of all GPU time of the sweep that each kind takes in it."""
        whole = gpus * max(end for _, end in phases.values())
        titles = ("phase", "hours", *KINDS, "has nothing to do")
        lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
        for name, (begin, end) in phases.items():
            parts = [self.seconds(kind, begin, end) for kind in KINDS]
            idle = gpus * (end - begin) - sum(parts)
            cells = " | ".join(f"{part / whole:.1%}" for part in [*parts, idle])
            lines.append(f"| {name} | {(end - begin) / 3600:.2f} | {cells} |")
        return "\n".join(lines)
