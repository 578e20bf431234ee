"""Tabulate ablations: another name for `dmt table`."""

import sys

from dmt_ray.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["table", *sys.argv[1:]]))
