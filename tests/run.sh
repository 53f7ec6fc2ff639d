#!/usr/bin/env bash
# Install into .venv and run linter, type checker and tests; arguments go to pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tests/environment.sh
prepare_environment tests/requirements.txt

"$python" -m ruff check .
"$python" -m mypy
# Two processes of one thread each get more out of two cores than one process of two threads.
OMP_NUM_THREADS=1 "$python" -m pytest -q -n 2 "$@"
