#!/usr/bin/env bash
# The main job on a synthetic data set: make it, convert it, train, test, find lesions in a volume.
# Leaves mmengine's dumped config, checkpoints, froc.json and froc.png in work_dirs/quickstart.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tools/setup_env.sh

CONFIG=configs/baselines/faster-rcnn_r18_fpn_trpn_phantom.py
OUT=work_dirs/quickstart
DATA=data/phantom

if [ ! -f $DATA/test.json ]; then
  python tools/dataset_converters/make_phantom.py --out $DATA --workers "$(nproc)"
  python tools/dataset_converters/deeplesion.py $DATA/DL_info.csv --images $DATA/Images_png --out $DATA
fi

python tools/train.py $CONFIG --work-dir $OUT
