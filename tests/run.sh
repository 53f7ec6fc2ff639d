#!/usr/bin/env bash
# Install into .venv and run linter, type checker and tests; arguments go to pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tests/environment.sh
prepare_environment tests/requirements.txt

"$python" -m ruff check .
"$python" -m mypy
"$python" -m pytest -q "$@"
