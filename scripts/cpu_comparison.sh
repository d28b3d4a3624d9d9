#!/usr/bin/env bash
# Does it help? A first comparison, small enough for two CPU cores: two hours. scripts/experiment.py has the planned one.
#
# Usage: scripts/cpu_comparison.sh
# Its arms are as the defaults were when it was run: three masks, at 0.001, of all images.
# It expects CIFAR-10 as data/cifar10/{train,test}/CLASS/*.jpg, runs in the folder where it is called, and goes on where it
# was interrupted. The report goes to runs/cifar10_simclr and, without runs and checkpoints, to results/cifar10_simclr of this checkout.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
# One thread a run, two runs at a time; large tensors are not handed back to the system after every step.
export OMP_NUM_THREADS=1 MALLOC_TRIM_THRESHOLD_=100000000000 MALLOC_MMAP_MAX_=0

three="masker: sequential_three, adversary.optimizer.lr: 0.001"
whole="adversary.share: 1.0"
amask-compare base="[simclr]" folder=runs/cifar10_simclr "arms=[stock,random,adios,sequential,half]" seed="[0,1]" \
    "++definitions.random={$whole}" "++definitions.adios={$whole}" "++definitions.sequential={$three, $whole}" \
    "+definitions.half={$three, adversary.share: 0.5}" data=image_folder data.name=cifar10 \
    data.train_path=data/cifar10/train data.val_path=data/cifar10/test data.max_images=6000 data.image_size=32 \
    augmentations=cifar_symmetric stem=imagenet method_kwargs.proj_hidden_dim=512 optimizer.name=adamw \
    optimizer.lr=0.003 optimizer.weight_decay=0.01 optimizer.batch_size=128 max_epochs=16 online_knn=4 mask_panels=16 \
    trainer=cpu trainer.precision=bf16-mixed trainer.check_val_every_n_epoch=4 hydra/launcher=joblib \
    hydra.launcher.n_jobs=2

results=$here/results/cifar10_simclr
mkdir -p "$results"
cp runs/cifar10_simclr/report.md runs/cifar10_simclr/report.csv runs/cifar10_simclr/*.png "$results"
for run in runs/cifar10_simclr/runs/*; do
    cp "$run/summary.json" "$results/$(basename "$run").json"
done
