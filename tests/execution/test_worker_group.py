"""Worker groups: which fit where, which worker does what, and that two workers make the bytes of one."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dmt_ray.errors import ConfigError, TrainingFailed
from dmt_ray.execution.allocation import WorkerGroup, allocate
from dmt_ray.execution.worker_group import StageFailed, _doable, _raise_if_final, assign, side_of_error
from dmt_ray.methods import METHODS
from dmt_ray.recipes import load
from tests.helpers.paths import ROOT
from tests.helpers.sweeps import RunningSweep, started

NODES = [{"CPU": 8.0, "GPU": 2.0}, {"CPU": 8.0, "GPU": 2.0}, {"CPU": 4.0}]


@pytest.mark.parametrize(
    ("worker_group", "room"),
    [
        pytest.param(WorkerGroup(2, cpus=1, gpus=1), 4, id="one for each GPU"),
        pytest.param(WorkerGroup(2, cpus=5, gpus=1), 2, id="CPUs are scarce"),
        pytest.param(WorkerGroup(2, cpus=1, gpus=0.25), 16, id="four share a GPU"),
        pytest.param(WorkerGroup(2, cpus=1, gpus=0.3), 12, id="three share a GPU, and none lies on two"),
        pytest.param(WorkerGroup(2, cpus=1, gpus=0.6), 4, id="more than side of a GPU"),
        pytest.param(WorkerGroup(2, cpus=1), 20, id="on CPUs"),
        pytest.param(WorkerGroup(2, cpus=1, gpus=4), 0, id="no node has so many"),
    ],
)
def test_room_is_counted_node_by_node(worker_group, room):
    assert worker_group.room(NODES) == room


def test_as_many_trials_run_at_a_time_as_there_are_whole_groups():
    assert allocate(NODES, 2, cpus=1, gpus=None) == (WorkerGroup(2, 1, 1.0), 2)  # 4 GPUs
    assert allocate(NODES, 6, cpus=1, gpus=0) == (WorkerGroup(6, 1, 0), 3)  # 20 CPUs
    assert allocate([{"CPU": 2.0}], 1, cpus=1, gpus=None) == (WorkerGroup(1, 1, 0.0), 2)


@pytest.mark.parametrize(
    ("workers", "cpus", "gpus", "message"),
    [
        pytest.param(8, 1, 1, "room for 4 workers of 1 CPU and 1 GPU: --workers 4 would fit", id="too many"),
        pytest.param(4, 5, 1, "room for 2 workers of 5 CPUs and 1 GPU: --workers 2 would fit", id="too large"),
        pytest.param(
            2, 9, 0, "--cpus-per-worker is 9, but no node of the Ray cluster has more than 8 CPUs: ", id="CPUs"
        ),
    ],
)
def test_a_group_without_room_is_refused_with_what_would_fit(workers, cpus, gpus, message):
    with pytest.raises(ConfigError, match=message):
        allocate(NODES, workers, cpus=cpus, gpus=gpus)


@pytest.mark.parametrize(
    ("nodes", "cpus", "message"),
    [
        pytest.param(
            [{"CPU": 2.0}, {"CPU": 4.0}],
            1,
            "--gpus-per-worker is 0.5, but no node of the Ray cluster has a GPU (found: 2 nodes with 6 CPUs "
            "altogether). Leave it out to compute on CPUs",
            id="no GPU at all",
        ),
        pytest.param(
            [{"CPU": 2.0, "GPU": 1.0}, {"CPU": 64.0}],
            4,
            "--cpus-per-worker is 4, but no node of the Ray cluster that has a GPU has more than 2 CPUs: "
            "--cpus-per-worker 2 would fit",
            id="the CPUs are elsewhere",
        ),
        pytest.param([{"GPU": 1.0}], 1, "no node of the Ray cluster that has a GPU has a CPU for workers", id="no CPU"),
    ],
)
def test_a_worker_that_fits_on_no_node_is_refused_with_its_option_and_what_there_is(nodes, cpus, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        allocate(nodes, 1, cpus=cpus, gpus=0.5)


def test_each_side_has_a_model_of_its_own():
    plan = METHODS["dmt"](load("shapes"), 0)
    targets = [stage for rung in plan.rungs for stage in rung.values()]
    assigned = assign(targets, plan.stages())
    assert [wave.together for wave in assigned] == [()] * len(assigned)
    for wave in assigned:
        assert [{stage.side for stage in side} for side in wave.sides] == [{"A"}, {"B"}]
    assert {stage for wave in assigned for stage in wave.stages()} == set(plan.stages())


def test_a_stage_that_is_alone_in_its_wave_has_all_workers():
    plan = METHODS["baseline"](load("shapes"), 0)
    assert [wave.sides for wave in assign(plan.rungs[0].values(), plan.stages())] == [((), ())] * 2


def test_an_interrupted_plan_is_assigned_as_a_whole_one_is():
    plan = METHODS["dmt"](load("shapes"), 0)
    (of_b,) = [stage for stage in plan.stages() if stage.operation.name == "pretrain" and stage.side == "B"]
    # A's pretraining is there already: B's must not get all workers because of that.
    assert [(wave.together, wave.sides) for wave in assign(plan.rungs[0].values(), [of_b])] == [((), ((), (of_b,)))]


def test_models_of_several_seeds_are_assigned_in_turn():
    targets = [METHODS["baseline"](load("shapes"), seed).rungs[0]["A"] for seed in range(5)]
    models = [target.inputs["model"] for target in targets]
    assert assign(targets, models)[0].sides == (tuple(models[::2]), tuple(models[1::2]))


def test_a_training_of_both_models_has_all_workers_although_evaluations_could_go_beside_it():
    plan = METHODS["rml"](load("shapes"), 0)
    assigned = assign([stage for rung in plan.rungs for stage in rung.values()], plan.stages())
    together = [wave.together for wave in assigned if wave.together]
    assert together == [(plan.rungs[rung]["A"].inputs["model"],) for rung in (1, 2)]
    assert {stage for wave in assigned for stage in wave.stages()} == set(plan.stages())


def test_trainings_of_both_models_of_two_seeds_go_to_a_side_each():
    targets = [METHODS["rml"](load("shapes"), seed).rungs[1]["A"] for seed in (0, 1)]
    both = [target.inputs["model"] for target in targets]
    assert assign(targets, both)[0].sides == ((both[0],), (both[1],))


def test_what_needs_a_stage_of_another_trial_is_left_for_later():
    plan = METHODS["dmt"](load("shapes"), 0)
    stages = plan.stages()
    other = plan.rungs[0]["A"].inputs["model"]  # pretraining of A: another trial is at it
    mine = [stage for stage in stages if stage != other]
    doable = _doable(mine, stages)
    assert plan.rungs[0]["B"] in doable
    assert plan.rungs[0]["A"] not in doable
    # B learns from A's labels, and everything after that needs it.
    assert {stage.operation.name for stage in doable} == {"pretrain", "evaluate", "label"}


class Failures(Exception):
    def __init__(self, **worker_failures: Exception) -> None:
        super().__init__("worker errors")
        self.worker_failures = {int(rank[1:]): error for rank, error in worker_failures.items()}


def test_an_error_of_a_stage_is_final_whatever_the_other_workers_say():
    broken = StageFailed("TrainingFailed", "the loss became NaN or infinite", "finetune-1", "node7", 1)
    noise = StageFailed("RuntimeError", "Connection closed by peer", "finetune-2", "node8", 0)
    with pytest.raises(TrainingFailed, match=r"^the loss became NaN or infinite") as raised:
        _raise_if_final(Failures(r0=noise, r1=broken), 0)
    assert raised.value.__notes__ == ["in finetune-1 on node7"]
    assert side_of_error(raised.value) == 1


def test_a_lost_worker_is_replaced_twice_and_then_given_up():
    lost = Failures(r0=RuntimeError("the actor died"))
    _raise_if_final(lost, 1)
    _raise_if_final(lost, 2)
    with pytest.raises(TrainingFailed, match="lost workers 3 times in a row"):
        _raise_if_final(lost, 3)


def workers_of(run: RunningSweep) -> list[int]:
    """The processes of a run's worker group."""
    lines = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in run.processes()}
    return [pid for pid, line in lines.items() if b"RayTrainWorker" in line]


def test_two_workers_make_the_bytes_of_one_even_if_one_of_them_is_killed(tmp_path, settings, pictures):
    words = ["-m", "dmt_ray.cli", "run", "--recipe", settings, "--data", pictures]
    with started(tmp_path / "one", *words, "--threads", "1") as one:
        said = one.finish()
        assert one.process.returncode == 0, said
    with started(tmp_path / "two", *words, "--workers", "2") as two:
        while not two.digests() or not workers_of(two):
            assert two.process.poll() is None, two.finish()
            time.sleep(0.02)
        os.kill(workers_of(two)[1], signal.SIGKILL)
        assert len(two.digests()) < len(one.digests())
        said = two.finish()
        assert two.process.returncode == 0, said
    assert two.digests() == one.digests()
    left = [path.name for place in ("leases", "staging", "scratch") for path in (tmp_path / "two" / place).glob("*")]
    assert left == []


LEAK = """
from dmt_ray.execution import cluster
cluster.connect(None, cpus=2)
import ray, time
from ray.util.placement_group import placement_group
from dmt_ray.execution.ray_private import free_leaked

@ray.remote(num_cpus=0)
class Controller:
    def reserve(self):
        ray.get(placement_group([{"CPU": 1}]).ready())

mine = placement_group([{"CPU": 1}])
ray.get(mine.ready())
one = Controller.remote()
ray.get(one.reserve.remote())
assert free_leaked() == 0
ray.kill(one)
end = time.monotonic() + 20
while not (freed := free_leaked()) and time.monotonic() < end:
    time.sleep(0.1)
assert freed == 1, freed
end = time.monotonic() + 20
while ray.available_resources().get("CPU") != 1 and time.monotonic() < end:
    time.sleep(0.1)
print(ray.available_resources()["CPU"], free_leaked())
"""


def test_only_what_a_dead_controller_has_left_is_given_back():
    done = subprocess.run([sys.executable, "-c", LEAK], cwd=ROOT, capture_output=True, text=True, env=os.environ)
    assert done.stdout == "1.0 0\n", done.stderr
