#!/usr/bin/env bash
# The "First results" table of the README: BYOL, masked and stock, on 10,000 images of CIFAR-10 as JPEG files.
# Usage: scripts/first_results.sh FOLDER, where FOLDER holds train/CLASS/*.jpg and test/CLASS/*.jpg.
# It runs both at the same time, one thread each, so that their seconds per step can be compared.
set -euo pipefail
folder=${1:?"give the folder that holds train/ and test/"}
here=$(cd "$(dirname "$0")/.." && pwd)
export OMP_NUM_THREADS=1
for method in amask_byol byol; do
    extra=()
    if [ "$method" = amask_byol ]; then extra=(adversary.masker.resolution=0.5); fi
    amask-pretrain overwrite=true trainer=cpu method=$method data=image_folder \
        data.train_path="$folder/train" data.val_path="$folder/test" data.max_images=10000 data.image_size=32 \
        stem=imagenet optimizer.batch_size=64 max_epochs=6 seed=0 run_folder="runs/cifar10_subset_$method" "${extra[@]}" &
done
wait
for method in amask_byol byol; do
    mkdir -p "$here/results/cifar10_subset"
    cp "runs/cifar10_subset_$method/summary.json" "$here/results/cifar10_subset/$method.json"
done
