"""A user's mistake is one line on standard error and exit code 2, in each command; nothing is written or hangs."""

import shutil
from pathlib import Path

import pytest

from tests.cli.command import BARE, HEADS, SMALL, TINY, Said, call, pretrain
from tests.cli.forked import call_forked
from tests.cli.wrong_files import write_wrong_files
from tests.daily import one_in
from tests.data.pictures import labeled_tree, truncate

FIVE_VIEWS = "augmentations.0.num_crops=4"
OWN_CHOICES = "--config-dir {wrong}/choices"
HUGE = "9" * 400
IMAGES = " ".join(setting for setting in TINY if setting.startswith("data"))
FOLDER = "data=image_folder data.train_path="
PAIRS = "data=image_masks data.images_path="

NO_CHECKPOINTS = [
    *(
        f"{name}.ckpt"
        for name in ("empty", "text", "zeros", "cut", "cut_early", "cut_late", "garbled", "zip", "picture")
    ),
    *(f"{name}.ckpt" for name in ("list", "tensor", "no_tensors", "number", "keys", "evil", "evil_state")),
    *(f"{name}.safetensors" for name in ("cut", "text", "huge")),
]

# What is typed, split at blanks -> what the line must say, at '|'.
PRETRAIN = {
    # the command line
    "max_epoch=3": "max_epoch|did you mean 'max_epochs'",
    "method=byoll": "byoll|did you mean 'byol'",
    "method=": "method",
    "method=null": "method",
    "method=5": "method",
    "method=../pretrain": "method",
    "--frobnicate": "--frobnicate",
    "~frobnicate": "frobnicate",
    "~optimizer": "optimizer",
    "~method": "method",
    "=3": "=3",
    "seed": "seed|KEY=VALUE",
    "seed=[1": "seed=[1",
    "seed={": "seed={",
    "seed=0,1": "seed|-m",
    "seed.start=1": "seed is a single value",
    "+seed.start=1": "seed is a single value",
    "optimizer=3": "optimizer",
    "optimizer.kwargs=[1,2]": "optimizer.kwargs",
    "trainer=tpu": "tpu",
    "data.image_size=${frobnicate}": "data.image_size|frobnicate",
    "name=${name}": "name",
    "save_every=0": "save_every|0",
    "hydra.run.dir=out": "hydra.run.dir|run_folder",
    "hydra/launcher=rocket": "rocket",
    "hydra.frobnicate=1": "frobnicate",
    "--config-dir /nowhere": "/nowhere",
    "--config-dir {wrong}/file": "{wrong}/file",
    "--config-name frobnicate": "frobnicate",
    f"{OWN_CHOICES} method=yaml": "YAML",
    f"{OWN_CHOICES} method=tab": "YAML",
    f"{OWN_CHOICES} method=list": "optimizer.lr",
    f"{OWN_CHOICES} method=text": "optimizer.lr",
    f"{OWN_CHOICES} method=zeros": "YAML",
    f"{OWN_CHOICES} method=missing": "nowhere",
    f"{OWN_CHOICES} method=circle": "circle",
    f"{OWN_CHOICES} data=target": "nowhere.load",
    f"{OWN_CHOICES} data=no_target": "data",
    f"{OWN_CHOICES} data=number": "data|5",
    f"{OWN_CHOICES} data=no_data": "data|builtins.dict",
    # single values
    "max_epochs=-1": "max_epochs|-1",
    "max_epochs=0": "max_epochs|0",
    "max_epochs=2.5": "max_epochs|2.5",
    "max_epochs=": "max_epochs",
    "max_epochs=null": "max_epochs|None",
    "max_epochs=true": "max_epochs|True",
    "max_epochs=[1,2]": "max_epochs",
    "max_epochs={a:1}": "max_epochs",
    "max_epochs=inf": "max_epochs|inf",
    "seed=abc": "seed|abc",
    "seed=-1": "seed|-1",
    f"seed={HUGE}": "seed",
    "optimizer.batch_size=0": "optimizer.batch_size|0",
    "optimizer.batch_size=1": "optimizer.batch_size|1",
    "optimizer.batch_size=1e30": "optimizer.batch_size",
    f"optimizer.batch_size={HUGE}": "batch_size",
    "optimizer.lr=fast": "optimizer.lr|fast",
    "optimizer.lr=nan": "optimizer.lr|nan",
    "optimizer.lr=-1": "optimizer.lr|-1",
    "optimizer.lr=-inf": "optimizer.lr|-inf",
    "optimizer.lr=null": "optimizer.lr",
    "optimizer.weight_decay=null": "optimizer.weight_decay",
    f"optimizer.lr={HUGE}": "optimizer.lr",
    "optimizer.name=adamm": "adamm|adam",
    "optimizer.name=null": "optimizer.name",
    "optimizer.name=[sgd]": "optimizer.name",
    "optimizer.kwargs.momentun=0.9": "momentun|did you mean 'momentum'",
    "optimizer.kwargs.momentum=many": "momentum|many",
    "optimizer.name=adamw optimizer.kwargs.betas=[0.9,2]": "optimizer.kwargs|betas|2",
    "scheduler.name=cosine": "cosine|warmup_cosine",
    "scheduler.name=step": "lr_decay_steps",
    "scheduler.name=step scheduler.lr_decay_steps=[a]": "lr_decay_steps",
    "scheduler.warmup_epochs=9": "scheduler.warmup_epochs|9",
    "scheduler.min_lr=low": "scheduler.min_lr|low",
    "mask_panels=-1": "mask_panels",
    "online_knn=often": "online_knn|often",
    "knn_eval.k=0": "knn_eval.k|0",
    "resume=yes": "resume|yes",
    "overwrite=1": "overwrite|1",
    "stem=small": "stem|small",
    "loader.device_cache=maybe": "device_cache|maybe",
    "loader.num_workers=-3": "loader.num_workers|-3",
    "performance.disable_channel_last=no-": "performance.disable_channel_last",
    "data.num_train=many": "data.num_train|many",
    "data.num_train=0": "num_train",
    "data.num_train=-5": "num_train",
    "data.num_classes=1": "num_classes",
    "data.num_classes=1000": "num_classes",
    "data.image_size=0": "data.image_size|0",
    "data.image_size=-32": "image_size|-32",
    "data.image_size=big": "data.image_size|big",
    "data.seed=x": "data.seed|x",
    "adversary.masker.num_masks=few": "adversary.masker.num_masks|few",
    "adversary.masker.num_masks=true": "adversary.masker.num_masks|True",
    "adversary.masker.num_masks=0": "num_masks|0",
    "adversary.masker.num_masks=50": "50",
    "adversary.optimizer.lrr=1": "adversary.optimizer|did you mean 'lr'",
    "adversary.optimizer.lr=-1": "adversary.optimizer.lr|-1",
    "adversary.optimizer.lr=abc": "adversary.optimizer.lr|abc",
    "+adversary.side=2": "adversary.side|2",
    "hard_views=hexas": "hexas|did you mean 'hexa'",
    "hard_views=hexa adversary.hard_views.weights.clean=-1": "adversary.hard_views|-1",
    "hard_views=adversarial_pixels adversary.hard_views.eps=-1": "adversary.hard_views|-1",
    "hard_views=cutmix masker=sequential adversary.hard_views.masker.alpha=0": "adversary.hard_views|alpha|0",
    "adversary.share=null": "adversary.share|number",
    "adversary.start_epoch=1": "adversary.start_epoch|max_epochs=1",
    "adversary.steps=2.5": "adversary.steps|whole number|2.5",
    "adversary.memory_efficient=off_": "adversary.memory_efficient|true or false",
    "masker=sequential adversary.masker.projection={_target_:amask_solo.projections.Softmax}": "projection|Softmax",
    "constraint=per_mask adversary.masker.num_masks=2": "constraint|num_masks",
    "+adversary.loud=very": "adversary.loud|very",
    "masker=simultaneous adversary.masker.num_masks=1": "num_masks|1",
    "masker=sequential_patches": "resnet18|vision transformer",
    "masker=saliency adversary.masker.ratio=[0,1]": "adversary.masker|ratio",
    "masker=saliency adversary.masker.grid=1": "adversary.masker|grid",
    "masker=saliency adversary.masker.localiser=5": "adversary.masker|5",
    "masker=saliency localiser=backbon": "did you mean 'backbone'",
    "localiser=everywhere": "masker=saliency",
    "masker=saliency localiser=weights": "adversary.masker.localiser.path=...",
    "masker=saliency localiser=weights adversary.masker.localiser.path={wrong}/text.ckpt": "{wrong}/text.ckpt",
    "view_filter=low_pass": "low_pass|high_pass",
    "view_filter=5": "view_filter",
    "view_filter=high_pass view_filter.kernel_size=4": "view_filter.kernel_size|odd|4",
    "view_filter=high_pass view_filter.sigma=0": "view_filter.sigma|0",
    "view_filter=high_pass view_filter.sigmaa=1": "did you mean 'sigma'",
    "view_filter.sigma=1": "view_filter",
    "masker=gumbel_patches adversary.masker.projection.patch_size=0": "patch_size|0",
    "constraint=shape_prior adversary.constraint.terms.shape.area=[0.3,0.2]": "area|[0.3, 0.2]",
    "negatives=random_block": "amask_byol|simclr",
    "method=byol negatives=random_block": "byol is not masked, so it has no negatives",
    "method=amask_simclr negatives=random_block adversary.negatives.weight=-1.5": "weight of negatives|-1.5",
    "method_kwargs.proj_hidden_dim=0": "method_kwargs.proj_hidden_dim|0",
    "method_kwargs=3": "method_kwargs",
    "momentum.base_tau=2": "momentum.base_tau|2",
    "method=byol momentum.final_tau=0.9": "momentum.final_tau|momentum.base_tau=0.99",
    "momentum.base_tau=high": "momentum.base_tau|high",
    "backbone.name=resnet19": "resnet19|did you mean 'resnet18'",
    "backbone.name=null": "backbone.name",
    "backbone.name=timm/": "timm",
    "backbone.name=timm/resnet18 backbone.kwargs.frobnicate=1": "backbone.kwargs|frobnicate",
    "backbone.name=timm/inception_v3": "timm/inception_v3|32 px",
    "backbone.kwargs=3": "backbone.kwargs|3",
    "backbone.kwargs.frobnicate=1": "backbone.kwargs|frobnicate",
    "augmentations.0.rrc.crop_min_scale=big": "augmentations[0].rrc.crop_min_scale|big",
    "augmentations.0.num_crops=0": "augmentations",
    "augmentations.0.crop_size=-1": "augmentations[0].crop_size|-1",
    "augmentations.7.crop_size=8": "augmentations|7",
    "augmentations=[]": "augmentations",
    "augmentations=none": "none",
    "base_class=nowhere.Method": "nowhere|PYTHONPATH",
    "base_class=argparse.Namespace": "argparse.Namespace|BaseMethod",
    "base_class=5": "base_class|5",
    "name=": "name",
    # the trainer's
    "trainer.precision=foo": "trainer|foo",
    "trainer.precision=bf16-true": "trainer.precision|bf16-mixed",
    "trainer.accelerator=foo": "trainer|foo",
    "trainer.devices=0": "trainer|devices",
    "trainer.devices=-2": "trainer",
    "trainer.strategy=foo": "trainer|foo",
    "trainer.strategy=ddp_spawn": "ddp_spawn|made at run time|trainer=ddp",
    "trainer.strategy=fsdp": "fsdp|a part of the network|trainer=ddp",
    "trainer.frobnicate=1": "trainer|frobnicate",
    "trainer.precison=32": "did you mean 'precision'",
    "trainer.max_time=soon": "trainer",
    "trainer.limit_train_batches=-1": "trainer",
    "trainer.check_val_every_n_epoch=0": "trainer.check_val_every_n_epoch|0",
    "trainer.log_every_n_steps=x": "trainer",
    # what is missing, or is not what is expected there
    "data=image_folder": "data.train_path",
    f"{FOLDER}/nowhere": "/nowhere",
    f"{FOLDER}{{wrong}}/none": "{wrong}/none",
    f"{FOLDER}{{wrong}}/texts": "{wrong}/texts",
    f"{FOLDER}{{wrong}}/picture.png": "{wrong}/picture.png",
    f"{FOLDER}{{wrong}}/lies": "003.png",
    f"{FOLDER}{{wrong}}/cut": "005.png",
    f"{FOLDER}{{wrong}}/one": "image",
    f"{FOLDER}[a,b]": "train_path",
    f"{FOLDER}{{wrong}}/photos data.val_path=/nowhere": "/nowhere",
    f"{FOLDER}{{wrong}}/photos data.classes=/nowhere/typo.txt": "data.classes|/nowhere/typo.txt",
    f"{FOLDER}{{wrong}}/photos data.classes=imagenet100": "data.classes=null|data.root",
    f"{FOLDER}{{wrong}}/photos data.root={{wrong}}": "data.root={wrong}|data.train_path",
    f"{FOLDER}{{wrong}}/photos data.val_path={{wrong}}/photos": "{wrong}/photos|not trained on",
    f"{FOLDER}{{wrong}}/photos data.val_fraction=2": "val_fraction|2",
    f"{FOLDER}{{wrong}}/photos data.max_images=-1": "max_images|-1",
    f"{FOLDER}{{wrong}}/photos data.labels=maybe": "labels|maybe",
    f"{FOLDER}{{wrong}}/photos data.on_error=cry": "on_error|cry",
    f"{FOLDER}{{wrong}}/photos data.mean=[1,2]": "mean",
    f"{FOLDER}{{wrong}}/photos data.mean=[123.7,116.3,103.5]": "mean|fractions of white|123.7",
    f"{FOLDER}{{wrong}}/photos data.mean=[nan,0.5,0.5]": "mean|nan",
    f"{FOLDER}{{wrong}}/photos data.std=[58.4,57.1,57.4]": "std|fractions of white|58.4",
    f"{FOLDER}{{wrong}}/photos data.std=[0,0,0]": "std",
    f"{FOLDER}{{wrong}}/photos data.image_size=huge": "image_size|huge",
    f"{FOLDER}{{wrong}}/photos data.image_size=1e9": "image_size",
    f"{PAIRS}{{wrong}}/photos data.masks_path={{wrong}}/few_masks": "mask",
    f"{PAIRS}{{wrong}}/photos data.masks_path=/nowhere": "/nowhere",
    "data=cifar10 data.root=/nowhere": "/nowhere",
    "data=cifar10 data.root={wrong}/texts": "{wrong}/texts",
    "data=stl10 data.root={wrong}/file": "{wrong}/file",
    "resume=true": "Nothing to resume|last.ckpt",
    "run_folder={wrong}/run_yaml resume=true": "config.yaml",
    "run_folder={wrong}/run_evil resume=true": "config.yaml",
    "run_folder={wrong}/file": "{wrong}/file",
    "run_folder={wrong}/file/below": "{wrong}/file/below",
    "run_folder=/proc/nowhere": "/proc/nowhere",
    f"run_folder={'x' * 300}": "run_folder",
    "run_folder=null": "run_folder",
    # what does not go together
    "method=byol masker=sequential": "not masked|amask_",
    "method=byol +adversary.draw=one": "not masked|amask_",
    "method=byol hard_views=cutmix": "not masked, so it has no hard_views|amask_",
    "optimizer.batch_size=17": "data.num_train|optimizer.batch_size=17",
    "method=wmse optimizer.batch_size=12": "whitening_size|12",
    "method=wmse method_kwargs.whitening_size=8": "whitening_size|proj_output_dim",
    "method=mocov2plus method_kwargs.queue_size=20": "queue_size|20",
    "method=swav method_kwargs.queue_size=4": "queue_size|4",
    "method=deepclusterv2": "num_prototypes|3000",
    f"method=simsiam {FIVE_VIEWS}": "5 large views",
    "method=simclr augmentations.0.crop_size=64": "views",
    "backbone.name=vit_tiny data.image_size=30": "30|patch",
    "logger=wandb logger.mode=sometimes": "logger|sometimes",
}
EVALUATE = {
    "": "ckpt=...",
    "ckpt=": "ckpt",
    "ckpt=null": "ckpt",
    "ckpt=5": "5",
    "ckpt=[a,b]": "[a,b]",
    "ckpt=/nowhere": "/nowhere",
    f"ckpt={'x' * 5000}": "ckpt",
    "ckpt={wrong}/no_run": "{wrong}/no_run",
    "ckpt={wrong}/gone.ckpt": "gone.ckpt",
    "ckpt={wrong}/loop.ckpt": "loop.ckpt",
    "ckpt={wrong}/pipe.ckpt": "pipe.ckpt",
    "ckpt={wrong}/folder.ckpt": "folder.ckpt",
    "ckpt=/dev/null": "/dev/null",
    "ckpt=/proc/self/mem " + IMAGES: "/proc/self/mem",
    **{f"ckpt={{wrong}}/{name} {IMAGES}": name for name in NO_CHECKPOINTS},
    f"ckpt={{wrong}}/other.ckpt {IMAGES}": "No tensor|backbone|classifier",
    f"ckpt={{wrong}}/part.ckpt {IMAGES}": "tensors",
    f"ckpt={{wrong}}/shapes.ckpt {IMAGES}": "tensors",
    f"ckpt={{wrong}}/names.ckpt {IMAGES}": "backbone",
    "ckpt={wrong}/part.ckpt": "data=...",
    **{f"ckpt={{wrong}}/run_{name}": "config.yaml" for name in ("yaml", "list", "nothing", "zeros", "method", "evil")},
    "ckpt={wrong}/run_target": "os.system|trust=[",
    "ckpt={wrong}/run_data": "config.yaml|data",
    "ckpt={wrong}/run_image_size": "image_size|-1",
    "ckpt={run} protocol=knnn": "knnn|did you mean 'knn'",
    "ckpt={run} protocol=[knn,hiden]": "hiden",
    "ckpt={run} protocol=knn,linear": "a list needs brackets",
    "ckpt={run} protocol=[]": "protocol=[knn,linear]",
    "ckpt={run} protocol=null": "protocol",
    "ckpt={run} protocol=5": "protocol",
    "ckpt={run} protocol.knn=3": "protocol.knn",
    "ckpt={run} protocol.knn.kk=3": "protocol.knn|did you mean 'k'",
    "ckpt={run} protocol.clustering.runs=3": "clustering",
    **{
        f"ckpt={{run}} protocol={key.partition('.')[0]} protocol.{setting}": f"protocol.{key}"
        for setting in (
            *(f"knn.k={value}" for value in ("many", "0", "-1", "2.5", "[]", "[5,0]", "[5,x]", "true", "nan", "null")),
            *(f"knn.temperature={value}" for value in ("0", "-1", "nan", "inf", "hot", "[]", "[0.1,cold]")),
            *("linear.solver=newton", "linear.solver=null", "linear.epochs=0"),
            *(f"linear.weight_decay={value}" for value in ("-1", "nan", "[]", "[1,-1]", "heavy")),
            *(f"linear.held_out={value}" for value in ("0", "1", "nan", "half", "null")),
            *("clustering.clusters=1", "clustering.runs=0", "clustering.runs=3.5"),
            *("finetune.fraction=[]", "finetune.fraction=[2]", "finetune.fraction=[a]", "finetune.fraction=0.1"),
            *("finetune.lr=0", "finetune.lr=nan", "finetune.epochs=0", "finetune.batch_size=0"),
            *("linear_host.epochs=-1", "linear_host.batch_size=0", "linear_host.lr=nan", "linear_host.lr=-1"),
            *("robustness.areas=[2]", "robustness.areas=[a]", "robustness.areas=0.5"),
            *("greedy.areas=[]", "greedy.areas=[1]", "greedy.grid=1", "greedy.candidates=0"),
            *("segmentation.resolution=0", "segmentation.weight_decay=-1", "segmentation.weight_decay=nan"),
        )
        if (key := setting.partition("=")[0])
    },
    "ckpt={run} protocol=masks protocol.masks.localiser=5": "protocol.masks|5",
    "ckpt={run} protocol=transfer": "protocol.transfer.folders",
    "ckpt={run} protocol=transfer protocol.transfer.folders=[]": "protocol.transfer.folders",
    "ckpt={run} protocol=transfer protocol.transfer.folders=5": "transfer|5",
    "ckpt={run} protocol=transfer protocol.transfer.folders=/nowhere": "transfer|/nowhere",
    "ckpt={run} protocol=transfer protocol.transfer.folders={wrong}/texts": "transfer|{wrong}/texts",
    f"ckpt={{run}} {OWN_CHOICES} protocol=target": "protocol.target|nowhere.Protocol",
    f"ckpt={{run}} {OWN_CHOICES} protocol=no_protocol": "protocol.no_protocol|pathlib.Path",
    f"ckpt={{run}} {OWN_CHOICES} protocol=no_target": "protocol.no_target",
    "ckpt={run} batch_size=0": "batch_size|0",
    "ckpt={run} batch_size=-1": "batch_size|-1",
    "ckpt={run} batch_size=1.5": "batch_size|1.5",
    "ckpt={run} batch_size=null": "batch_size|None",
    "ckpt={run} seed=x": "seed|x",
    f"ckpt={{run}} seed={HUGE}": "seed",
    "ckpt={run} trust=all": "trust|all",
    "ckpt={run} trust=[5]": "trust|5",
    "ckpt={run} arch=resnet50": "resnet50",
    "ckpt={run} arch=resnet19": "resnet19|did you mean 'resnet18'",
    "ckpt={run} arch=5": "arch|5",
    "ckpt={run} device=gpu": "device|gpu",
    "ckpt={run} device=cuda:99": "device=cuda:99",
    "ckpt={run} device=cpu:x": "device|cpu:x",
    "ckpt={run} device=5": "device",
    "ckpt={run} device=null": "device",
    "ckpt={run} output={run}": "output=...",
    "ckpt={run} output=/proc/nowhere/x.json": "/proc/nowhere/x.json",
    "ckpt={run} output={wrong}/file/x.json": "{wrong}/file/x.json",
    "ckpt={run} output={wrong}/broken.json": "broken.json",
    "ckpt={run} output={wrong}/list.json": "list.json",
    "ckpt={run} output={wrong}/results.json": "results.json",
    "ckpt={run} output={wrong}/picture.png": "picture.png",
    "ckpt={run} data.num_trian=8": "data|did you mean 'num_train'",
    "ckpt={run} data.num_train=0": "num_train",
    "ckpt={run} data=birds": "birds",
    "ckpt={run} data=5": "data",
    "ckpt={run} data=image_folder": "data.train_path",
    f"ckpt={{run}} {FOLDER}/nowhere": "/nowhere",
    f"ckpt={{run}} {FOLDER}{{wrong}}/texts": "{wrong}/texts",
    f"ckpt={{run}} {FOLDER}{{wrong}}/lies": "003.png",
    "ckpt={run} max_epochs=3": "max_epochs",
    "ckpt={run} logger=paper": "paper",
}
EXPORT = {
    "": "ckpt=...",
    "ckpt=/nowhere": "/nowhere",
    "ckpt=null": "ckpt",
    "ckpt={wrong}/no_run": "{wrong}/no_run",
    "ckpt={wrong}/folder.ckpt": "folder.ckpt",
    "ckpt={run}/config.yaml": "config.yaml",
    "ckpt=/proc/self/mem path=x.pth": "/proc/self/mem",
    **{f"ckpt={{wrong}}/{name}": name for name in NO_CHECKPOINTS},
    "ckpt={wrong}/other.ckpt": "backbone|classifier",
    "ckpt={wrong}/part.ckpt": "unknown",
    "ckpt={wrong}/part.ckpt arch=resnet18": "tensors",
    "ckpt={wrong}/names.ckpt": "backbone",
    "ckpt={run} fromat=timm": "fromat|did you mean 'format'",
    "ckpt={run} format=tim": "tim|did you mean 'timm'",
    "ckpt={run} format=null": "format|None",
    "ckpt={run} format=[timm]": "format",
    "ckpt={run} arch=resnet50": "resnet50",
    "ckpt={run} arch=resnet19": "resnet19",
    "ckpt={run} arch=vit_tiny": "vit_tiny",
    "ckpt={run} arch=vit_tiny format=timm": "vit_tiny",
    "ckpt={run} arch=5": "arch|5",
    "ckpt={run} path={wrong}": "{wrong}",
    "ckpt={run} path=/proc/nowhere/b.pth": "/proc/nowhere/b.pth",
    "ckpt={run} path={wrong}/file/b.pth": "{wrong}/file/b.pth",
    "ckpt={run} path={wrong}/file/b.st format=safetensors": "{wrong}/file/b.st",
    "ckpt={run} protocol=knn": "protocol",
}
COMPARE = {
    "base=[byoll]": "byoll|byol",
    "base=[]": "base",
    "base=byol": "base|byol",
    "base=5": "base|5",
    "base=[5]": "base|5",
    "base=null": "base",
    "base=[byol,byol]": "base",
    "base=[amask_byol]": "amask_byol",
    "arms=[stock,randon]": "randon|did you mean 'random'",
    "arms=[stock]": "arms",
    "arms=[random]": "arms|stock",
    "arms=stock": "arms",
    "arms=[stock,5]": "arms|5",
    "seed=[a]": "seed|a",
    "seed=[-1]": "seed|-1",
    "seed=[0,0]": "seed",
    "seed=0": "seed|0",
    "seed=[]": "seed",
    "seed=[true]": "seed",
    "budget=money": "budget|epochs",
    "split=test": "split|confirm, tune",
    "split=tune data.tune_fraction=0": "split=tune|data.tune_fraction",
    "data.tune_fraction=0.2": "data.tune_fraction=0.2|split=tune",
    "data.tune_fraction=1": "data.tune_fraction|below 1",
    "split=tune protocol=[transfer] protocol.transfer.folders=x": "transfer|split=confirm",
    "budget=null": "budget",
    "metrics=linear": "metrics|linear",
    "metrics=[robustness/acc1_curve]": "metrics|robustness",
    "folder=null": "folder",
    "folder={wrong}/file": "{wrong}/file",
    "folder={wrong}/file/below": "{wrong}/file/below",
    "folder=/proc/nowhere": "/proc/nowhere",
    "folder={wrong}/compared_broken": "summary.json",
    "folder={wrong}/compared_list": "summary.json",
    "folder={wrong}/compared_number": "summary.json",
    "definitions=5": "definitions",
    "+definitions.mine=5 arms=[stock,mine]": "mine",
    "+definitions.mine={masker:sequentiall} arms=[stock,mine]": "sequentiall",
    "+definitions.mine={maskerr:x} arms=[stock,mine]": "maskerr|arm mine",
    "+definitions.mine={adversary.masker.num_masks:0} arms=[stock,mine]": "num_masks|0",
    "run=byol_stock_seed0": "run",
    "settings=[max_epochs=1]": "settings",
    "max_epochs=-1": "max_epochs|-1",
    "max_epochs=many": "max_epochs|many",
    "max_epochs=-1 budget=time": "max_epochs|-1",
    "optimizer.batch_size=1": "optimizer.batch_size|1",
    "optimizer.lr=nan": "optimizer.lr|nan",
    "data.num_trian=3": "num_trian|num_train",
    "data=image_folder": "data.train_path",
    "data=birds": "birds",
    "adversary.masker.num_masks=-1 arms=[stock,sequential]": "num_masks|-1",
    "method=byol": "method=byol|base",
    "resume=true": "resume=true|base",
    "protocol=[knnn]": "knnn|knn",
    "protocol=[]": "protocol",
    "protocol=[knn] protocol.knn.k=many": "protocol.knn.k|many",
    "protocol=[knn] protocol.knn.k=0": "protocol.knn.k|0",
    "trust=5": "trust|5",
    "batch_size=3": "batch_size",
    "hydra/launcher=rocket": "rocket",
    "hydra.sweep.dir=x": "hydra.sweep.dir|folder",
    "--frobnicate": "--frobnicate",
    "base": "base|KEY=VALUE",
    "base=[byol": "base=[byol",
}
TABLE = {"pretrain": PRETRAIN, "evaluate": EVALUATE, "export": EXPORT, "compare": COMPARE}
CASES = [(name, typed) for name, table in TABLE.items() for typed in table]


@pytest.fixture(scope="module")
def wrong(finished, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wrong")
    write_wrong_files(folder, finished.folder)
    return folder


def _shown(name: str, typed: str) -> str:
    return f"{name} {typed.replace(IMAGES, '').replace(HUGE, '99...')[:90]}".strip()


@pytest.mark.parametrize(("name", "typed"), one_in(24, CASES), ids=[_shown(*case) for case in CASES])
def test_a_mistake_is_one_line_and_nothing_is_written(name, typed, finished, wrong, tmp_path):
    places = {"run": finished.folder, "wrong": wrong}
    argv = [_filled(word, places) for word in typed.split()]
    cwd, log = tmp_path / "cwd", tmp_path / "log"
    cwd.mkdir()
    log.mkdir()
    before = _state(finished.folder, wrong)
    said = call_forked(name, *_small(name, argv), *argv, cwd=cwd, log=log)
    refused(said, *(_filled(word, places) for word in TABLE[name][typed].split("|")))
    assert [path for path in cwd.rglob("*") if not path.is_dir()] == []
    assert _state(finished.folder, wrong) == before


def _filled(text: str, places: dict[str, Path]) -> str:
    for key, path in places.items():
        text = text.replace(f"{{{key}}}", str(path))
    return text


def _small(name: str, argv: list[str]) -> list[str]:
    """Return what makes a run small, as far as the settings in question know it."""
    if name not in ("pretrain", "compare"):
        return []
    groups = {word.partition("=")[0] for word in argv if "=" in word}
    tiny = [setting for setting in TINY if not ("data" in groups and setting.startswith("data"))]
    small = [] if "method" in groups and name == "pretrain" else HEADS[:1]
    return [*(setting for setting in tiny if setting.partition("=")[0] not in groups), *small, *BARE]


def _state(*folders: Path) -> list[tuple[str, int, int]]:
    """Return what shows whether anything in a folder was made or changed."""
    paths = [path for folder in folders for path in sorted(folder.rglob("*"))]
    return [(str(path), path.lstat().st_size, path.lstat().st_mtime_ns) for path in paths]


def refused(said: Said, *words: str) -> None:
    assert said.code == 2, said
    assert said.err.startswith("Error: "), said
    assert said.err.count("\n") == 1, said
    assert said.out == "", said
    for word in words:
        assert word in said.err


def test_an_existing_run_is_not_overwritten(finished):
    before = (finished.folder / "metrics.csv").read_bytes()
    refused(pretrain(*HEADS, cwd=finished.folder.parent.parent), "already holds a run", "resume=true", "overwrite=true")
    assert (finished.folder / "metrics.csv").read_bytes() == before


def test_a_run_is_not_resumed_with_other_settings(finished):
    said = pretrain(*HEADS, "max_epochs=3", "seed=0", "resume=true", cwd=finished.folder.parent.parent)
    refused(said, "other settings", "max_epochs: 2 -> 3")


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("trainer.precision=foo", "precision"),
        pytest.param("logger=wandb", "logger.mode=offline", marks=pytest.mark.nightly),
        (f"{FOLDER}{{wrong}}/cut loader.device_cache=off loader.num_workers=0", "005.png"),
    ],
)
def test_a_mistake_does_not_cost_the_run_that_was_to_be_replaced(finished, tmp_path, request, typed, words):
    if "wandb" in typed:
        request.getfixturevalue("logged_out")
    truncate(labeled_tree(tmp_path / "cut", classes={"a": 10, "b": 10}) / "b" / "005.png")
    before = {path: path.read_bytes() for path in finished.folder.rglob("*") if path.is_file()}
    argv = typed.format(wrong=tmp_path).split()
    tiny = [setting for setting in TINY if "data=" not in typed or not setting.startswith("data")]
    argv = [*tiny, *HEADS, *argv, "overwrite=true", f"run_folder={finished.folder}"]
    said = call("pretrain", *argv, cwd=tmp_path)
    assert (said.code, said.err.count("Error: ")) == (2, 1), said
    assert words in said.err
    assert {path: path.read_bytes() for path in finished.folder.rglob("*") if path.is_file()} == before


def test_checkpoints_that_lie_elsewhere_are_replaced_by_ones_in_the_folder(finished, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(finished.folder, folder)
    (folder / "checkpoints").rename(tmp_path / "scratch")
    (folder / "checkpoints").symlink_to(tmp_path / "scratch")
    before = (tmp_path / "scratch" / "last.ckpt").read_bytes()
    said = pretrain(*SMALL, *BARE, "overwrite=true", f"run_folder={folder}", cwd=tmp_path)
    assert said.code == 0, said.err
    assert not (folder / "checkpoints").is_symlink()
    assert (folder / "checkpoints" / "last.ckpt").is_file()
    assert (tmp_path / "scratch" / "last.ckpt").read_bytes() == before
    assert not (folder / ".replaced").exists()


def test_a_bug_keeps_its_traceback(tmp_path):
    (tmp_path / "buggy.py").write_text("def load(image_size: int) -> None:\n    raise KeyError('a bug')\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "buggy.yaml").write_text("_target_: buggy.load\nimage_size: 32\n")
    with pytest.raises(KeyError, match="a bug"):
        call("pretrain", "--config-dir", ".", "data=buggy", cwd=tmp_path)
