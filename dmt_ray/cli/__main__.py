"""`python -m dmt_ray.cli` is `dmt`."""

import sys

from dmt_ray.cli.main import main

sys.exit(main())
