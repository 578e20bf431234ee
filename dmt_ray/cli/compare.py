"""`dmt compare`: two runs, rows, trials or stages beside each other."""

import argparse

from dmt_ray.cli.options import begin, ignored
from dmt_ray.errors import ConfigError
from dmt_ray.files import obstacle

PAGE = ".html"


def compare(options: argparse.Namespace) -> None:
    """Print what two of them have in common and where they differ; write it as a page if a file is given."""
    if not options.predict:
        ignored(
            "is for --predict, which loads models", options, data="--data", device="--device", eval_batch="--eval-batch"
        )
    if options.out is not None and (reason := obstacle(options.out, PAGE)):
        raise ConfigError(f"--out: {reason}")
    begin(f"comparing {options.first} with {options.second}")
    from rich.console import Console

    from dmt_ray.api.finding import find_candidate, stage_folder
    from dmt_ray.report import comparing
    from dmt_ray.report.tables.text import show
    from dmt_ray.results.comparison import Work

    stages = [stage_folder(what, options.storage) for what in (options.first, options.second)]
    console = Console(markup=False)
    if any(stages):
        if not all(stages):
            names = options.first, options.second
            raise ConfigError(f"a stage is compared with another stage, but {names[bool(stages[0])]!r} is none")
        if options.predict:
            raise ConfigError("--predict is for runs, rows and trials; stages are compared by their settings")
        works = [Work.of_record(folder) for folder in stages if folder is not None]
        compared = comparing.Compared(comparing.compare_stages(*works), None)
    else:
        first, second = (find_candidate(what, options.storage) for what in (options.first, options.second))
        predictor = None
        if options.predict:
            from dmt_ray.report.figures.predictions import Predictor

            data, device = options.data or first.data, options.device or "auto"
            predictor = Predictor(first.storage, data, device, computes=True, eval_batch=options.eval_batch)
        compared = comparing.compare(first, second, predictor)
    show(compared.table, console)
    if options.out is not None:
        from dmt_ray.report.html_page import write_comparison

        write_comparison(compared, options.out)
        print(f"written: {options.out}")
