"""MaskMed as a whole in PyTorch, after the paper's sections 3.1-3.5 and the choices we declare for what
it leaves open: FSAD bridge on grid_sample, Mask2Former-style head on torch's multi-head attention,
matching by SciPy, loss of Eq. 6, MaskFormer's class map."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment

import model
import unet


def linear(x, w):
    return F.linear(x, w.weight, w.bias)


def norm(x, w):
    return F.layer_norm(x, x.shape[-1:], w.weight, w.bias, 1e-5)


def residual(x, f, w, place):
    if place == "inside":
        return x + norm(f(x), w)
    return norm(x + f(x), w) if place == "post" else x + f(norm(x, w))


def feed_forward(x, w, place):
    return residual(x, lambda y: linear(linear(y, w.at("0")).relu(), w.at("1")), w.at("norm"), place)


def mlp(x, w, layers):
    for i in range(layers):
        x = linear(x if i == 0 else x.relu(), w.at(str(i)))
    return x


def centres(grid):
    """(D*H*W, 3): cell centres in 0..1, z y x."""
    axes = [(torch.arange(n).double() + .5) / n for n in grid]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)


def sine(grid, width):
    """DETR's normalised sine encoding with a third axis: 2 pi scale, temperature 10^4."""
    features = width // 6 * 2
    period = 10000 ** (2 * (torch.arange(features) // 2).double() / features)
    angle = centres(grid)[:, :, None] * 2 * math.pi / period  # (T, 3, features)
    waves = torch.stack([angle[..., 0::2].sin(), angle[..., 1::2].cos()], -1).flatten(1)
    return F.pad(waves, (0, width - waves.shape[1]))


# ---- the bridge (section 3.3, appendix B) --------------------------------------------------------------


def deformable(query, reference, levels, w, config):
    n, t, width = query.shape
    heads, points, count = config["heads"], config["points"], len(levels)
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


def bridge(skips, w, config):
    scales, first = len(skips), len(skips) - config["query_scales"]
    lowest = first if config["bridge"] == "deformable" else 0
    levels = {s: linear(model.channels_last(skips[s]), w.at("scale%d.in" % s)) for s in range(lowest, scales)}
    grids = {s: tuple(levels[s].shape[1:4]) for s in levels}
    asking = range(first, scales)
    x = torch.cat([levels[s].flatten(1, 3) for s in asking], 1)
    position = torch.cat([sine(grids[s], config["hidden"]) + w.at("scale%d" % s).embedding for s in asking])
    reference = torch.cat([centres(grids[s]) for s in asking])
    sizes = [math.prod(grids[s]) for s in asking]
    for i in range(config["bridge_layers"]):
        layer = w.at("layer%d" % i)
        values = [levels[s] for s in sorted(levels)]
        x = residual(x, lambda y: deformable(y + position, reference, values, layer.at("attention"), config),
                     layer.at("attention.norm"), config["bridge_norm"])
        x = feed_forward(x, layer.at("ffn"), config["bridge_norm"])
        for s, part in zip(asking, x.split(sizes, 1)):
            levels[s] = part.unflatten(1, grids[s])
    out = list(skips)
    for s in asking:
        out[s] = skips[s] + linear(levels[s], w.at("scale%d.out" % s)).permute(0, 4, 1, 2, 3)
    return out


# ---- the head (section 3.2) ----------------------------------------------------------------------------


def attention(q, k, v, w, heads, blocked=None):
    parts = [w.at(name) for name in ("query", "key", "value")]
    out, _ = F.multi_head_attention_forward(
        q.transpose(0, 1), k.transpose(0, 1), v.transpose(0, 1), q.shape[-1], heads, None,
        torch.cat([p.bias for p in parts]), None, None, False, 0., w.at("output").weight, w.at("output").bias,
        need_weights=False, attn_mask=None if blocked is None else blocked.repeat_interleave(heads, 0),
        use_separate_proj_weight=True, q_proj_weight=parts[0].weight, k_proj_weight=parts[1].weight,
        v_proj_weight=parts[2].weight)
    return out.transpose(0, 1)


def pooled_grid(grid, wanted):
    return [min(n, w) for n, w in zip(grid, wanted)]


def blocked_by(prior, grid, config):
    """(N, K, T): keys that a query may not see: sigmoid of its last mask below .5, unless all are."""
    had = prior.shape[2:]
    coarser = all(n % m == 0 for n, m in zip(had, grid)) and list(had) != list(grid)
    if coarser and config["mask_resize"] == "max":
        prior = F.max_pool3d(prior, [n // m for n, m in zip(had, grid)])
    else:
        prior = F.interpolate(prior, grid, mode="trilinear", align_corners=False)
    blocked = (prior.detach().sigmoid() < .5).flatten(2)
    return blocked & ~blocked.all(-1, keepdim=True)


def stage(feature, x, position, prior, w, config):
    grid = pooled_grid(feature.shape[2:], config["key_grid"])
    pooled = F.adaptive_avg_pool3d(feature, grid)
    keys = linear(pooled.flatten(2).transpose(1, 2), w.at("keys"))
    spots = sine(grid, config["hidden"]) + w.embedding
    blocked = None if prior is None else blocked_by(prior, grid, config)
    heads, place = config["heads"], config["head_norm"]
    for i in range(config["blocks"]):
        b = w.at("block%d" % i)
        x = residual(x, lambda y: attention(y + position, keys + spots, keys, b.at("cross"), heads, blocked),
                     b.at("cross.norm"), place)
        x = residual(x, lambda y: attention(y + position, y + position, y, b.at("self"), heads),
                     b.at("self.norm"), place)
        x = feed_forward(x, b.at("ffn"), place)
    final = norm(x, w.at("norm"))
    embedding = mlp(final, w.at("mask_embedding"), config["mask_layers"])
    masks = torch.einsum("nkc,ncdhw->nkdhw", embedding, feature)
    return x, masks, mlp(final, w.at("class_embedding"), config["class_layers"])


def head(features, weights, config):
    masks, classes, prior, x, position = [], [], None, None, None
    for i, feature in enumerate(features):
        if i == 0 or not config["shared_queries"]:
            w = weights.at("queries" if config["shared_queries"] else "head.stage%d.queries" % (i + 1))
            x, position = w.feature.expand(len(feature), -1, -1), w.position
        x, mask, logits = stage(feature, x, position, prior, weights.at("head.stage%d" % (i + 1)), config)
        prior = mask if config["masked_attention"] else None
        masks.append(mask)
        classes.append(logits)
    return masks, classes


# ---- the loss (section 3.5, Eq. 5-6) -------------------------------------------------------------------


def mask_terms(x, t):
    """BCE and Dice loss of mask logits (V) against (V)."""
    p = x.sigmoid()
    return F.binary_cross_entropy_with_logits(x, t), 1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)


def match(masks, classes, labels, config):
    """(N, K): the class of each query, -1 for none. Background is a segment like the others."""
    n, queries, columns = classes.shape
    out = torch.full((n, queries), -1)
    for i in range(n):
        present = labels[i].unique().tolist()
        if config["match"] == "fixed":
            for c in present:
                out[i, c] = c
            continue
        probability = classes[i].softmax(-1)
        cost = np.zeros((len(present), queries))
        for row, c in enumerate(present):
            for q in range(queries):
                bce, dice = mask_terms(masks[i, q].flatten(), (labels[i] == c).double().flatten())
                cost[row, q] = (config["bce_weight"] * bce + config["dice_weight"] * dice
                                - config["class_weight"] * probability[q, c]).item()
        for row, q in zip(*linear_sum_assignment(cost)):
            out[i, q] = present[row]
    return out


def stage_losses(masks, classes, labels, assignment, config):
    columns = classes.shape[-1]
    target = torch.where(assignment < 0, columns - 1, assignment)
    weight = torch.ones(columns).double()
    weight[-1] = config["none_weight"]
    terms = [F.cross_entropy(classes.flatten(0, 1), target.flatten(), weight), 0, 0]
    pairs = (assignment >= 0).nonzero().tolist()
    for n, q in pairs:
        both = mask_terms(masks[n, q].flatten(), (labels[n] == assignment[n, q]).double().flatten())
        for i in (0, 1):
            terms[1 + i] = terms[1 + i] + both[i] / len(pairs)
    return terms


def loss(masks, classes, labels, config):
    """The whole loss, its three parts, and the matchings that were made."""
    weights = np.array([.5 ** i for i in reversed(range(len(masks)))])
    at = [unet.labels_at(labels, x.shape[2:]) for x in masks]
    per_stage = config["match"] == "per_stage"
    with torch.no_grad():
        used = range(len(masks)) if per_stage else [len(masks) - 1]
        made = [match(masks[s], classes[s], at[s], config) for s in used]
    parts = [0, 0, 0]
    for s, weight in enumerate(weights / weights.sum()):
        terms = stage_losses(masks[s], classes[s], at[s], made[s] if per_stage else made[0], config)
        parts = [p + weight * t for p, t in zip(parts, terms)]
    scales = [config["class_weight"], config["bce_weight"], config["dice_weight"]]
    return config["loss_scale"] * sum(a * p for a, p in zip(scales, parts)), parts, made


def class_map(masks, classes):
    return torch.einsum("nkc,nkdhw->ndhwc", classes.softmax(-1)[..., :-1], masks.sigmoid())


def forward(weights, config, scene):
    labels = torch.tensor(scene[1]).long()
    skips = unet.encode(model.channels_first(scene[0]), weights.at("encoder"), config)
    if config["bridge"] != "none":
        skips = bridge(skips, weights.at("bridge"), config)
    features = unet.decode(skips, weights.at("decoder"), config)
    if config["head"] == "point_wise":
        return unet.outputs(unet.heads(features, weights), labels)
    masks, classes = head(features, weights, config)
    total, parts, made = loss(masks, classes, labels, config)
    out = {"loss": total, "class": parts[0], "bce": parts[1], "dice": parts[2],
           "map": class_map(masks[-1], classes[-1])}
    out.update(("masks%d" % i, model.channels_last(x)) for i, x in enumerate(masks))
    out.update(("classes%d" % i, x) for i, x in enumerate(classes))
    out.update(("assignment%d" % i, x) for i, x in enumerate(made))
    return out


# ---- cases ---------------------------------------------------------------------------------------------


def group(name):
    """Appendix D.1: head and bridge are the Transformer."""
    return "lr_cnn" if name.startswith(("encoder.", "decoder.")) else "lr_transformer"


TRAINING = {**model.SMALL, "train": 10, "steps": 12, "lr": .05, "momentum": .9, "clip": 2, "weight_decay": 1e-3,
            "lr_transformer": .2}

VARIANTS = {
    "small": {},
    "queries 2N": {"queries": 2},
    "own queries a stage": {"shared_queries": False},
    "no masked attention": {"masked_attention": False},
    "no bridge": {"bridge": "none"},
    "deformable bridge": {"bridge": "deformable"},
    "norms inside": {"head_norm": "inside"},
    "norms after": {"bridge_norm": "post"},
    "norms before": {"bridge_norm": "pre", "head_norm": "pre"},
    "two bridge layers": {"bridge_layers": 2},
    "all scales ask": {"query_scales": 4, "heads": 2},
    "one scale asks, two deformable layers": {"query_scales": 1, "bridge": "deformable", "bridge_layers": 2},
    "matched per stage": {"match": "per_stage"},
    "fixed matching": {"match": "fixed"},
    "point-wise head": {"head": "point_wise"},
    "two blocks, other depths": {"blocks": 2, "class_layers": 3, "mask_layers": 2},
    "trilinear priors": {"mask_resize": "trilinear"},
    "fine keys": {"key_grid": "8,12,16"},
    "width 20, not a multiple of 6": {"hidden": 20, "heads": 2},
    "other weights, channels, classes": {"channels": 2, "classes": 6, "class_weight": 4, "bce_weight": 5,
                                         "dice_weight": 3, "none_weight": 1, "loss_scale": 1},
    "vector widths, two threads": {"patch": "8,16,32", "batch": 1, "widths": "16,32,64", "strides": "1,1,1,2,2,2,2,2,2",
                                   "kernels": "3,3,3,3,3,3,3,3,3", "hidden": 48, "heads": 6, "points": 4, "ffn": 96,
                                   "classes": 11, "key_grid": "4,4,8", "threads": 2},
}


def start(models, backend):
    """The weights before training, as declared."""
    options = {**model.SMALL, "jitter": 0, "hidden": 48, "heads": 8, "points": 3, "bridge_zero_init": True}
    scene = model.scene(options)
    run, plain = models.run(backend, scene, **options), models.run(backend, scene, **{**options, "bridge": "none"})
    w = run.weights
    for name, weight in plain.weights.items():
        if (w[name] != weight).any():
            raise AssertionError("the bridge changes the start of " + name)
    if np.abs(run.tensors["map"] - plain.tensors["map"]).max() > 1e-5:
        raise AssertionError("a bridge that starts at zero changes the class map")
    offsets = w["bridge.layer0.attention.offsets.bias"].reshape(8, 4, 3, 3)  # heads, levels, points, z y x
    for head, level, point in np.ndindex(8, 4, 3):
        axis, sign, far = head % 6 // 2, 1 - 2 * (head % 2), head // 6 + 1
        if (offsets[head, level, point] != np.eye(3)[axis] * sign * far * (point + 1)).any():
            raise AssertionError("head %d, point %d starts at %s" % (head, point, offsets[head, level, point]))
    for name in ("offsets.weight", "weights.weight", "weights.bias", "value.bias"):
        if w["bridge.layer0.attention." + name].any():
            raise AssertionError(name + " does not start at zero")
    ratios = []
    for name, weight in w.items():
        if weight.ndim == 5:  # Kaiming normal, a = .01; PyTorch takes a transposed one's outputs as its fan-in
            ratios.append((name, weight.std() / math.sqrt(2 / (1 + .01 ** 2) / weight[0].size), weight.size))
        elif name.startswith("head") and weight.ndim == 2:  # Xavier uniform
            ratios.append((name, weight.std() / math.sqrt(2 / sum(weight.shape)), weight.size))
    for name, ratio, count in ratios:
        if abs(ratio - 1) > 4 / math.sqrt(2 * count):
            raise AssertionError("%s starts with %.3f times the declared deviation" % (name, ratio))
    return 0.0


def run(models, report, backends):
    for backend in backends:
        report.case("maskmed", "start, " + backend, lambda: start(models, backend))
        for name, changes in VARIANTS.items():
            report.case("maskmed", "%s, %s" % (name, backend),
                        lambda: model.case(models, backend, forward, {**model.SMALL, **changes}))
        report.case("maskmed training", backend, lambda: model.trajectory(models, backend, forward, group, TRAINING))
