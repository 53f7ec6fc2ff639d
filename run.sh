#!/usr/bin/env bash
# Install into .venv and run the demos: bash run.sh [SR|DN|DR]; without an argument, all three.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source tests/environment.sh
prepare_environment requirements.txt

tasks=("$@")
[ ${#tasks[@]} -gt 0 ] || tasks=(SR DN DR)
for task in "${tasks[@]}"; do
  [ -f "demo-${task}_CEM.yml" ] || { echo "usage: bash run.sh [SR|DN|DR]" >&2; exit 2; }
done

reports=()
for task in "${tasks[@]}"; do
  "$python" demo_causal_effect_calculation.py --config "demo-${task}_CEM.yml"
  "$python" demo_CEM_generation.py --config "demo-${task}_CEM.yml"
  reports+=("$PWD/${task}_DEMO_Result.html")
done
printf '\nOpen in a browser:\n'
printf '  %s\n' "${reports[@]}"
