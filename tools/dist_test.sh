#!/usr/bin/env bash
# Test on several GPUs or, where there is none, in several processes on the CPU (gloo).
# Usage: dist_test.sh CONFIG CHECKPOINT GPUS [options of test.py]
set -euo pipefail
if [ $# -lt 3 ]; then
  echo "usage: $0 CONFIG CHECKPOINT GPUS [options of test.py]" >&2
  exit 1
fi
TOOLS="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

PYTHONPATH="$TOOLS/..${PYTHONPATH:+:$PYTHONPATH}" exec python "$TOOLS/dist_launch.py" \
  --nnodes="${NNODES:-1}" \
  --node_rank="${NODE_RANK:-0}" \
  --master_addr="${MASTER_ADDR:-127.0.0.1}" \
  --master_port="${PORT:-29500}" \
  --nproc_per_node="$3" \
  "$TOOLS/test.py" "$1" "$2" --launcher pytorch "${@:4}"
