#!/usr/bin/env bash
# The main job from data to score. `quickstart.sh` makes and converts a synthetic dataset,
# `quickstart.sh lidc` takes the real CT of data/lidc_sample; both train a detector and test it.
# Leaves mmengine's dumped config, checkpoints, froc.json and froc.png in work_dirs/quickstart (or
# work_dirs/quickstart_lidc), and the same for the network's random weights in its folder random. An
# interrupted run resumes from its last epoch.
#
#   PATIENTS    of the synthetic dataset, for training, validation and test (96 8 16)
#   OPTIONS     more --cfg-options of training and test, such as train_cfg.max_epochs=1
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
case "${1:-phantom}" in
  phantom)
    CONFIG=configs/phantom/baselines/faster-rcnn_r18_fpn_trpn_phantom.py
    OUT=work_dirs/quickstart
    DATA=data/phantom
    ;;
  lidc)
    CONFIG=configs/baselines/faster-rcnn_r18_fpn_trpn_lidc-sample.py
    OUT=work_dirs/quickstart_lidc
    DATA=data/lidc_sample
    ;;
  *)
    echo "usage: quickstart.sh [phantom|lidc], not '$1'" >&2
    exit 1
    ;;
esac
source tools/setup_env.sh
export MMLESION_END_WITH_PARENT=1  # a training does not outlive this script

step() { printf '\n[quickstart] %s\n' "$*" >&2; }

# The log of a step that fails is shown in full; of one that succeeds the lines that match are.
run() { # LOG PATTERN COMMAND...
  local log="$1" pattern="$2"
  shift 2
  "$@" 2>&1 | tee "$log" | { grep --line-buffered -E "$pattern" >&2 || true; } || {
    cat "$log" >&2
    exit 1
  }
}

score() { # CHECKPOINT FOLDER
  run "$2/test.log" 'Epoch\(test\)' python tools/test.py $CONFIG "$1" --work-dir "$2" \
    --cfg-options ${OPTIONS:-} test_evaluator.outfile_prefix="$2/froc"
}

# one that was broken off may have some of these files
if [ $DATA = data/phantom ] && ! ls $DATA/{train,val,test}.json > /dev/null 2>&1; then
  step "making the synthetic data set in $DATA"
  # shellcheck disable=SC2086
  python tools/dataset_converters/make_phantom.py --out $DATA --patients ${PATIENTS:-96 8 16} --overwrite
  python tools/dataset_converters/deeplesion.py $DATA/DL_info.csv --images $DATA/Images_png --out $DATA
fi

step "training $CONFIG for a few minutes; the whole log is $OUT/train.log"
mkdir -p $OUT/random
run $OUT/train.log 'Epoch\((train|val)\)' \
  python tools/train.py $CONFIG --work-dir $OUT --resume --cfg-options ${OPTIONS:-} randomness.seed=0

step "testing it, and the same network with random weights"
python - $CONFIG $OUT/random/random.pth <<'PY' > /dev/null 2>&1
import sys

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

import mmlesion
from mmdet.registry import MODELS

init_default_scope('mmdet')
torch.manual_seed(0)
model = MODELS.build(Config.fromfile(sys.argv[1]).model)
model.init_weights()
torch.save(dict(state_dict=model.state_dict(), meta={}), sys.argv[2])
PY
score "$OUT/$(basename "$(cat $OUT/last_checkpoint)")" $OUT
score $OUT/random/random.pth $OUT/random

python - $OUT/froc.json $OUT/random/froc.json <<'PY'
import json
import sys

from mmlesion.evaluation.tables import froc_table

for path, title in zip(sys.argv[1:], ('trained', 'random weights')):
    print(froc_table(json.load(open(path)), title))
PY
step "done: $OUT/froc.json, $OUT/froc.png"
