"""The `dmt` command: run a method, explain its plan, look after the store, check data, publish and browse results."""

import argparse
import contextlib
import os
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmt_ray.commandline import (
    STALL_SECONDS,
    add_address,
    add_experiment,
    add_machine,
    add_shared_store,
    add_storage,
    add_tracking,
    add_workers,
    check_workers,
    command_line,
    guarded,
    help_with,
)
from dmt_ray.config import nearest
from dmt_ray.errors import ConfigError

# torch and mlflow take seconds to import: each command imports what it needs.

if TYPE_CHECKING:
    from dmt_ray.config import Config, Task
    from dmt_ray.methods import Method
    from dmt_ray.plan import Stage
    from dmt_ray.runner import Runner

Command = Callable[[argparse.Namespace], int | None]


def main() -> int:
    """Entry point of `dmt`."""
    options = parser().parse_args()
    command: Command = options.command
    return guarded(lambda: command(options))


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = argparse.ArgumentParser(
        prog="dmt",
        **help_with(
            "Dynamic Mutual Training: run methods and look after their results.", "dmt run --method dmt --seed 0"
        ),
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    run = _add(
        commands, "run", run_method, "Run a method; what is in the store is not computed again.", _METHOD_EXAMPLE
    )
    _method_options(run)
    run.add_argument(
        "--threads", type=int, default=os.cpu_count(), help="CPU threads of a single worker (default: all cores)"
    )
    add_workers(run)
    add_address(run)
    run.add_argument("--dry-run", action="store_true", help="the same as `dmt plan`")
    add_tracking(run)

    plan = _add(commands, "plan", plan_method, "Explain a plan, what of it is missing, and its cost.", _METHOD_EXAMPLE)
    _method_options(plan)

    _add(
        commands,
        "methods",
        list_methods,
        "List the methods, with what can be searched in them, and the recipes.",
        "dmt methods",
    )

    data = _add(
        commands, "data", None, "Look at data sets, or download one.", "dmt data check --recipe camvid --data camvid/"
    )
    data_commands = data.add_subparsers(required=True, metavar="COMMAND")
    check = _add(
        data_commands,
        "check",
        check_data,
        "Check every image and mask of a data set, and say what it holds.",
        "dmt data check --recipe camvid --data camvid/",
    )
    add_experiment(check)
    add_machine(check)
    download = _add(
        data_commands,
        "download",
        download_data,
        "Download the data set of a recipe: CIFAR-10 or the Oxford-IIIT Pets.",
        "dmt data download --recipe cifar10-4000 --data data/cifar10",
    )
    add_experiment(download)
    download.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder that it is unpacked in")

    why = _add(
        commands,
        "why",
        explain_faults,
        "Say what of a sweep or an ablation failed, why and where, and which workers were lost.",
        "dmt why gamma_sweep-shapes",
    )
    why.add_argument("name", metavar="NAME", help=f"{_NAME_HELP}, or its folder")
    add_storage(why)

    export = _add(
        commands,
        "export",
        export_records,
        "Write all scores of ablations and sweeps into one table, a line a number, as Parquet or CSV.",
        "dmt export components --out components.parquet",
    )
    export.add_argument("name", nargs="?", metavar="NAME", help=f"{_NAME_HELP} (default: all that there are)")
    export.add_argument("--out", type=Path, required=True, metavar="FILE", help="a .parquet or a .csv file")
    add_storage(export)

    report = _add(
        commands,
        "report",
        write_report,
        "Write an HTML page of an ablation or a sweep: question, tables, figures, data, versions, failures.",
        "dmt report components --out components.html",
    )
    report.add_argument("name", metavar="NAME", help=f"{_NAME_HELP}, or its folder")
    report.add_argument("--out", type=Path, required=True, metavar="FILE", help="an .html file; it needs no other file")
    add_storage(report)

    store = _add(commands, "store", None, "Look after the store.", "dmt store ls")
    store_commands = store.add_subparsers(required=True, metavar="COMMAND")
    add_storage(_add(store_commands, "ls", list_store, "List the stages in the store.", "dmt store ls --storage runs"))
    verify = "Read every byte of the store and set damaged stages aside."
    add_storage(_add(store_commands, "verify", verify_store, verify, "dmt store verify"))
    gc = _add(
        store_commands,
        "gc",
        collect_garbage,
        "Free disk space: pseudo-label maps and middle weights go, metrics and histories never.",
        "dmt store gc --budget 10GB",
    )
    gc.add_argument("--budget", required=True, metavar="SIZE", help="largest size of the store, as 500MB or 10GB")
    add_storage(gc)

    publish = _add(
        commands,
        "publish",
        publish_everything,
        "Bring all sweeps, ablations and runs into MLflow, again or for the first time.",
        "dmt publish",
    )
    add_storage(publish)
    add_tracking(publish)

    ui = _add(commands, "ui", browse, "Serve the MLflow UI on this machine.", "dmt ui --port 5000")
    add_storage(ui)
    ui.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    ui.add_argument("--port", type=int, default=5000, help="port to listen on (default: 5000)")
    return top


_NAME_HELP = "name of the sweep or ablation, or the beginning of it"
_METHOD_EXAMPLE = "dmt run --recipe shapes --method dmt --seed 0 --set weight.gamma1=3"


def _add(commands: Any, name: str, command: Command | None, what: str, example: str) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = commands.add_parser(name, help=what, allow_abbrev=False, **help_with(what, example))
    if command is not None:
        made.set_defaults(command=command)
    return made


def _method_options(options: argparse.ArgumentParser) -> None:
    options.add_argument("--method", default="dmt", metavar="NAME", help="see `dmt methods` (default: dmt)")
    options.add_argument("--seed", type=int, default=0, help="seed, from 0 on (default: 0)")
    add_experiment(options)
    add_machine(options)
    add_shared_store(options)


# ---- run, plan -------------------------------------------------------------------------------------------------


def run_method(options: argparse.Namespace) -> int | None:
    """Perform a plan, in this process or by a crew, and say what came out."""
    check_workers(options)
    alone = {"--address": options.address, "--gpus-per-worker": options.gpus_per_worker}
    given = [name for name, value in alone.items() if value is not None]
    if options.workers == 1 and given:
        raise ConfigError(f"{' and '.join(given)} is for --workers 2 or more; one worker is this process, on --device")
    if options.dry_run:
        return plan_method(options)
    config, method = _experiment(options)
    if options.workers > 1:
        from dmt_ray.search import cluster

        cluster.prepare()
    from dmt_ray import tracking
    from dmt_ray.measures import MEASURES, measure_of
    from dmt_ray.progress import StageProgress
    from dmt_ray.records import collapsed, score
    from dmt_ray.runner import Machine, Runner
    from dmt_ray.search.effort import Effort

    with StageProgress() as progress:
        machine = Machine(
            options.storage.absolute(),
            None if options.data is None else options.data.absolute(),
            options.device,
            options.threads,
            options.shared_store,
            options.compile,
        )
        runner = Runner(machine, progress.update)
        config = runner.bind(config, [options.seed])
        plan = method(config, options.seed)
        tracker = tracking.connect(options.tracking_uri, options.storage)
        wanted = [stage for rung in plan.rungs for stage in rung.values()]
        effort = Effort(runner)
        progress.expect({stage: effort(stage) for stage in runner.store.missing(wanted)})
        executed = _by_crew(options, runner, wanted) if options.workers > 1 else runner.perform(wanted)
    print(f"{len(executed)} stages computed, {len(plan.stages()) - len(executed)} found in {options.storage}\n")
    titles = [f"{which} {MEASURES[measure_of(config.data)]}" for which in ("selection", "reported")]
    print(f"{'rung':>4}  {'model':5}  {titles[0]}  {titles[1]}")
    for number, rung in enumerate(plan.rungs):
        for side, evaluation in rung.items():
            scores = [100 * score(runner.store, evaluation, which) for which in ("selection", "reported")]
            cells = (f"{value:>{len(title) - 2}.2f} %" for title, value in zip(titles, scores, strict=True))
            print(f"{number:>4}  {side:5}  {'  '.join(cells)}")
    for number in range(len(plan.rungs)):
        for sentence in collapsed(runner.store, plan, number).values():
            print(f"warning: {sentence}")
    about = tracking.About.of(runner.dataset(config.data), config, [options.seed], command_line("dmt", *sys.argv[1:]))
    results = tracking.RunResults(options.method, config, options.seed, plan, runner.store, about)
    tracking.keep(options.storage, results)
    tracker.publish_soon(results)
    if tracker.close():
        return 1
    print(f"\nin MLflow: {tracker.uri} (browse it with `dmt ui --storage {options.storage}`)")
    return None


def _by_crew(options: argparse.Namespace, runner: "Runner", wanted: "list[Stage]") -> "list[Stage]":
    from dmt_ray.crew import CrewRunner, hire
    from dmt_ray.search import cluster

    cluster.connect(options.address, cpus=len(os.sched_getaffinity(0)))
    try:
        if options.address is not None:
            cluster.check_nodes(None if options.shared_store else runner.machine.store, runner.machine.data)
        crew, _ = hire(cluster.nodes(), options.workers, cpus=options.cpus_per_worker, gpus=options.gpus_per_worker)
        machine = replace(runner.machine, stall_seconds=STALL_SECONDS)
        return CrewRunner(machine, crew, runner.on_progress).perform(wanted)
    finally:
        cluster.disconnect()
        runner.store.tidy()
        runner.store.upload()


def plan_method(options: argparse.Namespace) -> int:
    """Print a plan and what it would cost."""
    config, method = _experiment(options)
    from dmt_ray.estimate import estimate
    from dmt_ray.runner import Machine, Runner

    runner = Runner(Machine(options.storage, options.data, options.device, shared=options.shared_store))
    plan = method(runner.bind(config, [options.seed]), options.seed)
    missing = runner.store.missing(stage for rung in plan.rungs for stage in rung.values())
    print(plan.explain(mark={stage: "to do" for stage in missing}))
    print(f"\nin all:  {estimate(plan.stages(), runner.store, runner.work_of)}")
    print(f"missing: {estimate(missing, runner.store, runner.work_of)}")
    return 0


def _experiment(options: argparse.Namespace) -> tuple["Config", "Method"]:
    """Settings and method, checked as far as that goes without the data, before anything heavy is imported."""
    from dmt_ray.methods import METHODS
    from dmt_ray.recipes import load

    if options.method not in METHODS:
        raise ConfigError(f"there is no method {options.method!r}; {nearest(options.method, METHODS)}")
    if options.seed < 0:
        raise ConfigError(f"--seed must be 0 or more, but got {options.seed}")
    return load(options.recipe, options.changes), METHODS[options.method]


def list_methods(options: argparse.Namespace) -> None:
    """Print methods, with their tasks and what can be searched in them, and recipes."""
    from dmt_ray.methods import METHODS, space_of
    from dmt_ray.recipes import RECIPES

    print("methods")
    for name, method in METHODS.items():
        print(f"  {name:16}{_first_line(method)}")
        spaces = {task: ", ".join(space_of(name, task)) for task in _tasks(method)}
        for settings in dict.fromkeys(spaces.values()):
            tasks = " and ".join(task for task, own in spaces.items() if own == settings)
            print(textwrap.indent(textwrap.fill(f"for {tasks}; searched: {settings}", 100), " " * 20))
    print("recipes")
    for name, recipe in RECIPES.items():
        print(f"  {name:16}{_first_line(recipe)}")


def _first_line(function: Callable[..., Any]) -> str:
    return (function.__doc__ or "").splitlines()[0]


def _tasks(method: "Method") -> "Iterator[Task]":
    """What a method is for: whether it makes a plan for such data."""
    from dmt_ray.config import DigitsData, ShapesData
    from dmt_ray.recipes import named

    for data in (ShapesData(), DigitsData()):
        with contextlib.suppress(ConfigError):
            method(named("shapes").evolve(data=data), 0)
            yield data.task


def check_data(options: argparse.Namespace) -> None:
    """Open a data set, which checks it, and describe it."""
    from dmt_ray.data import open_dataset
    from dmt_ray.data.report import report
    from dmt_ray.recipes import load

    config = load(options.recipe, options.changes)
    print(report(open_dataset(config.data, options.data, options.storage / "data")))


def download_data(options: argparse.Namespace) -> None:
    """Download a data set, and say where it is."""
    from dmt_ray.data.download import download
    from dmt_ray.recipes import load

    place = download(load(options.recipe, options.changes).data, options.data)
    print(f"downloaded to {place}; check it with: dmt data check --recipe {options.recipe} --data {options.data}")


# ---- sweeps and ablations --------------------------------------------------------------------------------------


def explain_faults(options: argparse.Namespace) -> None:
    """Print what went wrong in a sweep or an ablation."""
    from dmt_ray.ablation import why as of_ablation
    from dmt_ray.found import find, is_ablation
    from dmt_ray.search import why as of_sweep

    folder = find(options.storage, options.name)
    print((of_ablation if is_ablation(folder) else of_sweep).explain(folder))


def export_records(options: argparse.Namespace) -> None:
    """Write the tidy table of one or all ablations and sweeps."""
    from analysis import export

    export.check(options.out)
    frame = export.of_all(options.storage, options.name)
    export.write(frame, options.out)
    print(f"{len(frame)} numbers of {', '.join(frame['experiment'].unique())} are written to {options.out}")


def write_report(options: argparse.Namespace) -> None:
    """Write the page of an ablation or a sweep."""
    from ablations.tables import paper_numbers
    from analysis import report
    from dmt_ray.found import find

    report.write(find(options.storage, options.name), options.out, paper_numbers)
    print(f"written: {options.out}")


# ---- store -----------------------------------------------------------------------------------------------------


def list_store(options: argparse.Namespace) -> None:
    """Print the stages of a store, a line each."""
    from dmt_ray.estimate import size

    store = _existing_store(options.storage)
    rows = store.ls()
    for row in rows:
        evicted = f"  (evicted: {', '.join(row.evicted)})" if row.evicted else ""
        print(
            f"{row.operation + '-' + row.key[:8]:18}  seed {row.seed}  {size(row.bytes):>9}  {row.made}  "
            f"{row.summary}{evicted}"
        )
    print(f"{len(rows)} stages, {size(store.size())}")


def verify_store(options: argparse.Namespace) -> int:
    """Check every byte; status 1 if anything was damaged."""
    store = _existing_store(options.storage)
    damaged = store.verify()
    for name in damaged:
        print(f"damaged, set aside: {name}")
    for sentence in store.remade():
        print(f"note: {sentence}")
    print(f"{len(store.ls())} stages are intact, {len(damaged)} were damaged")
    return 1 if damaged else 0


def collect_garbage(options: argparse.Namespace) -> None:
    """Evict files until the budget is met."""
    from dmt_ray.estimate import size

    freed = _existing_store(options.storage).gc(_bytes(options.budget))
    print(
        f"{len(freed.evicted)} files evicted, {len(freed.removed)} leftovers removed: "
        f"{size(freed.bytes)} freed, {size(freed.left)} left"
    )


def _existing_store(folder: Path) -> Any:
    from dmt_ray.store import Store

    if not (folder / "store.json").exists():
        raise ConfigError(f"there is no store in {folder}. Pass its folder as --storage.")
    return Store(folder)


def _bytes(text: str) -> int:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kMGT]?)i?B?\s*", text)
    if not match:
        raise ConfigError(f"a size reads 500MB or 10GB, but got {text!r}")
    return int(float(match[1]) * 1000 ** " kMGT".index(match[2] or " "))


# ---- MLflow ----------------------------------------------------------------------------------------------------


def publish_everything(options: argparse.Namespace) -> int:
    """Publish every sweep, ablation and run of a storage folder; status 1 if MLflow still lacks some."""
    from ablations.described import in_markdown
    from dmt_ray.ablation.publishing import publish_all

    _existing_store(options.storage)
    return 1 if publish_all(options.storage, options.tracking_uri, in_markdown) else 0


def browse(options: argparse.Namespace) -> None:
    """Become the MLflow server; Ctrl-C ends it."""
    database = options.storage.absolute() / "mlflow.db"
    if not database.exists():
        raise ConfigError(f"there is nothing to browse yet: no {database}. Run `make sweep` or `dmt run` first.")
    os.environ |= {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    os.environ.setdefault("PYTHONWARNINGS", "ignore")  # of packages that MLflow is built on
    print(f"MLflow on http://{options.host}:{options.port} - Ctrl-C ends it", flush=True)
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{database}"]
    command += ["--host", options.host, "--port", str(options.port), "--workers", "1"]
    os.execv(sys.executable, command)


if __name__ == "__main__":
    sys.exit(main())
