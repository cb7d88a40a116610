#!/usr/bin/env bash
# Sets everything up and passes all checks: ruff's lint and format, mypy, then pytest.
# Further arguments go to pytest, e.g. tests/test_evaluation -k luna16; --coverage, as the first one,
# also prints which statements of mmlesion the tests run in this process.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tools/setup_env.sh
ruff check .
ruff format --check .
mypy
if [ "${1:-}" = --coverage ]; then
  shift
  coverage run --source mmlesion -m pytest "$@"
  exec coverage report --skip-covered --sort=miss
fi
exec python -m pytest "$@"
