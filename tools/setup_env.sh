#!/usr/bin/env bash
# Brings .venv to the state that every command of the README needs, and does nothing where it is
# already there. Source it: it leaves the environment active.
#
#   PYTHON      the interpreter to make .venv from (python3)
#   MMCV_WHEEL  a wheel of mmcv with its compiled operators, taken instead of building one
#   MAX_JOBS    compilers to run at a time while mmcv is built (one a core)
#
# A torch or an mmcv with operators that $PYTHON already has is used as it is.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
TORCH_VERSION=2.13.0
MMCV_VERSION=2.1.0
MMENGINE_VERSION=0.10.7
MMDET_VERSION=3.3.0

say() { printf '[setup] %s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }
has() { python -c "import importlib; [importlib.import_module(m) for m in '$*'.split()]" >/dev/null 2>&1; }

# Where the wheel is kept: a machine builds it once for its torch, Python and mmcv.
wheel_cache() {
  local key
  key="mmcv$MMCV_VERSION-$(python -c 'import sys, torch
print(f"torch{torch.__version__}-py{sys.version_info[0]}{sys.version_info[1]}")')"
  echo "${XDG_CACHE_HOME:-$HOME/.cache}/mmlesion/wheels/$key"
}

# As released, mmcv's 57 thin operator files each parse all of torch's headers. Included from one
# file they compile as one unit; those in cpu/ define the same macros and stay on their own.
# Renaming takes them out of the pattern by which mmcv's setup.py collects its sources.
join_thin_sources() {
  local dir="$1/mmcv/ops/csrc/pytorch" file
  for file in "$dir"/*.cpp; do
    mv "$file" "${file%.cpp}.inc"
    echo "#include \"$(basename "${file%.cpp}.inc")\"" >> "$dir/all_ops.cc"
  done
  mv "$dir/all_ops.cc" "$dir/all_ops.cpp"
}

build_mmcv_wheel() {
  local cache="$1" work
  command -v "${CXX:-g++}" >/dev/null || die "mmcv needs a C++ compiler to build: install g++, or set MMCV_WHEEL"
  work="$(mktemp -d)"
  say "building mmcv $MMCV_VERSION, once on this machine: some minutes"
  (
    cd "$work" || exit 1
    pip download -q --no-deps --no-binary=:all: --no-build-isolation "mmcv==$MMCV_VERSION" || exit 1
    tar xzf mmcv-*.tar.gz && join_thin_sources "mmcv-$MMCV_VERSION" || exit 1
    cd "mmcv-$MMCV_VERSION" || exit 1
    CFLAGS="-g0 ${CFLAGS:-}" MMCV_WITH_OPS=1 MAX_JOBS="${MAX_JOBS:-$(nproc)}" \
      python setup.py -q bdist_wheel -d "$work/dist" > "$work/build.log" 2>&1 || exit 1
  ) || { tail -n 30 "$work/build.log" >&2; die "mmcv did not build; its log is $work/build.log"; }
  mkdir -p "$cache"
  # under a name that is not taken for a wheel, until it is whole
  local wheel
  wheel="$(compgen -G "$work/dist/*.whl")"
  cp "$wheel" "$cache/.partial" && mv "$cache/.partial" "$cache/$(basename "$wheel")"
  rm -rf "$work"
}

install_mmcv() {
  local cache wheel
  if [ -n "${MMCV_WHEEL:-}" ]; then
    [ -f "$MMCV_WHEEL" ] || die "MMCV_WHEEL names no file: $MMCV_WHEEL"
    pip install -q "$MMCV_WHEEL"
    return
  fi
  cache="$(wheel_cache)"
  compgen -G "$cache/*.whl" >/dev/null || build_mmcv_wheel "$cache"
  wheel="$(compgen -G "$cache/*.whl" | head -n 1)"
  pip install -q "$wheel"
}

make_venv() {
  local base="${PYTHON:-python3}" options=()
  command -v "$base" >/dev/null || die "no $base here: install Python 3.8 or newer, or set PYTHON"
  "$base" -c 'import torch' >/dev/null 2>&1 && options=(--system-site-packages)
  say "making .venv with $("$base" --version 2>&1)"
  "$base" -m venv "${options[@]}" "$ROOT/.venv" || die "python3 -m venv failed (Debian: apt-get install python3-venv)"
}

# One line that changes whenever what the environment must hold does.
environment_stamp() {
  echo "$TORCH_VERSION $MMCV_VERSION $MMENGINE_VERSION $MMDET_VERSION" \
    "$(cat "$ROOT"/requirements/*.txt "$ROOT/setup.py" | cksum)"
}

setup_env() {
  # written last: without it, the making of .venv was broken off
  [ -f "$ROOT/.venv/bin/activate" ] || make_venv
  # shellcheck disable=SC1091
  source "$ROOT/.venv/bin/activate"
  local stamp="$ROOT/.venv/mmlesion-stamp"
  if [ "$(cat "$stamp" 2>/dev/null)" = "$(environment_stamp)" ]; then return; fi
  rm -f "$stamp"
  local torch=()
  has torch || torch=("torch==$TORCH_VERSION")
  say "installing torch and the Python packages"
  pip install -q -r "$ROOT/requirements/build.txt" -r "$ROOT/requirements/runtime.txt" \
    -r "$ROOT/requirements/tests.txt" "${torch[@]}" || die "pip could not install the requirements"
  has mmengine || pip install -q "mmengine==$MMENGINE_VERSION" || die "pip could not install mmengine"
  has mmcv._ext || install_mmcv || die "mmcv could not be installed"
  has mmdet || pip install -q "mmdet==$MMDET_VERSION" || die "pip could not install mmdet"
  pip install -q --no-deps --no-build-isolation -e "$ROOT" || die "pip could not install mmlesion"
  has mmcv._ext mmdet mmlesion || python -c 'import mmcv._ext, mmdet, mmlesion' || die "the environment does not import"
  environment_stamp > "$stamp"
  say "ready: $ROOT/.venv"
}

setup_env
