"""How many faults, power cuts, flipped bits and attacks the tests make: `python benchmarks/faults.py`.

It runs those tests, adds up what each has counted, and compares the sums with those that the documentation gives.
"""

import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "explanation" / "reliability.md"
ON_PAGE = {
    "faults": r"\n\| faults: [^|]*\| ([\d,]+) \|",
    "power cuts": r"\n\| power cuts: [^|]*\| ([\d,]+) \|",
    "flipped bits in files": r"\n\| flipped bits in a file of a stage \| [\d,]+ of ([\d,]+) found",
    "flipped bits in records": r"\n\| flipped bits in a record \| [\d,]+ of ([\d,]+) found",
    "flipped bits in a checkpoint": r"\n\| flipped bits in a checkpoint \| ([\d,]+) \|",
    "attacks": r"\*\*([\d,]+) attacks\*\*",
}
"""What is counted, and where the page has its number."""
FILES = (
    "tests/store/test_every_operation.py",
    "tests/store/test_checker.py",
    "tests/execution/test_journal_operations.py",
    "tests/experiments/test_file_operations.py",
    "tests/data/test_cache_operations.py",
    "tests/engine/test_checkpoint_operations.py",
    "tests/report/test_closing_operations.py",
    "tests/tracking/test_every_request.py",
    "tests/security",
)


def main() -> int:
    """Run the tests and print a line for each kind of fault; 1 if the page has other numbers."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-m", "slow or not slow", f"--junitxml={report}", *FILES]
        subprocess.run(command, cwd=ROOT, check=True)
        counts: Counter[str] = Counter()
        for found in ElementTree.parse(report).iter("property"):
            counts[found.attrib["name"]] += int(found.attrib["value"])
    said = on_page()
    for name, number in sorted(counts.items()):
        other = "" if said.get(name) == number else f"  but {PAGE.name} says {said.get(name, 'nothing')}"
        print(f"{number:6} {name}{other}")
    return 0 if counts == said else 1


def on_page() -> dict[str, int]:
    """The numbers that the page gives."""
    text = PAGE.read_text(encoding="utf-8")
    found = {name: re.search(pattern, text) for name, pattern in ON_PAGE.items()}
    return {name: int(match[1].replace(",", "")) for name, match in found.items() if match is not None}


if __name__ == "__main__":
    raise SystemExit(main())
