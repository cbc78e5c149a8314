"""MaskFormer (Cheng et al. 2021) and Mask2Former (Cheng et al. 2022) in 3D as MaskMed's appendix D.1 and
Figure 7 adapt them: a U-Net's encoder, a feature pyramid, queries that read low-resolution features, and
every layer's mask embeddings on the one feature of highest resolution; all predictions count alike."""

import numpy as np
import torch
import torch.nn.functional as F

import maskmed
import model
import unet
from bridges import bridge


def pyramid(stages, w):
    """Top-down, lowest resolution first: what goes up is the convolved level, as MaskFormer's decoder has it."""
    x, out = None, []
    for s in reversed(range(len(stages))):
        level = w.at("stage%d" % s)
        side = unet.point_wise(stages[s], level.at("lateral"))
        if x is not None:
            side = side + F.interpolate(x, side.shape[2:], mode="trilinear", align_corners=False)
        x = unet.block(side, level.at("conv"), 1)
        out.append(x)
    return out


def predict(levels, finest, weights, config, scene, masked):
    """levels: what the layers attend to in turn. masked: by the layer before's masks."""
    config = {**config, "mask_resize": "trilinear", "blocks": 1}
    x, position = maskmed.start_queries(weights.at("queries"), len(finest))
    masks, classes = [], []
    for i in range(config["decoder_layers"]):
        w = weights.at("layer%d" % (i + 1))
        prior = masks[-1] if masked and masks else None
        x, queries = maskmed.attend(levels[i % len(levels)], x, position, prior, w, config)
        masks.append(maskmed.mask_logits(queries, finest, w, config))
        classes.append(maskmed.class_logits(queries, w, config))
    alike = np.full(len(masks), 1 / len(masks))
    return maskmed.outputs(masks, classes, torch.tensor(scene[1]).long(), config, alike)


def maskformer(weights, config, scene):
    stages = unet.encode(model.channels_first(scene[0]), weights.at("encoder"), config)
    return predict(stages[-1:], pyramid(stages, weights.at("fpn"))[-1], weights, config, scene, masked=False)


def mask2former(weights, config, scene):
    stages = unet.encode(model.channels_first(scene[0]), weights.at("encoder"), config)
    last_three = {**config, "bridge": "deformable", "query_scales": 3, "bridge_norm": "post"}
    levels = pyramid(bridge(stages, weights.at("pixel_decoder"), last_three), weights.at("fpn"))
    return predict(levels[:3], levels[-1], weights, config, scene, masked=True)


PEERS = {"maskformer": maskformer, "mask2former": mask2former}

OTHERS = {"maskformer": ("points", "query_scales"), "mask2former": ("query_scales",)}  # options of MaskMed's

VARIANTS = {
    "small": {},
    "matched per layer": {"match": "per_stage", "decoder_layers": 2},
    "nine layers, 2N queries": {"decoder_layers": 9, "queries": 2, "head_norm": "pre"},
    "one convolution": {"convs": 1, "head_norm": "inside"},
}
BRIDGED = {"two bridge layers": {"convs": 1, "bridge_layers": 2, "head_norm": "inside"}}  # an option of Mask2Former alone


def run(models, report, backends):
    for backend in backends:
        for peer, forward in PEERS.items():
            for name, changes in {**VARIANTS, **(BRIDGED if peer == "mask2former" else {})}.items():
                small = {key: value for key, value in model.COARSE.items() if key not in OTHERS[peer]}
                options = {**small, "model": peer, "fpn_width": 10, "decoder_layers": 3, **changes}
                report.case(peer, "%s, %s" % (name, backend), lambda: model.case(models, backend, forward, options))
