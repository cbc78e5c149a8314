"""MaskMed's bridges between encoder and decoder (section 3.3, appendix B, Table 4): joint self-attention, and
deformable attention on grid_sample, over some or all scales."""

import math

import torch
import torch.nn.functional as F

import model
from adapters import adapted
from transformer import attention, centres, feed_forward, linear, residual, sine


def deformable(query, reference, levels, w, config):
    n, t, width = query.shape
    heads, count = config["heads"], len(levels)
    points = config["points_total"] // count or config["points"]
    offsets = linear(query, w.at("offsets")).view(n, t, heads, count, points, 3)
    shares = linear(query, w.at("weights")).view(n, t, heads, -1).softmax(-1).view(n, t, heads, count, points)
    total = 0
    for l, level in enumerate(levels):
        size = torch.tensor(level.shape[1:4]).double()
        value = linear(level, w.at("value")).unflatten(-1, (heads, -1)).permute(0, 4, 5, 1, 2, 3).flatten(0, 1)
        place = reference[:, None, None] + offsets[:, :, :, l] / size
        grid = (2 * place - 1).flip(-1).transpose(1, 2).reshape(n * heads, t, points, 1, 3)
        sampled = F.grid_sample(value, grid, padding_mode="zeros", align_corners=False)
        sampled = sampled.view(n, heads, -1, t, points) * shares[:, :, :, l].transpose(1, 2)[:, :, None]
        total = total + sampled.sum(-1)  # (n, heads, width / heads, t)
    return linear(total.permute(0, 3, 1, 2).reshape(n, t, width), w.at("output"))


def group_norm(x, w):
    """Channels last, in as many groups as divide the width, at most 32."""
    groups = max(n for n in range(1, 33) if x.shape[-1] % n == 0)
    return model.channels_last(F.group_norm(x.permute(0, 4, 1, 2, 3), groups, w.weight, w.bias, 1e-5))


def bridge(skips, w, config):
    """Rewrites the lowest query_scales or standard_scales stages; those are read, with fsad value_scales or all."""
    rewritten = config["standard_scales" if config["bridge"] == "standard" else "query_scales"]
    scales, first, place = len(skips), len(skips) - rewritten, config["bridge_norm"]
    lowest = scales - (config["value_scales"] or scales) if config["bridge"] == "fsad" else first
    levels = {s: linear(model.channels_last(skips[s]), w.at("scale%d.in" % s)) for s in range(lowest, scales)}
    if config.get("bridge_input_norm") == "group":
        levels = {s: group_norm(x, w.at("scale%d.norm" % s)) for s, x in levels.items()}
    grids = {s: tuple(levels[s].shape[1:4]) for s in levels}
    asking = range(first, scales)
    x = torch.cat([levels[s].flatten(1, 3) for s in asking], 1)
    position = torch.cat([sine(grids[s], config["hidden"]) + w.at("scale%d" % s).embedding for s in asking])
    reference = torch.cat([centres(grids[s]) for s in asking])
    sizes = [math.prod(grids[s]) for s in asking]
    for i in range(config["bridge_layers"]):
        layer = w.at("layer%d" % i)
        values = [levels[s] for s in sorted(levels)]

        def attend(y):
            if config["bridge"] == "standard":
                return attention(y + position, y + position, y, layer.at("attention.self"), config["heads"])
            return deformable(y + position, reference, values, layer.at("attention"), config)

        def mix(y):
            maps = [part.unflatten(1, grids[s]) for s, part in zip(asking, attend(y).split(sizes, 1))]
            return torch.cat([adapted(x, layer.at("attention.scale%d.adapter" % s), config, "bridge_adapter").flatten(1, 3)
                              for s, x in zip(asking, maps)], 1)

        x = residual(x, mix, layer.at("attention.norm"), place)
        x = feed_forward(x, layer.at("ffn"), place)
        for s, part in zip(asking, x.split(sizes, 1)):
            levels[s] = part.unflatten(1, grids[s])
    out = list(skips)
    for s in asking:
        if config.get("result") == "tokens":
            out[s] = levels[s].permute(0, 4, 1, 2, 3)
            continue
        out[s] = skips[s] + linear(levels[s], w.at("scale%d.out" % s)).permute(0, 4, 1, 2, 3)
    return out
