#!/usr/bin/env bash
# Nine protocols on one run, at a small size: ten minutes on one CPU core.
#
# Usage: scripts/all_protocols.sh RUN
# RUN is a masked run on CIFAR-10. It expects data/tinyin100_heldout/{train,val}/CLASS/*.JPEG and pairs of files
# data/fgmasks/images/NAME.jpg and data/fgmasks/masks/NAME.png. The scores go to RUN/evaluation.json.
set -euo pipefail
run=${1:?"give a run folder"}
amask-evaluate ckpt="$run" data.max_images=1000 \
    "protocol=[knn,linear,clustering,robustness,linear_host,finetune,transfer]" \
    protocol.linear_host.epochs=5 protocol.linear_host.lr=0.03 "protocol.finetune.fraction=[0.01,0.1]" \
    protocol.finetune.epochs=10 "protocol.transfer.folders=[data/tinyin100_heldout]"
amask-evaluate ckpt="$run" "protocol=[segmentation,masks]" data=image_masks data.images_path=data/fgmasks/images \
    data.masks_path=data/fgmasks/masks data.image_size=64
amask-evaluate ckpt="$run" "protocol=[masks,segmentation,robustness]" data=shapes data.num_train=512 \
    data.num_val=256 data.image_size=64
