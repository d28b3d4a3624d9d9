"""Tensors in, pictures out."""

from amask_solo.visualization.panels import denormalize, mask_panel, overlay, save_panel

__all__ = ["denormalize", "mask_panel", "overlay", "save_panel"]
