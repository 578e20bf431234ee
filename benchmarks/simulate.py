"""Three machines that share a store, simulated from seeds: `python benchmarks/simulate.py --schedules 10000 --seed 0`.

The store's own code runs on file systems in memory, under clocks that differ, with a network file system that answers
from old caches and a bucket that loses answers, while processes die, stop and come back. Each seed is one schedule;
one that breaks a promise is printed with the command that runs it again.

    python benchmarks/simulate.py --seed 42 --schedules 1 --trace      every operation of one schedule
    python benchmarks/simulate.py --planted --schedules 2000           how soon planted bugs are found
"""

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.helpers.simulated.mutants import MUTANTS, planted  # noqa: E402
from tests.helpers.simulated.schedule import Schedule, Violated, simulate  # noqa: E402


def main() -> int:
    """Run schedules and print what came out; 1 if a promise was broken, or a planted bug was not found."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--schedules", type=int, default=1000, help="how many (default: 1000)")
    options.add_argument("--seed", type=int, default=0, help="the first one (default: 0)")
    options.add_argument("--trace", action="store_true", help="print each operation")
    options.add_argument("--planted", action="store_true", help="plant each bug in turn, and search until it is found")
    chosen = options.parse_args()
    if chosen.schedules < 1:
        options.error(f"--schedules must be at least 1, but got {chosen.schedules}")
    return _planted(chosen) if chosen.planted else _schedules(chosen)


def _schedules(chosen: argparse.Namespace) -> int:
    began, cpu, operations, broken = time.monotonic(), time.process_time(), 0, 0
    faults: Counter[str] = Counter()
    for seed in range(chosen.seed, chosen.seed + chosen.schedules):
        try:
            outcome = Schedule(seed, print if chosen.trace else None).run()
        except Violated as error:
            broken += 1
            print(f"seed {seed}: {error}\n  again: python benchmarks/simulate.py --seed {seed} --schedules 1 --trace")
        else:
            operations += outcome.operations
            faults.update(text.split(" s: ")[1].split(" at ")[0] for text in outcome.faults)
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(faults.items()))
    print(
        f"{chosen.schedules:,} schedules, {broken} of them broke a promise; {operations:,} operations, "
        f"{faults.total():,} faults ({told})\n{seconds:.0f} s, {cpu:.0f} s of them on a processor: "
        f"{60 * chosen.schedules / cpu:,.0f} schedules a minute on one core"
    )
    return 1 if broken else 0


def _planted(chosen: argparse.Namespace) -> int:
    missed = 0
    for name in MUTANTS:
        with planted(name):
            for number in range(chosen.schedules):
                try:
                    simulate(chosen.seed + number)
                except (Exception, Violated) as error:
                    print(f"{name}: found by schedule {number + 1}: {str(error)[:100]}", flush=True)
                    break
            else:
                missed += 1
                print(f"{name}: NOT FOUND by {chosen.schedules} schedules", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
