#!/usr/bin/env bash
# Does it help? The comparisons of the README, small enough for two CPU cores: two hours.
#
# Usage: scripts/cpu_comparison.sh
# It expects CIFAR-10 as data/cifar10/{train,test}/CLASS/*.jpg, runs in the folder where it is called, and goes on where it
# was interrupted. The reports go to runs/NAME and, without runs and checkpoints, to results/NAME of this checkout.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
# One thread a run, two runs at a time; large tensors are not handed back to the system after every step.
export OMP_NUM_THREADS=1 MALLOC_TRIM_THRESHOLD_=100000000000 MALLOC_MMAP_MAX_=0
arms="arms=[stock,random,adios,sequential]"
shared=(seed="[0,1]" augmentations=cifar_symmetric data.image_size=32 stem=imagenet method_kwargs.proj_hidden_dim=512
    optimizer.name=adamw optimizer.lr=0.003 optimizer.weight_decay=0.01 trainer=cpu trainer.precision=bf16-mixed
    hydra/launcher=joblib hydra.launcher.n_jobs=2)

amask-compare base="[simclr]" folder=runs/cifar10_simclr "${arms/]/,half]}" \
    "+definitions.half={masker: sequential, adversary.share: 0.5}" data=image_folder data.name=cifar10 \
    data.train_path=data/cifar10/train data.val_path=data/cifar10/test data.max_images=6000 optimizer.batch_size=128 \
    max_epochs=16 online_knn=4 mask_panels=16 trainer.check_val_every_n_epoch=4 "${shared[@]}"

amask-compare base="[byol]" folder=runs/shapes_byol "$arms" data=shapes data.num_train=1024 data.num_val=512 \
    optimizer.batch_size=64 max_epochs=6 online_knn=2 mask_panels=6 "${shared[@]}"

for name in cifar10_simclr shapes_byol; do
    mkdir -p "$here/results/$name"
    cp "runs/$name"/report.md "runs/$name"/report.csv "runs/$name"/*.png "$here/results/$name"
    for run in "runs/$name/runs"/*; do
        cp "$run/summary.json" "$here/results/$name/$(basename "$run").json"
    done
done
