"""One thread for each test process: small tensors gain nothing from more, and pytest-xdist uses the cores."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("WANDB_MODE", "offline")

import torch

torch.set_num_threads(1)
