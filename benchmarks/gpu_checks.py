"""What to run first where a GPU is at hand: whether everything works there, in one table. Made to take
less than ten minutes there.

Every operation is performed on the device and on the CPU, from the same inputs, and the results are compared; trainings
are repeated, with deterministic algorithms and without; two workers train one model on the same device; and what the
host waits for is looked at. Images are noise, so no data set is needed. The exit status is 1 if a check fails.

    python benchmarks/gpu_checks.py                  # on the GPU
    python benchmarks/gpu_checks.py --device cpu     # the script itself, without a GPU
"""

import argparse
import csv
import importlib
import json
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from timing import noise_of, wait

from dmt_ray import models
from dmt_ray.cli.options import guarded
from dmt_ray.config import Config, Split, override
from dmt_ray.engine.inference import WholeImages
from dmt_ray.engine.team import Team
from dmt_ray.engine.workspace import Workspace, device_of
from dmt_ray.execution.gpu import deterministic, gpu_errors
from dmt_ray.methods import METHODS
from dmt_ray.plan import Stage
from dmt_ray.recipes import load, named

IMAGES, SIDE = 40, 64
SHORT: dict[str, Any] = {f"{name}.epochs": 1 for name in ("pretrain", "finetune", "online", "cotrain", "retrain")}
# Together they go through every operation, and cotrain in all its forms.
METHOD_CHANGES: Mapping[str, Mapping[str, Any]] = {
    "dmt": {"order": "sequential", "first": "val"},
    "cbst": {"label": "renormalised"},
    "rwms": {},
    "mean_teacher": {},
    "fixmatch": {},
    "unimatch": {},
    "unimatch_v2": {},
    "cps": {},
    "direct_mutual": {},
    "iml": {},
    "rml": {"consistency.stages": 1},
}
LOSS, LABELS = 1e-3, 0.99  # relative difference of a loss; share of equal labels
TESTS = Path(__file__).parents[1] / "tests/engine/test_host_never_waits.py"
WHOLE = (1024, 2048)  # Cityscapes


@dataclass
class Table:
    """The lines that are printed, and whether all is well."""

    failed: list[str] = field(default_factory=list)

    def check(self, name: str, run: Callable[[], str]) -> None:
        """Run a check and print its line; one that raises has failed."""
        began = time.perf_counter()
        try:
            verdict, note = "ok", run()
        except Exception as error:
            verdict, note = "FAILED", f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            self.failed.append(name)
        print(f"{name:34} {verdict:6} {time.perf_counter() - began:7.1f} s  {note}", flush=True)


def main() -> int | None:
    """Run all checks; 1 if one of them has failed."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--device", default="cuda", help="cuda, cuda:1, ..., or cpu (default: cuda)")
    device = device_of(options.parse_args().device)
    on_gpu, table = device.type == "cuda", Table()
    torch.set_num_threads(1)
    torch.backends.cudnn.allow_tf32 = False  # what is compared with a CPU is computed as precisely
    print(f"torch {torch.__version__}, {torch.cuda.get_device_name(device) if on_gpu else 'cpu'}")
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        _check_operations(table, root, device)
        training = _stage(settings({}), "dmt", "finetune")
        table.check("half precision", lambda: _half(root / "half", device))
        table.check("the same again", lambda: _twice(training, root / "again", device, False))
        table.check("the same again, deterministic", lambda: _twice(training, root / "exactly", device, True))
        table.check("batches of 1 and of 16", lambda: _batches(root / "batches", device))
        for method, operation in (("dmt", "pretrain"), ("dmt", "finetune"), ("rml", "cotrain")):
            table.check(f"two workers: {operation}", partial(_pair, method, operation, root, device))
    if on_gpu:
        table.check("the host never waits", _never_waits)
        table.check("memory of whole images", lambda: _memory(device))
    print(f"failed: {', '.join(table.failed)}" if table.failed else "all is well")
    return 1 if table.failed else None


def settings(changes: Mapping[str, Any]) -> Config:
    """Settings that take seconds."""
    return override(named("shapes"), {**SHORT, "percentiles": [1.0], **changes}).evolve(split=Split(labelled=8))


def workspace(device: torch.device) -> Workspace:
    """Noise, on a device."""
    return Workspace(noise_of(named("shapes").data, IMAGES, (SIDE, SIDE)), device)


def _check_operations(table: Table, root: Path, device: torch.device) -> None:
    done, checked = set[str](), set[str]()
    for method, changes in METHOD_CHANGES.items():
        for stage in METHODS[method](settings(changes), 0).stages():
            if stage.key in done or (stage.operation.name == "evaluate" and method != "dmt"):
                continue
            done.add(stage.key)
            expected = perform(stage, workspace(torch.device("cpu")), root / "cpu", root / "cpu")
            name = f"{stage.operation.name} of {method}"
            if name not in checked:
                checked.add(name)
                table.check(name, partial(_compare, stage, expected, workspace(device), root))


def _compare(stage: Stage, expected: Path, work: Workspace, root: Path) -> str:
    return _alike(expected, perform(stage, work, root / "cpu", root / "here"))


def perform(stage: Stage, work: Workspace, inputs: Path, outputs: Path) -> Path:
    """Perform a stage from the folders of its inputs; its own folder."""
    out, scratch = outputs / stage.key, outputs / f"{stage.key}-scratch"
    for folder in (out, scratch):
        folder.mkdir(parents=True, exist_ok=True)
    given = {name: inputs / needed.key for name, needed in stage.inputs.items()}
    name = stage.operation.name
    work = replace(work, seed=stage.seed, inputs=given, out=out, scratch=scratch)
    with gpu_errors(work):
        getattr(importlib.import_module(f"dmt_ray.engine.{name}"), name)(stage.config, work)
    wait(work.device)
    return out


def _perform_all(stages: Sequence[Stage], work: Workspace, root: Path) -> Path:
    for stage in stages:
        folder = perform(stage, work, root, root)
    return folder


def _stage(config: Config, method: str, operation: str) -> list[Stage]:
    """The first stage of an operation in a plan, after all that it needs."""
    stages = METHODS[method](config, 0).stages()
    last = next(stage for stage in stages if stage.operation.name == operation)
    needed = [last]
    for stage in reversed(stages):
        if any(stage in later.inputs.values() for later in needed):
            needed.insert(0, stage)
    return needed


def _alike(expected: Path, found: Path) -> str:
    """How far two folders of a stage are apart; raises ValueError where it is too far."""
    notes = []
    for file in sorted(expected.iterdir()):
        other = found / file.name
        if file.name == "history.csv":
            apart = abs(_loss(other) / _loss(file) - 1)
            notes.append((f"loss off by {apart:.1e}", apart <= LOSS))
        elif file.suffix == ".npy":
            equal = float(np.mean(np.load(file) == np.load(other)))
            # Confidences of one byte are rounded, here and there to the other side.
            notes.append((f"{100 * equal:.2f} % of {file.name}", equal >= LABELS))
        elif file.name == "metrics.json":
            ours, theirs = (json.loads(path.read_text())["reported"]["pixel_accuracy"] for path in (other, file))
            notes.append((f"accuracy off by {abs(ours - theirs):.1e}", abs(ours - theirs) <= 1 - LABELS))
        elif not other.exists():
            notes.append((f"there is no {file.name}", False))
    text = ", ".join(note for note, _ in notes)
    if not all(good for _, good in notes):
        raise ValueError(f"not what the CPU has: {text}")
    return text


def _loss(history: Path) -> float:
    with history.open(newline="") as stream:
        return float(list(csv.DictReader(stream))[-1]["loss"])


def _half(root: Path, device: torch.device) -> str:
    losses = []
    for precision in ("float32", "bfloat16"):
        config = settings({"finetune.precision": precision})
        losses.append(_loss(_perform_all(_stage(config, "dmt", "finetune"), workspace(device), root) / "history.csv"))
    if not abs(losses[1] / losses[0] - 1) < 0.1:
        raise ValueError(f"the loss is {losses[1]:.4g}, but in full precision {losses[0]:.4g}")
    return f"loss {losses[1]:.4g}, in full precision {losses[0]:.4g}"


def _twice(stages: Sequence[Stage], root: Path, device: torch.device, exactly: bool) -> str:
    """Whether a training ends with the same bytes; it has to where only deterministic algorithms are allowed."""
    digests, seconds = [], []
    with deterministic(exactly):
        for run in ("warm", "first", "second"):
            began = time.perf_counter()
            folder = _perform_all(stages, workspace(device), root / run)
            seconds.append(time.perf_counter() - began)
            digests.append([file.read_bytes() for file in sorted(folder.iterdir())])
    same = digests[1] == digests[2]
    if exactly and not same:
        raise ValueError("two runs have different bytes")
    return f"{'the same bytes' if same else 'other bytes'}; {min(seconds[1:]):.2f} s"


def _batches(root: Path, device: torch.device) -> str:
    """What a label is must not depend on the batch in which its image goes through the network."""
    stages = _stage(settings({}), "dmt", "label")
    _perform_all(stages[:-1], workspace(device), root)
    found = [perform(stages[-1], replace(workspace(device), eval_batch=n), root, root / str(n)) for n in (16, 1)]
    return _alike(*found)


def _pair(method: str, operation: str, root: Path, device: torch.device) -> str:
    """Two workers on the same device, in double precision, against one."""
    double = {f"{name}.precision": "float64" for name in ("pretrain", "finetune", "cotrain")}
    stages = _stage(settings(double | dict(METHOD_CHANGES[method])), method, operation)
    one = _perform_all(stages, workspace(device), root / "one")
    context = multiprocessing.get_context("spawn")
    meeting, errors = root / f"meeting-{operation}", context.SimpleQueue()
    workers = [
        context.Process(target=_work, args=(rank, meeting, stages[-1], str(device), root, errors)) for rank in range(2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(300)
        worker.kill()
    if not errors.empty():
        raise RuntimeError(errors.get())
    if any(worker.exitcode for worker in workers):
        raise RuntimeError(f"the workers ended with {[worker.exitcode for worker in workers]}")
    apart = abs(_loss(root / "two-0" / stages[-1].key / "history.csv") / _loss(one / "history.csv") - 1)
    if not apart <= 1e-5:
        raise ValueError(f"the loss is off by {apart:.1e}")
    return f"loss off by {apart:.1e}"


def _work(rank: int, meeting: Path, stage: Stage, device: str, root: Path, errors: Any) -> None:
    torch.set_num_threads(1)
    # gloo: NCCL wants a GPU for each worker. It is what --gpus-per-worker 0.5 takes.
    there = timedelta(seconds=240)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2, timeout=there)
    try:
        work = replace(workspace(device_of(device)), team=Team(rank, 2, dist.group.WORLD, dist.group.WORLD))
        perform(stage, work, root / "one", root / f"two-{rank}")
    except Exception as error:
        errors.put(f"{type(error).__name__} on worker {rank}: {error}")
        raise
    finally:
        dist.destroy_process_group()


def _never_waits() -> str:
    """The tests in which the GPU itself says what the host waits for."""
    command = [sys.executable, "-m", "pytest", "-n0", "-q", "-k", "real", str(TESTS)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    last = (result.stdout.strip().splitlines() or [result.stderr])[-1]
    if result.returncode:
        raise RuntimeError(last)
    return last


def _memory(device: torch.device) -> str:
    """What a forward pass over whole images of Cityscapes takes: for --eval-batch."""
    config = load("cityscapes-1/8", [])
    work = Workspace(noise_of(config.data, 16, WHOLE), device)
    network = models.build(config.model.evolve(weights_file=None), len(work.dataset.classes))
    network = network.to(device).to(memory_format=torch.channels_last).eval()
    whole, notes = WholeImages(network, work, work.dataset.subsets["train"]), []
    for batch in (1, 4, 16):
        torch.cuda.reset_peak_memory_stats(device)
        try:
            whole.logits(range(batch)).argmax(dim=1)
        except torch.OutOfMemoryError:
            notes.append(f"{batch}: too many")
            break
        notes.append(f"{batch}: {torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB")
    return ", ".join(notes)


if __name__ == "__main__":
    raise SystemExit(guarded(main))
