"""MaskSAM's own blocks in PyTorch, after its sections 2.4 to 2.6 and its code where that says more: adapters, depth
positions, input adapter, prompt generator, class tokens. Maps and tokens are channels last, (N, D, h, w, E) and
(N, D, T, E), but where convolutions read them. Each block alone stands in a model of its own, whose Lua is written here."""

import os
import tempfile

import torch
import torch.nn.functional as F

import model
import unet
from transformer import linear


def first(x):
    return x.permute(0, 4, 1, 2, 3)


def last(x):
    return x.permute(0, 2, 3, 4, 1)


# ---- adapters (2.5) ------------------------------------------------------------------------------------


def along_depth(x, w):
    return linear(x.movedim(1, -1), w).movedim(-1, 1)


def depth_mlp(h, w):
    return h + along_depth(F.gelu(along_depth(h, w.at("depth.0"))), w.at("depth.1"))


def depth_conv(h, w):
    conv, norm = w.at("conv"), w.at("conv.norm")
    u = last(F.conv3d(first(h), conv.weight.permute(0, 4, 1, 2, 3), conv.bias, padding=1, groups=h.shape[-1]))
    return h + F.gelu(F.layer_norm(u, u.shape[-1:], norm.weight, norm.bias, 1e-6))


def adapter(x, w, kind):
    """Without the skip around it."""
    x = depth_mlp(x, w) if kind == "mlp_before" else x
    h = F.gelu(linear(x, w.at("down")))
    h = depth_mlp(h, w) if kind == "mlp_middle" else depth_conv(h, w) if kind == "conv_middle" else h
    u = linear(h, w.at("up"))
    return depth_mlp(u, w) if kind == "mlp_after" else u


def adapted(x, w, config, which):
    """x, plus what option `which` of the configuration says."""
    kind = config.get(which, "none")
    return x if kind == "none" else x + adapter(x, w, kind)


# ---- what stands before and behind SAM's encoder (2.4, 2.6) --------------------------------------------


def doubled(x, w):
    return F.conv_transpose3d(x, w.weight.permute(0, 4, 1, 2, 3), w.bias, (1, 2, 2))


def normed(x, w):
    return F.instance_norm(x, weight=w.at("norm").weight, bias=w.at("norm").bias, eps=1e-5)


def input_adapter(x, w, layers, upsample):
    """Channels first; layers: the last convolution included."""
    for i in range(layers):
        if 0 < i <= upsample:
            up = w.at("up%d" % i)
            x = F.gelu(normed(doubled(x, up), up))
        else:
            x = unet.block(x, w.at("conv%d" % i), 1)
    return x


def prompt_generator(neck, blocks, w, upsample, shared=True):
    """Channels first. blocks: the outputs of the encoder's global blocks, first to last. Returns masks' logits and levels."""
    level = w.at("level0")
    levels = [unet.block(unet.block(neck, level.at("conv0"), 1), level.at("conv1"), 1)]
    for i, x in enumerate(reversed(blocks), 1):
        level, times = w.at("level%d" % i), min(i, upsample)
        branch = w.at("skip%d" % (times if shared else i))
        for k in range(times):
            x = unet.block(doubled(x, branch.at("up%d" % k)), branch.at("conv%d" % k), 1)
        if not times:
            x = unet.block(x, branch.at("conv"), 1)
        below = doubled(levels[-1], level.at("up")) if i <= upsample else levels[-1]
        levels.append(unet.block(torch.cat([below, x], 1), level.at("conv"), 1))
    return unet.point_wise(levels[-1], w.at("masks")), levels


def class_tokens(levels, w, queries, width, pooled=False, shared=True):
    """Channels first to (N, D, Q, width)."""
    side, depth = 1 if pooled else int(width ** .5), levels[0].shape[2]
    x = torch.cat([F.adaptive_avg_pool3d(g, (depth, side, side)) for g in levels], 1)
    if pooled:
        x = linear(x[..., 0, 0].transpose(1, 2), w.at("mean")).unflatten(-1, (queries, width))
    else:
        conv = w.at("grid")
        x = F.conv3d(x, conv.weight.permute(0, 4, 1, 2, 3), conv.bias, padding=1)
        x = F.gelu(normed(x, conv)).flatten(3).transpose(1, 2)
    return x + w.token if shared else x


# ---- blocks alone --------------------------------------------------------------------------------------

MODEL = """return function(m, c)
  local function wide(width, name) return m.convolution { m.image, width = width, kernel = { 1, 1, 1 }, name = name } end
  local function coarse(width, name) return m.op.avg_pool { wide(width, name), factor = { 1, 4, 4 } } end
  local map = %s
  local logits = m.point_wise_head { map, classes = c.classes, name = "head" }
  if not m.labels then return { map = m.op.softmax { logits } } end
  local loss, entropy, dice = m.voxel_class_loss { m.labels, logits }
  return { loss = loss, class = entropy, dice = dice }
end
"""
EXPERIMENT = 'return { title = "A block", seeds = 1, rows = { { key = "block", set = { model = "block%d.lua" } } } }\n'
SMALL = {"scale": "quick", "patch": "4,8,12", "batch": 2, "jitter": .1, "classes": 4, "channels": 2}


def wide(image, w, name):
    conv = w.at(name)
    return F.conv3d(image, conv.weight.permute(0, 4, 1, 2, 3), conv.bias)


def coarse(image, w, name):
    return F.avg_pool3d(wide(image, w, name), (1, 4, 4))


def slices(image, w, run):
    """(N D Q, T, E) of (N, D, h, w, E), Q = 2: neighbours in the batch are of one slice."""
    x = last(wide(image, w, "in"))
    return first(run(x).reshape(x.shape))


def streams(x, w):
    """Q = 2 maps of half the height: stream q of all slices is one map."""
    n, d, h, v, e = x.shape
    parts = [adapter(part, w.at("adapter"), "conv_middle") for part in x.reshape(n, d, 2, h // 2, v, e).unbind(2)]
    return torch.stack(parts, 2)


def in_windows(x, w, kind, edge):
    """What MaskSAM's code takes for the depth: as many windows as there are slices, one after another. x: channels last."""
    n, d, h, v, e = x.shape
    padded = F.pad(x, (0, 0, 0, -v % edge, 0, -h % edge))
    rows, columns = padded.shape[2] // edge, padded.shape[3] // edge
    windows = padded.reshape(n, d, rows, edge, columns, edge, e).transpose(3, 4).reshape(-1, d, edge, edge, e)
    out = adapter(windows, w, kind).reshape(n, d, rows, columns, edge, edge, e).transpose(3, 4)
    return out.reshape(padded.shape)[:, :, :h, :v]


def generated(image, w, upsample, shared, count):
    """The auxiliary masks, and the class tokens times the finest level."""
    blocks = [coarse(image, w, "g%d" % i) for i in range(count)]
    masks, levels = prompt_generator(coarse(image, w, "neck"), blocks, w.at("prompt_generator"), upsample, shared)
    tokens = class_tokens(levels, w.at("class_token"), 5, 4).flatten(1, 2)
    product = torch.einsum("nkc,ncdhw->nkdhw", tokens, levels[-1])
    return torch.cat([masks, product], 1)


def generator_lua(options, count):
    blocks = ", ".join('coarse(3, "g%d")' % i for i in range(count))
    return """(function()
    local made = { m.prompt_generator { coarse(3, "neck"), { %s }, %s, queries = 5, name = "prompt_generator" } }
    local levels = { table.unpack(made, 2) }
    local tokens = m.class_token { levels, queries = 5, width = 4, name = "class_token" }
    local product = m.op.matmul { levels[#levels], m.op.reshape { tokens, shape = { 2, 20, 4 } } }
    return m.op.concat { made[1], product, axis = "channels" }
  end)()""" % (blocks, options)


# Lua that makes a map of the image; the same of weights and the image, channels first.
BLOCKS = {
    **{"adapter, " + kind: (
        'm.op.add { wide(8, "in"), m.adapter { wide(8, "of"), kind = "%s", name = "adapter" } }' % kind,
        lambda w, x, kind=kind: wide(x, w, "in") + first(adapter(last(wide(x, w, "of")), w.at("adapter"), kind)))
       for kind in ("vanilla", "mlp_before", "mlp_middle", "mlp_after", "conv_middle")},
    "adapter of a batch of slices": (
        'm.op.reshape { m.adapter { m.op.reshape { wide(6, "in"), shape = { 16, 48, 6 } }, kind = "mlp_middle", ratio = 2, '
        'slices = 4, streams = 2, name = "adapter" }, shape = { 2, 4, 8, 12, 6 } }',
        lambda w, x: slices(x, w, lambda x: adapter(x.flatten(2, 3), w.at("adapter"), "mlp_middle"))),
    "adapter of a batch of streams": (
        'm.op.reshape { m.adapter { m.op.reshape { wide(6, "in"), shape = { 16, 4, 12, 6 } }, kind = "conv_middle", ratio = 1, '
        'slices = 4, streams = 2, name = "adapter" }, shape = { 2, 4, 8, 12, 6 } }',
        lambda w, x: slices(x, w, lambda x: streams(x, w))),
    **{"adapter of windows, " + kind: (
        'm.adapter { wide(6, "in"), kind = "%s", window = 5, ratio = 2, name = "adapter" }' % kind,
        lambda w, x, kind=kind: first(in_windows(last(wide(x, w, "in")), w.at("adapter"), kind, 5)))
       for kind in ("mlp_middle", "conv_middle")},
    "position of slices": (
        'm.depth_position { wide(5, "in"), name = "depth" }',
        lambda w, x: wide(x, w, "in") + w.at("depth").position.t()[..., None, None]),
    "position of voxels": (
        'm.op.add { wide(6, "in"), m.depth_position { m.op.fill { shape = { 1, 8, 12, 6 }, value = 2 }, slices = 4, '
        'per = "voxel", name = "depth" } }',
        lambda w, x: wide(x, w, "in") + 2 + w.at("depth").position.permute(3, 0, 1, 2)),
    "input adapter, as for AMOS": (
        'm.input_adapter { m.image, name = "input" }', lambda w, x: input_adapter(x, w.at("input"), 2, 0)),
    "input adapter, enlarged": (
        'm.op.avg_pool { m.input_adapter { m.image, widths = { 4, 5, 6, 7 }, upsample = 2, name = "input" }, factor = { 1, 4, 4 } }',
        lambda w, x: F.avg_pool3d(input_adapter(x, w.at("input"), 5, 2), (1, 4, 4))),
    "prompt generator, as for ACDC": (
        generator_lua("widths = { 6, 5, 4 }", 4), lambda w, x: generated(x, w, 2, True, 4)),
    "prompt generator, branches of their own": (
        generator_lua('widths = { 6, 5, 4 }, skips = "own"', 3), lambda w, x: generated(x, w, 2, False, 3)),
    "class tokens of means": (
        'm.op.matmul { wide(5, "in"), m.op.reshape { m.class_token { wide(3, "a"), coarse(2, "b"), queries = 3, width = 5, '
        'from = "pooled", shared = false, name = "class_token" }, shape = { 2, 12, 5 } } }',
        lambda w, x: torch.einsum("nkc,ncdhw->nkdhw", class_tokens(
            [wide(x, w, "a"), coarse(x, w, "b")], w.at("class_token"), 3, 5, True, False).flatten(1, 2), wide(x, w, "in"))),
}


class Root(model.Scope):
    """All of a model's weights."""

    def at(self, name):
        return model.Scope(self.weights, name)


def forward_of(block):
    def forward(weights, config, scene):
        logits = unet.point_wise(block(Root(weights, ""), model.channels_first(scene[0])), weights.at("head"))
        return unet.outputs([logits], torch.tensor(scene[1]).long(), config)
    return forward


def start(models, backend, options):
    """An adapter's layers start as PyTorch's do."""
    run = models.run(backend, model.scene(options), **{**options, "jitter": 0})
    weights = model.Weights(run.weights)
    for name, bound in {"adapter.down": 8, "adapter.up": 2, "adapter.depth.0": 4, "adapter.depth.1": 16}.items():
        for what in ("weight", "bias"):
            values = weights.leaves["%s.%s" % (name, what)].abs().max().item() * bound ** .5
            if not .3 < values <= 1:
                raise AssertionError("%s.%s starts within %.2f of 1/sqrt(inputs)" % (name, what, values))
    return 0.0


def run(models, report, backends):
    if not report.wants("adapters"):
        return
    with tempfile.TemporaryDirectory() as folder:
        for i, (name, (lua, block)) in enumerate(BLOCKS.items()):
            path = os.path.join(folder, "experiment%d.lua" % i)
            with open(os.path.join(folder, "block%d.lua" % i), "w") as file:
                file.write(MODEL % lua)
            with open(path, "w") as file:
                file.write(EXPERIMENT % i)
            options = {**SMALL, "experiment": path}
            for backend in backends:
                report.case("adapters", "%s, %s" % (name, backend),
                            lambda: model.case(models, backend, forward_of(block), options))
                if name == "adapter, mlp_middle":
                    report.case("adapters", "start, %s" % backend, lambda: start(models, backend, options))
