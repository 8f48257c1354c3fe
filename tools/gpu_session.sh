#!/usr/bin/env bash
# The first ten minutes on a GPU, the surest first: what works, what is equal, how fast it is.
#
#   tools/gpu_session.sh [--dry] FOLDER
#
# Every stage is a process with a limit in seconds, and whatever fails, the next one starts. FOLDER
# gets session.log, with all that was printed and a line per stage, and, row by row as they come,
# the benchmarks' results with device and versions. --dry rehearses without a GPU: the benchmarks in
# Triton's interpreter at tiny sizes, the tests skipped by name, one step of the small network.
# PYTHON chooses the interpreter, LIMIT another limit for every stage.
set -uo pipefail
dry=() preset=(resnet50_fpn --fast --steps 15)
if [ "${1:-}" = --dry ]; then
  dry=(--dry) preset=(lite --steps 1)
  shift
fi
folder=$(realpath -m "${1:?where should the results go? tools/gpu_session.sh [--dry] FOLDER}")
cd "$(dirname "$0")/.."
mkdir -p "$folder"
log=$folder/session.log
export PYTHONPATH=$PWD PYTHONUNBUFFERED=1
failed=0

# stage NAME SECONDS ARGUMENT... : Python with these arguments
stage() {
  local name=$1 limit=${LIMIT:-$2} status begin=$SECONDS
  shift 2
  echo "== $name: python $*" | tee -a "$log"
  timeout --kill-after=5 "$limit" "${PYTHON:-python3}" "$@" </dev/null 2>&1 | tee -a "$log"
  status=${PIPESTATUS[0]}
  [ "$status" = 0 ] || failed=1
  echo "== $name: status $status after $((SECONDS - begin)) of $limit s" | tee -a "$log"
}
tests() { stage "$1" "$2" -m pytest -q -p no:cacheprovider -m gpu "${@:3}"; }
benchmark() { stage "$1" "$2" -m benchmarks "$1" --quick --store "$folder" "${dry[@]}"; }

stage environment 20 -m benchmarks.gpu
tests operations 120 tests/kernels tests/ops
tests recorded 70 tests/training
benchmark step_gpu 110
for name in nms_gpu masks_gpu roi_align_gpu; do
  benchmark $name 40
done
benchmark inference_gpu 60
stage training 60 -m mrcnn_lite train --data shapes --preset "${preset[@]}" --batch-size 2 \
  --workers 1 --overwrite --out "$folder/run"
benchmark roi_backward_gpu 40
rm -rf "$folder/run"  # weights of fifteen steps

grep '^== .*: status' "$log"
exit $failed
