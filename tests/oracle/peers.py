"""MaskFormer (Cheng et al. 2021) and Mask2Former (Cheng et al. 2022) in 3D as MaskMed's appendix D.1 and
Figure 7 adapt them: a U-Net's encoder, a feature pyramid, queries that read low-resolution features, and
every layer's mask embeddings on the one feature of highest resolution; all predictions count alike.

Twice: as their public code is structured (one norm, class head and mask MLP for all layers; MaskFormer's queries start
at zero and look at each other first; Mask2Former's predict before the first layer and see what the deformable layers
leave, plus a vector a level), and as an earlier form of them here was, which stored trials have."""

import numpy as np
import torch
import torch.nn.functional as F

import maskmed
import model
import unet
from bridges import bridge
from transformer import attention, feed_forward, linear, mlp, norm, residual, sine


# ---- pixel decoders ------------------------------------------------------------------------------------


def group_norm(x, w):
    groups = max(n for n in range(1, 33) if x.shape[1] % n == 0)
    return F.group_norm(x, groups, w.weight, w.bias, 1e-5)


def group_block(x, w):
    return group_norm(plain_conv(x, w), w.at("norm")).relu()


def upwards(below, stage, w, normed):
    """A level of a pyramid: what comes from below, and the encoder's feature, through a convolution block."""
    side = unet.point_wise(stage, w.at("lateral"))
    if normed:
        side = group_norm(side, w.at("lateral.norm"))
    side = side + F.interpolate(below, side.shape[2:], mode="trilinear", align_corners=False)
    return group_block(side, w.at("conv")) if normed else unet.block(side, w.at("conv"), 1)


def plain_conv(x, w):
    kernel = w.weight.permute(0, 4, 1, 2, 3)
    return F.conv3d(x, kernel, w.bias, padding=[k // 2 for k in kernel.shape[2:]])


def climbed(x, stages, w):
    """From x through finer stages, listed finest first, to the features of masks."""
    for s in reversed(range(len(stages))):
        x = upwards(x, stages[s], w.at("stage%d" % s), True)
    return plain_conv(x, w.at("mask"))


def maskformer_pixels(stages, w):
    lowest = group_block(stages[-1], w.at("stage%d.conv" % (len(stages) - 1)))
    return climbed(lowest, stages[:-1], w)


def deformable_levels(stages, w, config):
    """The last three stages' tokens behind the deformable layers, finest first, each a grid."""
    return bridge(stages, w, {**config, "bridge": "deformable", "query_scales": 3, "bridge_norm": "post",
                              "result": "tokens",
                              "bridge_input_norm": "group"})[-3:]


def mask2former_pixels(levels, stages, w):
    x = levels[0]
    if x.shape[1] != w.at("mask").weight.shape[0]:
        fit = w.at("stage%d.lateral" % (len(stages) - 3))  # at the paper's size there is none
        x = group_norm(unet.point_wise(x, fit), fit.at("norm"))
    return climbed(x, stages[:-3], w)


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


# ---- query decoders ------------------------------------------------------------------------------------


class Heads:
    """What reads queries after any layer: one norm, one class head, one mask MLP. Keeps what they said."""

    def __init__(self, weights, config, finest):
        self.weights, self.config, self.finest, self.masks, self.classes = weights, config, finest, [], []

    def read(self, x):
        x = norm(x, self.weights.at("norm"))
        self.masks.append(torch.einsum("nkc,ncdhw->nkdhw", mlp(x, self.weights.at("mask_embedding"), 3), self.finest))
        self.classes.append(mlp(x, self.weights.at("class_embedding"), 1))


def tokens(feature, w, config, embedded):
    """A level's grid and its tokens (N, T, E)."""
    grid = maskmed.pooled_grid(feature.shape[2:], config["key_grid"])
    x = F.adaptive_avg_pool3d(feature, grid).flatten(2).transpose(1, 2)
    if x.shape[2] != config["hidden"]:
        x = linear(x, w.at("in"))
    return grid, x + w.embedding if embedded else x


def decode(weights, config, scene, levels, heads, masked, self_first):
    """levels: grids and tokens. The first prediction, if any, is the caller's."""
    count, place, position = config["heads"], config["head_norm"], weights.at("queries").position
    x = weights.at("queries").feature
    x = (x.detach() if self_first else x).expand(len(heads.finest), -1, -1)  # MaskFormer's zeros do not train
    if masked:
        heads.read(x)
    for i in range(config["decoder_layers"]):
        w = weights.at("layer%d" % (i + 1))
        grid, seen = levels[i % len(levels)]
        spots = sine(grid, config["hidden"])
        blocked = maskmed.blocked_by(heads.masks[-1], grid, "trilinear") if masked else None

        def look(x):
            return residual(x, lambda y: attention(y + position, seen + spots, seen, w.at("cross"), count, blocked),
                            w.at("cross.norm"), place)

        def talk(x):
            return residual(x, lambda y: attention(y + position, y + position, y, w.at("self"), count),
                            w.at("self.norm"), place)

        x = look(talk(x)) if self_first else talk(look(x))
        x = feed_forward(x, w.at("ffn"), place)
        heads.read(x)
    if len(heads.masks) != config["decoder_layers"] + masked:
        raise AssertionError("%d predictions" % len(heads.masks))
    alike = np.full(len(heads.masks), 1 / len(heads.masks))
    return maskmed.outputs(heads.masks, heads.classes, torch.tensor(scene[1]).long(), config, alike)


def maskformer(weights, config, scene):
    stages = unet.encode(model.channels_first(scene[0]), weights.at("encoder"), config)
    heads = Heads(weights, config, maskformer_pixels(stages, weights.at("fpn")))
    if weights.at("queries").feature.any():
        raise AssertionError("queries do not start at zero")
    seen = [tokens(stages[-1], weights.at("level1"), config, False)]
    return decode(weights, config, scene, seen, heads, masked=False, self_first=True)


def mask2former(weights, config, scene):
    stages = unet.encode(model.channels_first(scene[0]), weights.at("encoder"), config)
    levels = deformable_levels(stages, weights.at("pixel_decoder"), config)
    heads = Heads(weights, config, mask2former_pixels(levels, stages, weights.at("fpn")))
    seen = [tokens(x, weights.at("level%d" % (i + 1)), config, True) for i, x in enumerate(reversed(levels))]
    return decode(weights, config, scene, seen, heads, masked=True, self_first=False)


# ---- as stored trials have them --------------------------------------------------------------------------


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


def earlier_maskformer(weights, config, scene):
    stages = unet.encode(model.channels_first(scene[0]), weights.at("encoder"), config)
    return predict(stages[-1:], pyramid(stages, weights.at("fpn"))[-1], weights, config, scene, masked=False)


def earlier_mask2former(weights, config, scene):
    stages = unet.encode(model.channels_first(scene[0]), weights.at("encoder"), config)
    last_three = {**config, "bridge": "deformable", "query_scales": 3, "bridge_norm": "post"}
    levels = pyramid(bridge(stages, weights.at("pixel_decoder"), last_three), weights.at("fpn"))
    return predict(levels[:3], levels[-1], weights, config, scene, masked=True)


PEERS = {"maskformer": maskformer, "mask2former": mask2former}
EARLIER = {"maskformer": earlier_maskformer, "mask2former": earlier_mask2former}
EARLIER_OPTIONS = {
    "maskformer": {"decoder_heads": "own", "decoder_start": "learned", "decoder_order": "cross_first",
                   "pixel_decoder": "laterals"},
    "mask2former": {"decoder_heads": "own", "first_prediction": False, "pixel_decoder": "laterals"},
}

OTHERS = {"maskformer": ("points", "query_scales"), "mask2former": ("query_scales",)}  # options of MaskMed's

VARIANTS = {
    "small": {},
    "matched per layer": {"match": "per_stage", "decoder_layers": 2},
    "nine layers, 2N queries": {"decoder_layers": 9, "queries": 2, "head_norm": "pre"},
    "wide pyramid, coarse keys": {"fpn_width": 24, "key_grid": "2,2,3"},
    "one convolution": {"convs": 1, "head_norm": "inside"},
}
BRIDGED = {"two bridge layers": {"convs": 1, "bridge_layers": 2, "head_norm": "inside"}}  # an option of Mask2Former alone


def run(models, report, backends):
    for backend in backends:
        for peer, forward in PEERS.items():
            small = {key: value for key, value in model.COARSE.items() if key not in OTHERS[peer]}
            small = {**small, "model": peer, "fpn_width": 10, "decoder_layers": 3}
            for name, changes in {**VARIANTS, **(BRIDGED if peer == "mask2former" else {})}.items():
                report.case(peer, "%s, %s" % (name, backend),
                            lambda: model.case(models, backend, forward, {**small, **changes}))
            report.case(peer, "earlier form, %s" % backend, lambda: model.case(
                models, backend, EARLIER[peer], {**small, **EARLIER_OPTIONS[peer], "queries": 2, "match": "per_stage"}))
