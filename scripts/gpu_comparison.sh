#!/usr/bin/env bash
# Does it help? The comparison for one GPU: CIFAR-10 and Tiny-ImageNet-100 (64 px), ResNet-18, three bases, four arms,
# three seeds, several runs at a time on the GPU.
#
# Usage: scripts/gpu_comparison.sh DATA RESULTS MINUTES [KEY=VALUE ...]
#   DATA     holds cifar10/{train,test}/CLASS/*.jpg and tinyin100/{train,val}/CLASS/*.JPEG, or only one of them; or the
#            archives cifar10_jpg.tar.gz and tinyin100.tar.gz, which are unpacked beside the runs
#   RESULTS  what is kept: everything but checkpoints, a few MB. Give the same folder again, on the same machine or on
#            another, and the comparison goes on with the runs that are missing.
#   MINUTES  after which it stops. Runs that have finished by then are kept, others go on only where their checkpoints are.
#   KEY=VALUE  further settings for all runs: max_epochs=40, optimizer.batch_size=512, ...
# Environment: WORK, where the runs go (runs/gpu_comparison); JOBS, how many run at a time (6); SEEDS (0 1 2);
# BASES (byol,simclr,simsiam); TRAINER (gpu).
set -euo pipefail
data=$(realpath "${1:?"give the folder of the images"}")
results=${2:?"give the folder for the results"}
minutes=${3:?"give the minutes after which to stop"}
shift 3
work=${WORK:-runs/gpu_comparison}
jobs=${JOBS:-6}
end=$((SECONDS + 60 * minutes))
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-2}
mkdir -p "$work" "$results"
cp -r "$results/." "$work"

declare -A archive=([cifar10]=cifar10_jpg.tar.gz [tinyin100]=tinyin100.tar.gz) held_out=([cifar10]=test [tinyin100]=val)
declare -A size=([cifar10]=32 [tinyin100]=64)

images() {  # put a data set where the runs look for it: the same path wherever the comparison goes on
    local place="$work/images/$1"
    if [ -e "$place" ]; then return; fi
    mkdir -p "$work/images"
    if [ -d "$data/$1" ]; then
        ln -s "$data/$1" "$place"
    elif [ -f "$data/${archive[$1]}" ]; then
        tar xzf "$data/${archive[$1]}" -C "$work/images"
    fi
}

keep() {  # all but checkpoints and images, so that the folder stays small
    (cd "$work" && find . -type f ! -name '*.ckpt' ! -path './images*' -print0 | tar cf - --null -T -) | tar xf - -C "$results"
}
trap keep EXIT

for name in cifar10 tinyin100; do images "$name"; done
if ! ls -d "$work"/images/* >/dev/null 2>&1; then
    echo "Error: $data holds neither cifar10 nor tinyin100, nor their archives." >&2
    exit 2
fi

# Seed by seed, so that whatever is finished when the time is up can be compared.
seeds="" worst=0
for seed in ${SEEDS:-0 1 2}; do
    seeds=${seeds:+$seeds,}$seed
    for name in cifar10 tinyin100; do
        folder=$work/images/$name
        left=$((end - SECONDS))
        if [ ! -d "$folder" ] || [ "$left" -le 30 ]; then continue; fi
        timeout --signal=INT --kill-after=60 "$left" amask-compare \
            base="[${BASES:-byol,simclr,simsiam}]" arms="[stock,random,adios,sequential]" \
            seed="[$seeds]" folder="$work/$name" \
            data=image_folder data.name="$name" data.train_path="$folder/train" \
            data.val_path="$folder/${held_out[$name]}" data.image_size="${size[$name]}" \
            augmentations=cifar_symmetric stem=cifar optimizer.batch_size=256 max_epochs=60 online_knn=10 mask_panels=20 \
            trainer="${TRAINER:-gpu}" trainer.check_val_every_n_epoch=10 loader.device_cache=on \
            hydra/launcher=joblib hydra.launcher.n_jobs="$jobs" "$@" || {
                code=$?
                if [ "$code" -ne 124 ]; then worst=$code; fi  # 124: its time is up
                echo "$name, seed $seed: not finished (exit code $code)" >&2
            }
        keep
    done
done
exit "$worst"
