#!/usr/bin/env bash
# The library without the course, with the PyTorch and Triton that a GPU machine has: everything
# imports, the kernels compile as they are launched, the tests pass, those for a GPU are found.
#
#   tools/second_environment.sh FOLDER [PYTHON]
#
# FOLDER holds the environment, made with PYTHON (python3) when it is not there yet: about 5 GB.
set -euo pipefail
folder=$(realpath -m "$1")
cd "$(dirname "$0")/.."
python=$folder/bin/python

if ! [ -e "$folder/finished" ]; then
  "${2:-python3}" -m venv --clear "$folder"
  install=("$python" -m pip install --quiet --no-cache-dir)
  "${install[@]}" 'torch==2.11.*' 'triton==3.6.*' 'torchvision==0.26.*' numpy pytest \
    pillow safetensors tqdm
  # Triton 3.6's interpreter needs an older numpy: beside the environment, for the kernels' tests.
  "${install[@]}" --target "$folder/interpreter" 'numpy<2.4'
  "${install[@]}" --target "$folder/properties" hypothesis
  touch "$folder/finished"
fi

pytest=("$python" -m pytest -q -p no:cacheprovider -m 'not gpu and not slow')
export PYTHONPATH=$PWD OMP_NUM_THREADS=${OMP_NUM_THREADS:-2}
"$python" -c 'import torch, triton, numpy, mrcnn_lite.kernels, mrcnn_lite.training, benchmarks.gpu
print("torch", torch.__version__, "triton", triton.__version__, "numpy", numpy.__version__)'
PYTHONPATH+=:$folder/interpreter "$python" -m pytest -q -p no:cacheprovider -m gpu --collect-only
"${pytest[@]}" tests/kernels/test_kernels_compile.py
PYTHONPATH+=:$folder/properties "${pytest[@]}" tests/ops tests/models tests/training \
  tests/test_benchmarks.py
PYTHONPATH+=:$folder/interpreter "${pytest[@]}" tests/kernels tests/test_benchmarks_gpu.py
