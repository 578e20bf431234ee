"""How many faults, power cuts, flipped bits and attacks the tests make: `python benchmarks/faults.py`.

It runs those tests and adds up what each has counted.
"""

import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
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


def main() -> None:
    """Run the tests and print a line for each kind of fault."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-m", "slow or not slow", f"--junitxml={report}", *FILES]
        subprocess.run(command, cwd=ROOT, check=True)
        counts: Counter[str] = Counter()
        for found in ElementTree.parse(report).iter("property"):
            counts[found.attrib["name"]] += int(found.attrib["value"])
    for name, number in sorted(counts.items()):
        print(f"{number:6} {name}")


if __name__ == "__main__":
    main()
