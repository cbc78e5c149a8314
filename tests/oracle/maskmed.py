"""MaskMed as a whole in PyTorch, after the paper's sections 3.1-3.5 and the choices we declare for what
it leaves open: every head of Eq. 1-5 and every bridge of Table 4, Mask2Former-style queries on torch's
multi-head attention, matching by SciPy, loss of Eq. 6, MaskFormer's class map."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment

import model
import unet
from adapters import adapted
from bridges import bridge
from transformer import attention, feed_forward, linear, mlp, norm, residual, sine

# ---- f(E_Q, F) (section 3.2) ---------------------------------------------------------------------------


def pooled_grid(grid, wanted):
    return [min(n, w) for n, w in zip(grid, wanted)]


def blocked_by(prior, grid, how):
    """(N, K, T): keys that a query may not see: sigmoid of its last mask below .5, unless all are. `how` a
    mask becomes coarser: max or trilinear."""
    had = prior.shape[2:]
    coarser = all(n % m == 0 for n, m in zip(had, grid)) and list(had) != list(grid)
    if coarser and how == "max":
        prior = F.max_pool3d(prior, [n // m for n, m in zip(had, grid)])
    else:
        prior = F.interpolate(prior, grid, mode="trilinear", align_corners=False)
    blocked = (prior.detach().sigmoid() < .5).flatten(2)
    return blocked & ~blocked.all(-1, keepdim=True)


def attend(feature, x, position, prior, w, config):
    """The queries after one stage's Transformer, as the next stage gets them and as embeddings read them."""
    grid = pooled_grid(feature.shape[2:], config["key_grid"])
    pooled = F.adaptive_avg_pool3d(feature, grid)
    keys = adapted(linear(model.channels_last(pooled), w.at("keys")), w.at("adapter"), config, "head_adapter").flatten(1, 3)
    spots = sine(grid, config["hidden"]) + w.embedding
    blocked = None if prior is None else blocked_by(prior, grid, config["mask_resize"])
    heads, place = config["heads"], config["head_norm"]
    for i in range(config["blocks"]):
        b = w.at("block%d" % i)
        x = residual(x, lambda y: attention(y + position, keys + spots, keys, b.at("cross"), heads, blocked),
                     b.at("cross.norm"), place)
        x = residual(x, lambda y: attention(y + position, y + position, y, b.at("self"), heads),
                     b.at("self.norm"), place)
        x = feed_forward(x, b.at("ffn"), place)
    return x, norm(x, w.at("norm"))


def start_queries(w, count):
    return w.feature.expand(count, -1, -1), w.position


def mask_logits(queries, feature, w, config):
    """[F . f(E_Q, F)_mask]: (N, K, D, H, W)."""
    return torch.einsum("nkc,ncdhw->nkdhw", mlp(queries, w.at("mask_embedding"), config["mask_layers"]), feature)


# ---- the heads (section 3.1) ---------------------------------------------------------------------------


def class_logits(queries, w, config):
    """f(E_Q, F)_cls: (N, K, classes), and one more in Eq. 5."""
    return mlp(queries, w.at("class_embedding"), config["class_layers"])


# F, queries, weights -> masks, class embeddings; where they stand in one product, its value.
HEADS = {
    "point_wise": lambda f, q, w, c: (unet.point_wise(f, w.at("mask_embedding")), None),
    "mlp_class": lambda f, q, w, c: (unet.point_wise(f, w.at("mask_embedding")), w.at("class_embedding")),
    "attention_class": lambda f, q, w, c: (unet.point_wise(f, w.at("mask_embedding")), class_logits(q, w, c)),
    "attention_both": lambda f, q, w, c: (mask_logits(q, f, w, c), class_logits(q, w, c)),
    "decoupled": lambda f, q, w, c: (mask_logits(q, f, w, c), class_logits(q, w, c)),
}


def product(masks, classes):
    """Eq. 1-4: the masks times the class embeddings: identity, a learned matrix, or one per sample."""
    if classes is None:
        return masks
    if isinstance(classes, model.Scope):
        return unet.point_wise(masks, classes)
    return torch.einsum("nkdhw,nkc->ncdhw", masks, classes)


def head(features, weights, config):
    """Each stage's masks and class embeddings, lowest resolution first."""
    out, prior, x, position, queries = [], None, None, None, None
    for i, feature in enumerate(features):
        w = weights.at("head.stage%d" % (i + 1))
        if config["head"] not in ("point_wise", "mlp_class"):
            if i == 0 or not config["shared_queries"]:
                own = weights.at("queries") if config["shared_queries"] else w.at("queries")
                x, position = start_queries(own, len(feature))
            x, queries = attend(feature, x, position, prior, w, config)
        out.append(HEADS[config["head"]](feature, queries, w, config))
        prior = out[-1][0] if config["masked_attention"] else None
    return out


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


def final_masks(config):
    """Eq. 6 to the letter: every stage has the final masks' loss, in all once."""
    return config.get("mask_loss_at") == "final"


def loss(masks, classes, labels, config, weights):
    """The whole loss, its three parts, and the matchings that were made; weights: of the stages."""
    at = [unet.labels_at(labels, x.shape[2:]) for x in masks]
    per_stage = config["match"] == "per_stage"
    with torch.no_grad():
        used = range(len(masks)) if per_stage else [len(masks) - 1]
        made = [match(masks[s], classes[s], at[s], config) for s in used]
    parts = [0, 0, 0]
    for s, weight in enumerate(weights):
        terms = stage_losses(masks[s], classes[s], at[s], made[s] if per_stage else made[0], config)
        of_masks = float(s == len(masks) - 1) if final_masks(config) else weight
        parts = [p + w * t for p, t, w in zip(parts, terms, (weight, of_masks, of_masks))]
    scales = [config["class_weight"], config["bce_weight"], config["dice_weight"]]
    return config["loss_scale"] * sum(a * p for a, p in zip(scales, parts)), parts, made


def class_map(masks, classes):
    return torch.einsum("nkc,nkdhw->ndhwc", classes.softmax(-1)[..., :-1], masks.sigmoid())


def outputs(masks, classes, labels, config, weights):
    """As the driver names them."""
    total, parts, made = loss(masks, classes, labels, config, weights)
    out = {"loss": total, "class": parts[0], "bce": parts[1], "dice": parts[2],
           "map": class_map(masks[-1], classes[-1])}
    read = masks[-1:] if final_masks(config) else masks
    out.update(("masks%d" % i, model.channels_last(x)) for i, x in enumerate(read))
    out.update(("classes%d" % i, x) for i, x in enumerate(classes))
    out.update(("assignment%d" % i, x) for i, x in enumerate(made))
    return out


def forward(weights, config, scene):
    labels = torch.tensor(scene[1]).long()
    skips = unet.encode(model.channels_first(scene[0]), weights.at("encoder"), config)
    if config["bridge"] != "none":
        skips = bridge(skips, weights.at("bridge"), config)
    pairs = head(unet.decode(skips, weights.at("decoder"), config), weights, config)
    drops = config.get("drop_lowest", "no" if config["head"] == "decoupled" else "yes") == "yes" and len(pairs) > 1
    if config["head"] != "decoupled":
        return unet.outputs([product(masks, classes) for masks, classes in pairs][drops:], labels, config)
    pairs = pairs[drops:]
    halved = np.array([.5 ** i for i in reversed(range(len(pairs)))])
    return outputs(*zip(*pairs), labels, config, halved / halved.sum())


# ---- cases ---------------------------------------------------------------------------------------------


def group(name):
    """Appendix D.1: head and bridge are the Transformer."""
    return "lr_cnn" if name.startswith(("encoder.", "decoder.")) else "lr_transformer"


TRAINING = {**model.COARSE, "train": 10, "steps": 12, "lr": .05, "momentum": .9, "clip": 2, "weight_decay": 1e-3,
            "lr_transformer": .2, "warmup": 0, "average": 0}

COARSE = {"patch": model.COARSE["patch"], "key_grid": model.COARSE["key_grid"]}
OWN = {"shared_queries": False, "masked_attention": False}
STANDARD = {**COARSE, "bridge": "standard", "standard_scales": 2}

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
    "no loss at the lowest stage": {"drop_lowest": "yes"},
    "masks' loss at the final stage alone": {**COARSE, "mask_loss_at": "final"},
    "neither, matched per stage": {**COARSE, "mask_loss_at": "final", "drop_lowest": "yes", "match": "per_stage"},
    "point-wise head, a loss at the lowest stage": {**COARSE, "head": "point_wise", "drop_lowest": "no"},
    "point-wise head, BCE of the softmax": {**COARSE, "head": "point_wise", "voxel_loss": "bce_dice"},
    "Eq. 4, BCE of the softmax": {**COARSE, "head": "attention_both", "voxel_loss": "bce_dice"},
    "point-wise head": {"head": "point_wise"},
    "point-wise head, larger decoder": {**COARSE, "head": "point_wise", "decoder_convs": 3},
    "Eq. 2": {**COARSE, "head": "mlp_class"},
    "Eq. 2 with 2N masks": {**COARSE, "head": "mlp_class", "queries": 2, "bridge": "none"},
    "Eq. 3": {**COARSE, "head": "attention_class"},
    "Eq. 3, Dice over the batch": {**COARSE, "head": "attention_class", "batch_dice": True},
    "Eq. 3, own queries, no prior": {**COARSE, "head": "attention_class", **OWN, "bridge": "none"},
    "Eq. 3, shared queries, no prior": {**COARSE, "head": "attention_class", "masked_attention": False, "queries": 2},
    "Eq. 3, own queries, prior": {**COARSE, "head": "attention_class", "shared_queries": False},
    "Eq. 4": {**COARSE, "head": "attention_both"},
    "Eq. 4, own queries, no prior": {**COARSE, "head": "attention_both", **OWN, "bridge": "none"},
    "Eq. 4, shared queries, no prior": {**COARSE, "head": "attention_both", "masked_attention": False, "queries": 2},
    "Eq. 4, own queries, prior": {**COARSE, "head": "attention_both", "shared_queries": False, "class_layers": 2},
    "standard bridge, 2 scales": {"bridge": "standard", "standard_scales": 2},
    "standard bridge, 3 scales": {**STANDARD, "standard_scales": 3},
    "standard bridge, 3 scales, 2 layers": {**STANDARD, "standard_scales": 3, "bridge_layers": 2},
    "standard bridge, naive attention": {**STANDARD, "attention": "naive"},
    "tokens normed": {"bridge_input_norm": "group", "hidden": 48},
    "tokens normed, standard bridge": {**STANDARD, "bridge_input_norm": "group", "hidden": 66},
    "three scales sampled, six points in all": {**COARSE, "value_scales": 3, "points_total": 6},
    "standard bridge, post": {**STANDARD, "bridge_norm": "post", "standard_scales": 3},
    "standard bridge, post, 2 layers": {**STANDARD, "bridge_norm": "post", "bridge_layers": 2},
    "standard bridge, pre": {**STANDARD, "bridge_norm": "pre"},
    "standard bridge, pre, 2 layers": {**STANDARD, "bridge_norm": "pre", "standard_scales": 3, "bridge_layers": 2},
    "two blocks, other depths": {"blocks": 2, "class_layers": 3, "mask_layers": 2},
    "adapters in bridge and head": {**COARSE, "bridge_adapter": "mlp_middle", "head_adapter": "conv_middle", "bridge_layers": 2},
    "adapters in a standard bridge": {**STANDARD, "bridge_adapter": "conv_middle", "head_adapter": "mlp_after"},
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
    options = {**model.SMALL, "jitter": 0, "hidden": 48, "heads": 8, "points": 3, "bridge_zero_init": True,
               "head_init": "xavier", "attention_init": "separate"}
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
