import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate


@pytest.fixture
def photos():
    """Four images with edges, gradients and noise, none of them square: uint8."""
    generator = torch.Generator().manual_seed(3)
    coarse = torch.rand(4, 3, 6, 8, generator=generator)
    smooth = interpolate(coarse, size=(48, 64), mode="bicubic")
    noise = 0.1 * torch.randn(4, 3, 48, 64, generator=generator)
    return ((smooth + noise).clamp(0, 1) * 255).round().to(torch.uint8)


@pytest.fixture
def to_pil():
    return lambda image: Image.fromarray(image.permute(1, 2, 0).numpy())


@pytest.fixture
def from_pil():
    return lambda image: torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255


@pytest.fixture
def make_node():
    """Build a node of the host's schema that does nothing but resize, changed by keywords."""

    def make(crop_size=16, num_crops=1, **changes):
        operations = {
            "rrc": {"enabled": False, "crop_min_scale": 0.08, "crop_max_scale": 1.0},
            "color_jitter": {"prob": 0.0},
            "grayscale": {"prob": 0.0},
            "gaussian_blur": {"prob": 0.0},
            "solarization": {"prob": 0.0},
            "equalization": {"prob": 0.0},
            "horizontal_flip": {"prob": 0.0},
        }
        return {**operations, "crop_size": crop_size, "num_crops": num_crops, **changes}

    return make
