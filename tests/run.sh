#!/usr/bin/env bash
# Install into .venv and run linter, type checker and tests; with --all, the slow ones too; other arguments go to pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tests/environment.sh
prepare_environment tests/requirements.txt

tests="not slow"
if [ "${1:-}" = --all ]; then
  tests="slow or not slow"
  shift
fi

"$python" -m ruff check .
"$python" -m mypy
# Two processes of one thread each get more out of two cores than one process of two threads.
OMP_NUM_THREADS=1 "$python" -m pytest -q -n 2 -m "$tests" "$@"
