#!/usr/bin/env bash
# Brings .venv to the state that every command of the README needs, and does nothing where it is
# already there. Source it: it leaves the environment active.
#
#   PYTHON      the interpreter to make .venv from (python3)
#   MMLAB       onedl takes the maintained forks of mmcv, mmdet and mmengine (openmmlab)
#   MMCV_WHEEL  a wheel of mmcv with its compiled operators, taken instead of building one
#   FORCE_CUDA  1 builds mmcv's CUDA operators where no GPU is seen, as on a login node; 0 none
#   MAX_JOBS    compilers to run at a time while mmcv is built (one a core)
#
# A torch or an mmcv with operators that $PYTHON already has is used as it is.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
case "${MMLAB:=openmmlab}" in
  openmmlab) MMCV=mmcv==2.1.0 MMENGINE=mmengine==0.10.7 MMDET=mmdet==3.3.0 MIN_PYTHON=9 ;;
  onedl)
    MMCV=onedl-mmcv==2.3.6 MMENGINE=onedl-mmengine==0.10.12 MMDET=onedl-mmdetection==3.5.1
    MIN_PYTHON=10
    ;;
  *) echo "[setup] error: MMLAB is openmmlab or onedl, not $MMLAB" >&2; exit 1 ;;
esac

say() { printf '[setup] %s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }
has() { python -c "import importlib; [importlib.import_module(m) for m in '$*'.split()]" >/dev/null 2>&1; }

# The last torch that there is for a Python.
torch_version() {
  python -c 'import sys; print("2.8.0" if sys.version_info < (3, 10) else "2.13.0")'
}

# The CUDA version that torch was built for; empty if for none.
torch_cuda() { python -c 'import torch; print(torch.version.cuda or "")'; }

sees_gpu() { python -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; }

# Print cuda or cpu, for which mmcv is to be built. As in mmcv's own set-up that is what torch sees,
# or what FORCE_CUDA says; but it is said, since the first RoIAlign on a GPU would be late.
choose_operators() {
  local cuda
  cuda="$(torch_cuda)"
  if [ -z "$cuda" ] || [ "${FORCE_CUDA:-}" = 0 ]; then
    echo cpu
  elif [ "${FORCE_CUDA:-}" != 1 ] && ! sees_gpu; then
    say "torch is for CUDA $cuda, but sees no GPU here: mmcv is built for the CPU alone. For GPUs, as on a" \
      "login node, set FORCE_CUDA=1, which needs nvcc, or MMCV_WHEEL"
    echo cpu
  elif command -v "${CUDA_HOME:+$CUDA_HOME/bin/}nvcc" >/dev/null; then
    echo cuda
  else
    die "mmcv's CUDA operators need nvcc, which is not here: install the CUDA toolkit ${cuda%%.*} and set" \
      "CUDA_HOME, or give a wheel by MMCV_WHEEL, or set FORCE_CUDA=0 for the CPU alone"
  fi
}

# Where the wheel is kept: a machine builds it once for its torch, Python, mmcv, and CPU or CUDA.
wheel_cache() {
  local key suffix=
  [ "$1" = cuda ] && suffix=-cuda
  key="${MMCV/==/}-$(python -c 'import sys, torch
print(f"torch{torch.__version__}-py{sys.version_info[0]}{sys.version_info[1]}")')$suffix"
  echo "${XDG_CACHE_HOME:-$HOME/.cache}/mmlesion/wheels/$key"
}

# mmcv 2.1.0 reads its version by a way that Python 3.13 has no more.
mend_version() {
  sed -i "s/exec(compile(f.read(), version_file, 'exec'))/names = {}; exec(f.read(), names)/;
    s/return locals()\['__version__'\]/return names['__version__']/" "$1/setup.py"
}

# As released, mmcv's 57 thin operator files each parse all of torch's headers. Included from one
# file they compile as one unit; those in cpu/ define the same macros and stay on their own, as do
# the CUDA kernels. Renaming takes them out of the pattern by which mmcv's setup.py collects its
# sources.
join_thin_sources() {
  local dir="$1/mmcv/ops/csrc/pytorch" file
  for file in "$dir"/*.cpp; do
    mv "$file" "${file%.cpp}.inc"
    echo "#include \"$(basename "${file%.cpp}.inc")\"" >> "$dir/all_ops.cc"
  done
  mv "$dir/all_ops.cc" "$dir/all_ops.cpp"
}

build_mmcv_wheel() {
  local cache="$1" operators="$2" work minutes="some minutes"
  command -v "${CXX:-g++}" >/dev/null || die "mmcv needs a C++ compiler to build: install g++, or set MMCV_WHEEL"
  [ "$operators" = cuda ] && minutes="with CUDA kernels, up to an hour; TORCH_CUDA_ARCH_LIST=9.0 builds for one kind of GPU"
  work="$(mktemp -d)"
  say "building $MMCV, once on this machine: $minutes"
  (
    cd "$work" || exit 1
    pip download -q --no-deps --no-binary=:all: --no-build-isolation "$MMCV" || exit 1
    tar xzf ./*mmcv-*.tar.gz && rm ./*mmcv-*.tar.gz && cd ./*mmcv-* || exit 1
    join_thin_sources . && mend_version . || exit 1
    if [ "$operators" = cuda ]; then export FORCE_CUDA=1; else export FORCE_CUDA=0 CUDA_VISIBLE_DEVICES=; fi
    CFLAGS="-g0 ${CFLAGS:-}" MMCV_WITH_OPS=1 MAX_JOBS="${MAX_JOBS:-$(nproc)}" \
      python setup.py -q bdist_wheel -d "$work/dist"
  ) > "$work/build.log" 2>&1 || { tail -n 30 "$work/build.log" >&2; die "mmcv did not build; its log is $work/build.log"; }
  mkdir -p "$cache"
  # under a name that is not taken for a wheel, until it is whole
  local wheel
  wheel="$(compgen -G "$work/dist/*.whl")"
  cp "$wheel" "$cache/.partial" && mv "$cache/.partial" "$cache/$(basename "$wheel")"
  rm -rf "$work"
}

install_mmcv() {
  local cache wheel operators
  if [ -n "${MMCV_WHEEL:-}" ]; then
    [ -f "$MMCV_WHEEL" ] || die "MMCV_WHEEL names no file: $MMCV_WHEEL"
    pip install -q "$MMCV_WHEEL"
    return
  fi
  operators="$(choose_operators)" || exit 1
  cache="$(wheel_cache "$operators")"
  compgen -G "$cache/*.whl" >/dev/null || build_mmcv_wheel "$cache" "$operators"
  wheel="$(compgen -G "$cache/*.whl" | head -n 1)"
  pip install -q "$wheel"
}

# Say before the first training that a GPU would not be used by mmcv's operators.
check_cuda_operators() {
  local cuda built
  cuda="$(torch_cuda)"
  [ -n "$cuda" ] || return 0
  built="$(python -W ignore -c 'from mmcv.ops import get_compiling_cuda_version as v; print(v())')"
  case "$built" in
    *[0-9]*) [ "${built%%.*}" = "${cuda%%.*}" ] || say "warning: mmcv is built for CUDA $built, torch for $cuda" ;;
    *)
      say "warning: torch is for CUDA $cuda, but this mmcv has operators for the CPU alone ($built): on a" \
        "GPU the first RoIAlign or NMS fails. With nvcc: pip uninstall ${MMCV%%=*}, and set up again" \
        "with FORCE_CUDA=1; or set MMCV_WHEEL"
      ;;
  esac
}

make_venv() {
  local base="${PYTHON:-python3}" options=()
  command -v "$base" >/dev/null || die "no $base here: install Python 3.$MIN_PYTHON or newer, or set PYTHON"
  "$base" -c "import sys; sys.exit(sys.version_info < (3, $MIN_PYTHON))" \
    || die "$("$base" --version 2>&1) is too old: mmlesion with MMLAB=$MMLAB needs 3.$MIN_PYTHON or newer; set PYTHON"
  "$base" -c 'import torch' >/dev/null 2>&1 && options=(--system-site-packages)
  say "making .venv with $("$base" --version 2>&1)"
  "$base" -m venv "${options[@]}" "$ROOT/.venv" || die "python3 -m venv failed (Debian: apt-get install python3-venv)"
}

# The forks have the import names of what they were made from: one environment holds one kind.
check_mmlab() {
  [ "$MMLAB" = onedl ] || return 0
  ! python -c "import importlib.metadata as m; m.version('mmcv')" >/dev/null 2>&1 \
    || die "this environment has mmcv itself, not the fork: remove $ROOT/.venv, or set PYTHON to one without"
}

# One line that changes whenever what the environment must hold does.
environment_stamp() {
  echo "$MMCV $MMENGINE $MMDET" \
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
  check_mmlab
  local torch=()
  has torch || torch=("torch==$(torch_version)")
  say "installing torch and the Python packages"
  pip install -q -r "$ROOT/requirements/build.txt" -r "$ROOT/requirements/runtime.txt" \
    -r "$ROOT/requirements/tests.txt" "${torch[@]}" || die "pip could not install the requirements"
  has mmengine || pip install -q "$MMENGINE" || die "pip could not install mmengine"
  has mmcv._ext || install_mmcv || die "mmcv could not be installed"
  has mmdet || pip install -q "$MMDET" || die "pip could not install mmdet"
  pip install -q --no-deps --no-build-isolation -e "$ROOT" || die "pip could not install mmlesion"
  has mmcv._ext mmdet mmlesion || python -c 'import mmcv._ext, mmdet, mmlesion' || die "the environment does not import"
  check_cuda_operators
  environment_stamp > "$stamp"
  say "ready: $ROOT/.venv"
}

setup_env
