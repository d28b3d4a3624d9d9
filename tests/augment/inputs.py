import torch

PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
STRONG = {"prob": 0.8, "brightness": 0.8, "contrast": 0.8, "saturation": 0.8, "hue": 0.2}
ALL = {
    "rrc": {"enabled": True, "crop_min_scale": 0.2, "crop_max_scale": 1.0},
    "color_jitter": STRONG,
    "grayscale": {"prob": 0.2},
    "gaussian_blur": {"prob": 0.5},
    "solarization": {"prob": 0.2},
    "equalization": {"prob": 0.1},
    "horizontal_flip": {"prob": 0.5},
}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(count, size):
    return torch.randint(256, (count, 3, size, size), generator=seeded(9), dtype=torch.uint8)
