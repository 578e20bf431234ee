#!/usr/bin/env bash
# A sweep on Slurm: starts a Ray cluster inside the allocation, runs the search on it, and ends both.
#
#   sbatch docs/cluster/slurm.sh --recipe camvid --data /shared/camvid --storage /shared/runs --trials 30
#
# Everything after the script's name goes to the search. Submit it from the checkout, which all nodes must see with its
# .venv. When the time is up, or after scancel, submit the same line again: the sweep goes on where it was.
#SBATCH --job-name=dmt-sweep
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-node=2
#SBATCH --time=08:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --output=dmt-sweep-%j.log
set -euo pipefail

cd "$SLURM_SUBMIT_DIR"
PATH="$PWD/.venv/bin:$PATH"
cpus=${SLURM_CPUS_PER_TASK:-1}
gpus=${SLURM_GPUS_ON_NODE:-0}
nodes=$SLURM_JOB_NUM_NODES
read -r head < <(scontrol show hostnames "$SLURM_JOB_NODELIST") # the node that runs this script
ip=$(getent ahostsv4 "$head" | awk 'NR == 1 {print $1}')
port=$((20000 + SLURM_JOB_ID % 10000)) # Ray keeps 10002 to 19999 for its workers

# Without a token everybody who reaches the port can run code as you.
RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))')
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN RAY_USAGE_STATS_ENABLED=0
unset PYTHONDONTWRITEBYTECODE

steps=()
sweep=
trap 'kill "${steps[@]}" 2>/dev/null || true; wait || true' EXIT
trap '[[ -z $sweep ]] || kill -TERM "$sweep" 2>/dev/null || true' TERM INT

temporary=${TMPDIR:-/tmp}
((${#temporary} <= 25)) || temporary=/tmp # the path of a socket may have 107 bytes, and Ray puts 80 behind this

srun --overlap --nodes=1 --ntasks=1 --nodelist="$head" \
    ray start --head --block --node-ip-address="$ip" --port="$port" --num-cpus="$cpus" --num-gpus="$gpus" \
    --include-dashboard=false --temp-dir="$temporary/ray-$SLURM_JOB_ID" &
steps+=($!)

for _ in {1..60}; do
    ray health-check --address "$ip:$port" 2>/dev/null && break
    sleep 2
done

if ((nodes > 1)); then
    srun --overlap --nodes=$((nodes - 1)) --ntasks=$((nodes - 1)) --ntasks-per-node=1 --exclude="$head" \
        ray start --block --address="$ip:$port" --num-cpus="$cpus" --num-gpus="$gpus" &
    steps+=($!)
fi

python - "$ip:$port" "$nodes" <<'PYTHON'
import sys
import time

import ray

address, nodes = sys.argv[1], int(sys.argv[2])
ray.init(address=address, logging_level="error", log_to_driver=False)
for _ in range(120):
    here = sum(node["Alive"] for node in ray.nodes())
    if here >= nodes:
        sys.exit()
    time.sleep(1)
sys.exit(f"only {here} of {nodes} nodes have joined the Ray cluster")
PYTHON

python searches/gamma_sweep.py --address "$ip:$port" "$@" &
sweep=$!
status=0
wait "$sweep" || status=$?
while kill -0 "$sweep" 2>/dev/null; do # a signal has ended the wait, not the sweep
    status=0
    wait "$sweep" || status=$?
done
exit "$status"
