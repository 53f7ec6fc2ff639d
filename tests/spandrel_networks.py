"""The networks that the library spandrel registers for images, with small arguments where the default is large."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class Registered:
    """A class of ``spandrel.architectures``.

    Attributes:
        arguments: arguments of the class.
        scale: output side over input side.
        multiple: the sides that it takes are multiples of this; ``square`` if height and width must be the same.
        line: what a run ends with if there can be no map.
        slow: whether it takes more than a few seconds.
    """

    module: str
    arguments: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    scale: int = 1
    multiple: int = 1
    square: bool = False
    line: str = ""
    slow: bool = False

    @property
    def label(self) -> str:
        return self.name or self.module

    def build(self) -> nn.Module:
        torch.manual_seed(0)
        return getattr(importlib.import_module(f"spandrel.architectures.{self.module}"), self.label)(**self.arguments)


WINDOWS = {"embed_dim": 16, "depths": (2,), "num_heads": (2,), "upscale": 2, "upsampler": "pixelshuffle"}
STRIPES = {"num_heads_window": [2], "num_heads_stripe": [2]}
FUNNEL = {"middle_blk_num": 1, "enc_blk_nums": [1, 1], "dec_blk_nums": [1, 1]}
STYLE = {"dim_in": 16, "dim_out": 64, "depth": 2}

REGISTERED = [
    Registered("ATD", {**WINDOWS, "category_size": 64, "num_tokens": 16, "reducted_dim": 4}, scale=2, slow=True),
    Registered(
        "AuraSR",
        {"dim": 8, "image_size": None, "input_image_size": None, "style_network": STYLE},
        scale=4,
        line="it draws random numbers",
        slow=True,
    ),
    Registered(
        "CRAFT", {"embed_dim": 24, "depths": [2], "num_heads": [2], "upscale": 2}, scale=2, multiple=16, slow=True
    ),
    Registered("Compact", {"num_feat": 8, "num_conv": 2, "upscale": 2}, scale=2),
    Registered("DAT", {"embed_dim": 16, "depth": [2], "num_heads": [2], "upscale": 2, "split_size": [8, 8]}, scale=2),
    Registered("DCTLSA", {"nf": 20, "upscale": 2, "num_head": 5}, scale=2, slow=True),
    Registered("DITN", {"dim": 12, "ITL_blocks": 1, "SAL_blocks": 1, "upscale": 2}, scale=2, multiple=8),
    Registered("DRCT", {**WINDOWS, "gc": 8}, scale=2, multiple=16, slow=True),
    Registered("DRUNet", {"in_nc": 4, "out_nc": 3, "nc": [8, 8, 16, 16]}, line="it needs a noise level"),
    Registered("DnCNN", {"in_nc": 3, "out_nc": 3, "nc": 8, "act_mode": "R"}),
    Registered("ESRGAN", {"num_filters": 8, "num_blocks": 1, "scale": 4}, scale=4),
    Registered("FBCNN", slow=True),
    Registered("FDAT", {"scale": 2, "embed_dim": 16, "num_groups": 1, "depth_per_group": 2, "num_heads": 2}, scale=2),
    Registered("FFTformer", {"dim": 8, "num_blocks": [1, 1, 1], "num_refinement_blocks": 1}, multiple=32, slow=True),
    Registered("GFPGAN", multiple=512, square=True, slow=True),
    Registered(
        "GRL",
        {"embed_dim": 16, "depths": [2], **STRIPES, "upscale": 2, "upsampler": "pixelshuffle"},
        scale=2,
        slow=True,
    ),
    Registered("HAT", {**WINDOWS, "window_size": 16, "squeeze_factor": 6}, scale=2, slow=True),
    Registered("HVICIDNet", {"channels": [8, 8, 16, 16], "heads": [1, 2, 4, 8]}, multiple=8, slow=True),
    Registered(
        "IPT", {"n_feats": 8, "num_heads": 4, "num_layers": 1, "scale": [2], "patch_size": 24}, scale=2, slow=True
    ),
    Registered(
        "KBNet",
        {"num_blocks": [1, 1, 1, 1], "num_refinement_blocks": 1},
        name="KBNet_l",
        multiple=16,
        slow=True,
    ),
    Registered("KBNet", {"width": 8, **FUNNEL}, name="KBNet_s"),
    Registered("LaMa", slow=True, line="not an image"),
    Registered("MMRealSR", {"num_in_ch": 3, "num_out_ch": 3, "num_block": 1, "num_grow_ch": 8}, scale=4, slow=True),
    Registered("MixDehazeNet", {"embed_dims": [8, 16, 32, 16, 8]}, slow=True),
    Registered("MoESR", {"scale": 2, "dim": 16, "n_blocks": 1, "n_block": 1}, scale=2, slow=True),
    Registered("MoSR", {"upscale": 2, "n_block": 2, "dim": 16}, scale=2),
    Registered("NAFNet", {"width": 8, **FUNNEL}),
    Registered("OmniSR", {"num_feat": 16, "up_scale": 2}, scale=2),
    Registered("PLKSR", {"dim": 16, "n_blocks": 2, "upscaling_factor": 2}, scale=2),
    Registered("PLKSR", {"dim": 16, "n_blocks": 2, "upscaling_factor": 2, "dysample": True}, name="RealPLKSR", scale=2),
    Registered("RCAN", {"scale": 2, "n_resgroups": 1, "n_resblocks": 2, "n_feats": 16}, scale=2),
    Registered("RGT", {"embed_dim": 16, "depth": [2], "num_heads": [2], "upscale": 2}, scale=2, slow=True),
    Registered("RealCUGAN", name="UpCunet2x", scale=2, slow=True),
    Registered("RealCUGAN", name="UpCunet2x_fast", scale=2, multiple=4, slow=True),
    Registered("RealCUGAN", name="UpCunet3x", scale=3, slow=True),
    Registered("RealCUGAN", name="UpCunet4x", scale=4, slow=True),
    Registered("RestoreFormer", {"ch": 32, "n_embed": 64}, multiple=32, slow=True),
    Registered("RetinexFormer", {"n_feat": 8, "stage": 1}, multiple=8, slow=True),
    Registered("SAFMN", {"dim": 8, "n_blocks": 2, "upscaling_factor": 2}, scale=2, multiple=8),
    Registered("SAFMNBCIE", {"dim": 8, "n_blocks": 1, "num_layers": 2, "upscaling_factor": 2}, multiple=16),
    Registered("SCUNet", {"dim": 64, "config": [1] * 7}, slow=True),
    Registered("SPAN", {"num_in_ch": 3, "num_out_ch": 3, "feature_channels": 8, "upscale": 2}, scale=2),
    Registered("SeemoRe", {"scale": 2, "num_experts": 2, "num_layers": 1, "embedding_dim": 16}, scale=2),
    Registered("Swin2SR", {**WINDOWS, "window_size": 8}, scale=2),
    Registered("SwiftSRGAN", {"num_channels": 8, "num_blocks": 2, "upscale_factor": 2}, scale=2),
    Registered("SwinIR", {**WINDOWS, "window_size": 8}, scale=2, slow=True),
    Registered("Uformer", {"embed_dim": 8, "img_size": 128, "depths": [1] * 9}, multiple=128, square=True, slow=True),
]
