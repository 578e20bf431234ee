#!/usr/bin/env bash
# Build the wheel, install it into a fresh environment, and use it in an empty folder, as somebody without a checkout does.
#
#   bash .github/try_wheel.sh [FOLDER]     the environment and the results are left in FOLDER (default: a temporary one)
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
folder=${1:-$(mktemp -d)}
python=${PYTHON:-python3}

rm -rf "$root/dist" "$root/build"
"$python" -m venv "$folder/build"
"$folder/build/bin/python" -m pip install --quiet build
"$folder/build/bin/python" -m build --wheel --outdir "$root/dist" "$root" >"$folder/build.log"
top=$("$python" -m zipfile --list "$root"/dist/*.whl | awk 'NR > 1 {split($1, parts, "/"); print parts[1]}' | sort -u | grep -v '\.dist-info$')
[ "$top" = dmt_ray ] || { echo "the wheel holds other packages than dmt_ray: $top" >&2; exit 1; }

"$python" -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --constraint "$root/constraints.txt" "$root"/dist/*.whl
mkdir -p "$folder/empty"
cd "$folder/empty"
PATH="$folder/env/bin:$PATH"
set -x
dmt --version
dmt sweep gamma_sweep --trials 1
dmt ablate components --rows CBST --seeds 0 1
dmt table components
dmt report
