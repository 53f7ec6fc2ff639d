"""The zoo's table: one entry per model, in the order of the families.

To add a model, write its network in ``NN/`` and add an entry here, or call ``register`` from your own code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from CEM_Demo.ModelZoo import papers
from CEM_Demo.ModelZoo.digests import PUBLISHED_SHA256
from CEM_Demo.ModelZoo.NN.carn import CARN
from CEM_Demo.ModelZoo.NN.csnln import CSNLN
from CEM_Demo.ModelZoo.NN.ddbpn import DDBPN
from CEM_Demo.ModelZoo.NN.dncnn import DnCNN
from CEM_Demo.ModelZoo.NN.drln import DRLN
from CEM_Demo.ModelZoo.NN.drrn import DRRN
from CEM_Demo.ModelZoo.NN.drunet import DRUNet
from CEM_Demo.ModelZoo.NN.edsr import EDSR
from CEM_Demo.ModelZoo.NN.espcn import ESPCN
from CEM_Demo.ModelZoo.NN.ffdnet import FFDNet
from CEM_Demo.ModelZoo.NN.fsrcnn import FSRCNN
from CEM_Demo.ModelZoo.NN.hat import HAT
from CEM_Demo.ModelZoo.NN.hinet import HINet
from CEM_Demo.ModelZoo.NN.imdn import IMDN
from CEM_Demo.ModelZoo.NN.ircnn import IRCNN
from CEM_Demo.ModelZoo.NN.lapsrn import LapSRN
from CEM_Demo.ModelZoo.NN.mirnetv2 import MIRNetV2
from CEM_Demo.ModelZoo.NN.mprnet import MPRNet
from CEM_Demo.ModelZoo.NN.msrn import MSRN
from CEM_Demo.ModelZoo.NN.pan import PAN
from CEM_Demo.ModelZoo.NN.prenet import PReNet
from CEM_Demo.ModelZoo.NN.rcan import RCAN, RetrainedRCAN
from CEM_Demo.ModelZoo.NN.restormer import Restormer
from CEM_Demo.ModelZoo.NN.rfdn import RFDN
from CEM_Demo.ModelZoo.NN.ridnet import RIDNet
from CEM_Demo.ModelZoo.NN.rnan import RNAN
from CEM_Demo.ModelZoo.NN.rrdbnet import RRDBNet
from CEM_Demo.ModelZoo.NN.sadnet import SADNet
from CEM_Demo.ModelZoo.NN.san import SAN
from CEM_Demo.ModelZoo.NN.scunet import SCUNet
from CEM_Demo.ModelZoo.NN.srcnn import SRCNN
from CEM_Demo.ModelZoo.NN.srdensenet import SRDenseNet, SRDenseNet17
from CEM_Demo.ModelZoo.NN.srresnet import SRResNet
from CEM_Demo.ModelZoo.NN.swinir import SwinIR
from CEM_Demo.ModelZoo.NN.xrestormer import XRestormer
from CEM_Demo.ModelZoo.registry import TASKS, Checkpoint, Entry, SizeRequirement


def base(file: str, demo: str | None = None) -> dict[str, Checkpoint]:
    """List the published checkpoint ``file``, and the bundled one of the model ``demo``."""
    # Networks that can be built for any scale all have weights for scale 4.
    checkpoints = {"Base": Checkpoint(file, PUBLISHED_SHA256.get(file), scale=4)}
    if demo:
        checkpoints["Demo"] = Checkpoint(f"{demo}-Demo.pth", scale=4)
    return checkpoints


EVEN = SizeRequirement(2, 2)


def one_task(
    name: str, task: str, build: Callable[..., nn.Module], paper: str, file: str | None, **facts: Any
) -> Entry:
    """Describe a model of one task, whose published weights, if any, are ``file``."""
    return Entry(name, (task,), build, paper, base(file) if file else {}, **facts)


def edsr(name: str, width: int, depth: int, demo: str | None = None) -> Entry:
    """Describe ``EDSR-width-depth``; each block's two convolutions, and four around them, widen the reach by one."""
    return Entry(
        name,
        ("SR",),
        EDSR,
        papers.EDSR,
        checkpoints=base(f"EDSR-{width}-{depth}_15000.pth", demo),
        arguments={"width": width, "depth": depth},
        takes_channels=True,
        numbered=("width", "depth"),
        reach=2 * depth + 4,
        told_by_weights=edsr_training,
    )


def edsr_training(arguments: Mapping[str, Any], state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Tell how an EDSR was trained: on 0..1 or 0..255, and the paper's large one with residuals scaled by 0.1.

    The mean that the network subtracts reveals the range; section 4.2 of the paper describes the large network.
    """
    span = 255 if state["sub_mean.bias"].abs().max() > 1 else 1
    is_large = (arguments["width"], arguments["depth"]) == (256, 32)
    return {"span": span, "residual_scale": 0.1 if is_large else 1.0}


def fsrcnn(name: str, width: int, depth: int, checkpoints: dict[str, Checkpoint] | None = None) -> Entry:
    """Describe ``FSRCNN-width-depth``; the numbers are those of its mapping layers."""
    return Entry(
        name,
        ("SR",),
        FSRCNN,
        papers.FSRCNN,
        checkpoints=checkpoints or base(f"{name}_15000.pth"),
        arguments={"width": width, "depth": depth},
        takes_channels=True,
        numbered=("width", "depth"),
        reach=depth + 3,
    )


def srresnet(name: str, tasks: tuple[str, ...], file: str, scale: int = 1, demo: str | None = None) -> Entry:
    """Describe an MSRResNet; at scale 1 it serves denoising, deraining, or several tasks at once."""
    return Entry(name, tasks, SRResNet, papers.SRGAN, base(file, demo), {"scale": scale}, scale=scale, reach=35)


def rcan(
    name: str,
    tasks: tuple[str, ...],
    file: str,
    scale: int = 4,
    reach: int | None = None,
    minimum: int = 1,
    **variant: int,
) -> Entry:
    """Describe a variant of RCAN that the authors of CEM published."""
    arguments = {"scale": scale, **variant}
    size = SizeRequirement(minimum=minimum)
    return Entry(name, tasks, RetrainedRCAN, papers.RCAN, base(file), arguments, scale=scale, size=size, reach=reach)


def rrdbnet(name: str, paper: str, file: str) -> Entry:
    """Describe a training of ESRGAN's network."""
    return Entry(name, ("SR",), RRDBNet, paper, base(file), scale=4, takes_channels=True, reach=349)


def swinir(name: str, tasks: tuple[str, ...], file: str, reach: int, aligned: bool = False, **arguments: Any) -> Entry:
    """Describe a SwinIR-M, of scale 1 unless the arguments say otherwise.

    The network pads images to whole windows. If the published one did not (``aligned``), the entry asks for whole
    windows instead.
    """
    arguments = {"scale": 1, **arguments}
    size = SizeRequirement(8, 8) if aligned else SizeRequirement()
    scale = arguments["scale"]
    return Entry(name, tasks, SwinIR, papers.SWINIR, base(file), arguments, scale=scale, size=size, reach=reach)


def hat(name: str, file: str, groups: int) -> Entry:
    """Describe a HAT of ``groups`` groups."""
    size = SizeRequirement(16, 16)
    return Entry(name, ("SR",), HAT, papers.HAT, base(file), {"groups": groups}, scale=4, size=size)


def restormer(name: str, task: str, file: str, centred: bool) -> Entry:
    """Describe a Restormer; the deepest of its four levels has an eighth of the image's size."""
    size = SizeRequirement(8, 8)
    return Entry(name, (task,), Restormer, papers.RESTORMER, base(file), {"centred": centred}, scale=1, size=size)


def xrestormer(name: str, task: str, file: str, scale: int = 1) -> Entry:
    """Describe an X-Restormer; the deepest level, at an eighth of the output's size, has windows of 8 pixels."""
    size = SizeRequirement(64 // scale, 64 // scale)
    arguments = {"scale": scale}
    return Entry(name, (task,), XRestormer, papers.XRESTORMER, base(file), arguments, scale=scale, size=size)


# The network of the paper has 12 channels and 4 layers; the weights published under its name have 16 and 6.
FSRCNN_WEIGHTS = replace(base("FSRCNN-16-6_15000.pth")["Base"], arguments={"width": 16, "depth": 6})

ENTRIES = [
    one_task("SRCNN", "SR", SRCNN, papers.SRCNN, "SRCNN_15000.pth", takes_channels=True, reach=4),
    fsrcnn("FSRCNN", 12, 4, checkpoints={"Base": FSRCNN_WEIGHTS}),
    *(fsrcnn(f"FSRCNN-{width}-6", width, 6) for width in (16, 32, 48, 64, 80, 96, 112, 128)),
    *(fsrcnn(f"FSRCNN-48-{depth}", 48, depth) for depth in (2, 4, 8, 10, 12, 14, 16)),
    Entry("ESPCN", ("SR",), ESPCN, papers.ESPCN, takes_channels=True, numbered=("width", "depth"), reach=35),
    one_task("DRRN", "SR", DRRN, papers.DRRN, None, takes_channels=True, reach=15),
    one_task("LapSRN", "SR", LapSRN, papers.LAPSRN, "LapSRN_15000.pth", scale=4, takes_channels=True, reach=17),
    one_task(
        "SRDenseNet",
        "SR",
        SRDenseNet,
        papers.SRDENSENET,
        "SRDenseNet_15000.pth",
        scale=4,
        takes_channels=True,
        reach=66,
    ),
    one_task("SRDenseNet17", "SR", SRDenseNet17, papers.SRDENSENET, None, scale=4, reach=66),
    one_task("DDBPN", "SR", DDBPN, papers.DBPN, "DBPN_x4_new.pth", scale=4, reach=21),
    one_task("CARN", "SR", CARN, papers.CARN, "CARN_7400.pth", reach=21),
    one_task("IMDN", "SR", IMDN, papers.IMDN, "IMDN_x4_new.pth", scale=4),
    one_task("MSRN", "SR", MSRN, papers.MSRN, "MSRN_x4.pt", takes_channels=True, reach=36),
    edsr("EDSR", 64, 16, demo="EDSR"),
    *(edsr(f"EDSR-64-{depth}", 64, depth) for depth in (10, 12, 14, 16, 18, 20, 22, 24)),
    *(edsr(f"EDSR-{width}-16", width, 16) for width in (32, 96, 128, 160, 192, 224, 256)),
    srresnet("SRResNet", ("SR",), "MSRResNet_net_g_1000000.pth", scale=4, demo="SRResNet"),
    srresnet("MSRGAN", ("SR",), "MSRGAN_net_g_400000.pth", scale=4),
    one_task("RCAN", "SR", RCAN, papers.RCAN, "RCAN.pt", takes_channels=True),
    rcan("RCAN_half_ca", ("SR",), "RCAN_half.pth", gated=5),
    rcan("RCAN_no_ca", ("SR",), "RCAN_noCA.pth", reach=414, gated=0),
    rcan("RCAN_pooling4", ("SR",), "RCAN_pooling4.pth", minimum=4, window=4),
    rcan("RCAN_pooling16", ("SR",), "RCAN_pooling16.pth", minimum=16, window=16),
    rcan("RCAN_pooling2x2", ("SR",), "RCAN_pooling2x2.pth", grid=2),
    rcan("RCAN_pooling3x3", ("SR",), "RCAN_pooling3x3.pth", grid=3),
    rcan("RCAN_DN", ("DN",), "RCAN_DN.pth", scale=1),
    rcan("RCAN_DR", ("DR",), "RCAN_DR.pth", scale=1),
    rcan("RCAN_mix", TASKS, "mix_RCAN.pth", scale=1, depth=16),
    one_task("DRLN", "SR", DRLN, papers.DRLN, "DRLN_BIX4.pt", scale=4),
    one_task("SAN", "SR", SAN, papers.SAN, "SAN_BI4X.pt", takes_channels=True, size=SizeRequirement(minimum=4)),
    one_task("RNAN", "SR", RNAN, papers.RNAN, "RNAN_SR_F64G10P48BIX4.pt", takes_channels=True, size=EVEN),
    one_task("CSNLN", "SR", CSNLN, papers.CSNLN, "CSNLN_x4.pt", scale=4, takes_channels=True, size=EVEN),
    Entry("PAN", ("SR",), PAN, papers.PAN, base("PANx4_DF2K.pth", "PAN"), scale=4, reach=36),
    one_task("RFDN", "SR", RFDN, papers.RFDN, "RFDN_AIM.pth", scale=4, size=SizeRequirement(minimum=15), reach=128),
    rrdbnet("RRDBNet", papers.ESRGAN, "RealESRGAN_x4plus.pth"),
    rrdbnet("RealESRGAN", papers.REALESRGAN, "RealESRGAN_x4plus.pth"),
    rrdbnet("RealESRNet", papers.REALESRGAN, "RealESRNet_x4plus.pth"),
    swinir("SwinIR", ("SR",), "001_classicalSR_DF2K_s64w8_SwinIR-M_x4.pth", reach=153, scale=4),
    swinir("SwinIR-for-HAT", ("SR",), "SwinIR_SRx4_official.pth", reach=153, aligned=True, scale=4, image_side=48),
    swinir(
        "SwinIR-Real-PSNR",
        ("SR",),
        "003_realSR_BSRGAN_DFO_s64w8_SwinIR-M_x4_PSNR.pth",
        reach=153,
        scale=4,
        reconstruction="nearest",
    ),
    hat("HAT", "HAT_SRx4.pth", groups=6),
    hat("HAT-L", "HAT-L_SRx4_ImageNet-pretrain.pth", groups=12),
    xrestormer("XRestormer_SR", "SR", "xrestormer_sr.pth", scale=4),
    srresnet("SRResNet_DN", ("DN",), "SRResNet_DN.pth", demo="SRResNet_DN"),
    srresnet("SRResNet_DR", ("DR",), "SRResNet_DR.pth", demo="SRResNet_DR"),
    srresnet("SRResNet_mix", TASKS, "mix_SRResNet.pth"),
    srresnet("SRResNet_MIO", TASKS, "SRResNet_M.pth"),
    swinir("SwinIR_mix", TASKS, "mix_SwinIR.pth", reach=152, aligned=True),
    swinir("SwinIR_MIO", TASKS, "SwinIR_M.pth", reach=152, aligned=True, image_side=128),
    swinir(
        "SwinIR_DN",
        ("DN",),
        "005_colorDN_DFWB_s128w8_SwinIR-M_noise50.pth",
        reach=151,
        image_side=128,
        reconstruction="residual",
    ),
    swinir("SwinIR_DR", ("DR",), "SwinIR_DR.pth", reach=152, aligned=True),
    Entry("SCUNet", ("DN",), SCUNet, papers.SCUNET, base("scunet_color_50.pth"), scale=1, reach=305),
    restormer("Restormer_DN", "DN", "Restormer_gaussian_color_denoising_sigma50.pth", centred=False),
    restormer("Restormer_DR", "DR", "restormer_deraining.pth", centred=True),
    xrestormer("XRestormer_DN", "DN", "xrestormer_denoise_300k.pth"),
    xrestormer("XRestormer_DR", "DR", "xrestormer_derain.pth"),
    Entry("DnCNN", ("DN",), DnCNN, papers.DNCNN, base("dncnn_color_blind.pth", "DnCNN"), scale=1, reach=20),
    one_task("IRCNN", "DN", IRCNN, papers.IRCNN, "ircnn_color.pth", scale=1, reach=16),
    Entry("FFDNet", ("DN",), FFDNet, papers.FFDNET, base("ffdnet_color.pth"), scale=1, reach=25),
    one_task("DRUNet", "DN", DRUNet, papers.DRUNET, "drunet_color.pth", scale=1, size=SizeRequirement(8, 8), reach=185),
    one_task("RIDNet", "DN", RIDNet, papers.RIDNET, "ridnet.pt", scale=1),
    # The learned offsets have no bound, so neither has the reach.
    one_task("SADNet", "DN", SADNet, papers.SADNET, "sadnet_color_50.pth", scale=1, size=SizeRequirement(8, 8)),
    one_task(
        "MIRNetV2", "DN", MIRNetV2, papers.MIRNET, "MIRNetv2_real_denoising.pth", scale=1, size=SizeRequirement(4, 4)
    ),
    one_task("MPRNet", "DN", MPRNet, papers.MPRNET, "MPRNet_model.pth", scale=1, size=SizeRequirement(8, 8)),
    one_task(
        "MPRNet_DR",
        "DR",
        MPRNet,
        papers.MPRNET,
        "MPRNet_deraining.pth",
        arguments={"width": 40, "step": 20, "extra": 16, "clamp": True},
        scale=1,
        size=SizeRequirement(8, 8),
    ),
    one_task("HINet", "DR", HINet, papers.HINET, "HINet-Rain13k.pth", scale=1, size=SizeRequirement(16, 32)),
    Entry("PReNet", ("DR",), PReNet, papers.PRENET, base("PReNet6.pth", "PReNet"), scale=1, reach=78),
]
