"""MaskSAM as a whole (arXiv 2403.14103; what the paper leaves open as in its public code for ACDC), hand-written: SAM's image
encoder, prompt encoder and two-way decoder with adapters between, prompt generator, matching and loss. Maps are
(N, D, h, w, C), streams (N Q, D, ...): channels last, as ours."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment

import model
from adapters import in_windows
from boxes import box, class_box, giou, mask_box, soft_mask_box
from maskmed import class_map, mask_terms
from transformer import linear, mlp

# ---- layers --------------------------------------------------------------------------------------------


def gelu(x):
    return F.gelu(x)


def norm(x, w, eps):
    return F.layer_norm(x, x.shape[-1:], w.weight, w.bias, eps)


def first(x):
    return x.permute(0, 4, 1, 2, 3)


def last(x):
    return x.permute(0, 2, 3, 4, 1)


def conv(x, w, bias=True, **how):
    kernel = w.weight.permute(0, 4, 1, 2, 3)
    how.setdefault("padding", [k // 2 for k in kernel.shape[2:]])
    return last(F.conv3d(first(x), kernel, w.bias if bias else None, **how))


def transposed(x, w):
    return last(F.conv_transpose3d(first(x), w.weight.permute(0, 4, 1, 2, 3), w.bias, (1, 2, 2)))


def instance_norm(x, w):
    return last(F.instance_norm(first(x), weight=w.weight, bias=w.bias, eps=1e-5))


def block(x, w):
    return F.leaky_relu(instance_norm(conv(x, w), w.at("norm")), .01)


# ---- adapters ------------------------------------------------------------------------------------------


def along_depth(x, w):
    shape = [1, -1] + [1] * (x.ndim - 2)
    return torch.einsum("ed,nd...->ne...", w.weight, x) + w.bias.reshape(shape)


def depth_mlp(x, w):
    return x + along_depth(gelu(along_depth(x, w.at("0"))), w.at("1"))


def depth_conv(x, w):
    return x + gelu(norm(conv(x, w, groups=x.shape[-1]), w.at("norm"), 1e-6))


def adapter(x, w, kind):
    if kind == "mlp_before":
        x = depth_mlp(x, w.at("depth"))
    x = gelu(linear(x, w.at("down")))
    if kind == "mlp_middle":
        x = depth_mlp(x, w.at("depth"))
    if kind == "conv_middle":
        x = depth_conv(x, w.at("conv"))
    x = linear(x, w.at("up"))
    return depth_mlp(x, w.at("depth")) if kind == "mlp_after" else x


def adapted(x, w, kind):
    return x + adapter(x, w, kind)


# ---- SAM's image encoder -------------------------------------------------------------------------------


def relative(table, size):
    """(size, size, d): the vector of each pair of query and key along one axis."""
    if len(table) != 2 * size - 1:
        table = F.interpolate(table.t()[None], size=2 * size - 1, mode="linear")[0].t()
    at = torch.arange(size)
    return table[at[:, None] - at[None, :] + size - 1]


def grid_attention(x, w, heads):
    """x (B, h, w, E)."""
    b, h, wide, e = x.shape
    q, k, v = linear(x, w.at("qkv")).reshape(b, h, wide, 3, heads, e // heads).permute(3, 0, 4, 1, 2, 5)
    scores = torch.einsum("bnyxd,bnijd->bnyxij", q, k) / math.sqrt(e // heads)
    scores = scores + torch.einsum("bnyxd,yid->bnyxi", q, relative(w.rel_pos_h, h))[..., None]
    scores = scores + torch.einsum("bnyxd,xjd->bnyxj", q, relative(w.rel_pos_w, wide))[..., None, :]
    p = scores.flatten(4).softmax(-1).reshape(scores.shape)
    return linear(torch.einsum("bnyxij,bnijd->byxnd", p, v).reshape(x.shape), w.at("proj"))


def windowed(x, w, heads, size):
    """In windows of zeros beyond the border, which are keys like others."""
    b, h, wide, e = x.shape
    x = F.pad(x, (0, 0, 0, -wide % size, 0, -h % size))
    rows, columns = x.shape[1] // size, x.shape[2] // size
    x = x.reshape(b, rows, size, columns, size, e).transpose(2, 3).reshape(-1, size, size, e)
    x = grid_attention(x, w, heads).reshape(b, rows, columns, size, size, e).transpose(2, 3)
    return x.reshape(b, rows * size, columns * size, e)[:, :h, :wide]


def encode(image, weights, config):
    """Neck and outputs of the global blocks."""
    w, own = weights.at("image_encoder"), weights.at("adapters")
    patch = (1, config["vit_patch"], config["vit_patch"])
    x = conv(image, w.at("patch_embed"), stride=patch, padding=0)
    n, d, h, wide, e = x.shape
    x = x + w.pos_embed[0, :h, :wide]
    if config["depth_position"]:
        x = x + own.at("encoder").position.reshape(1, d, 1, 1, e)
    globals_ = []
    for i in range(config["vit_blocks"]):
        at, kind, whole = w.at("blocks.%d" % i), config["image_adapter"], (i + 1) % config["vit_global_every"] == 0
        normed = norm(x, at.at("norm1"), 1e-6).flatten(0, 1)
        a = grid_attention(normed, at.at("attn"), config["vit_heads"]) if whole else windowed(
            normed, at.at("attn"), config["vit_heads"], config["vit_window"])
        a, mine = a.reshape(x.shape), own.at("encoder%d.attention" % i)
        folds = config["adapter_fold"] == "code" and not whole
        x = x + (a + in_windows(a, mine, kind, config["vit_window"]) if folds else adapted(a, mine, kind))
        normed = norm(x, at.at("norm2"), 1e-6)
        x = x + linear(gelu(linear(normed, at.at("mlp.lin1"))), at.at("mlp.lin2")) + .5 * adapter(
            normed, own.at("encoder%d.mlp" % i), kind)
        if whole:
            globals_.append(x)
    w = w.at("neck")
    x = norm(conv(x, w.at("conv1"), bias=False), w.at("norm1"), 1e-6)
    return norm(conv(x, w.at("conv2"), bias=False), w.at("norm2"), 1e-6), globals_


# ---- prompt generator ----------------------------------------------------------------------------------


def input_adapter(x, w, config):
    widths, ups = config["input_widths"], config["input_upsample"]
    for i in range(len(widths) + 1):
        if 0 < i <= ups:
            at = w.at("up%d" % i)
            x = gelu(instance_norm(transposed(x, at), at.at("norm")))
        else:
            x = block(x, w.at("conv%d" % i))
    return x


def generate(neck, globals_, w, config):
    """Auxiliary mask logits (N, D, H, W, Q) and levels."""
    x = block(block(neck, w.at("level0.conv0")), w.at("level0.conv1"))
    levels = [x]
    for i, skip in enumerate(reversed(globals_), 1):
        times = min(i, config["generator_upsample"])
        branch = w.at("skip%d" % (times if config["generator_skips"] == "shared" else i))
        for k in range(times):
            skip = block(transposed(skip, branch.at("up%d" % k)), branch.at("conv%d" % k))
        at = w.at("level%d" % i)
        if i <= config["generator_upsample"]:
            x = transposed(x, at.at("up"))
        x = block(torch.cat([x, skip], -1), at.at("conv"))
        levels.append(x)
    return linear(x, w.at("masks")), levels


def pooled(levels, size):
    """Beside each other, every slice on size x size cells."""
    return torch.cat([last(F.adaptive_avg_pool3d(first(x), (x.shape[1], size, size))) for x in levels], -1)


def class_tokens(levels, w, config, queries):
    """(N Q, D, 1, C)."""
    width = config["sam_width"]
    n, d = levels[0].shape[:2]
    if config["class_token"] == "grid":
        at = w.at("grid")
        x = gelu(instance_norm(conv(pooled(levels, math.isqrt(width)), at), at.at("norm")))
        x = x.reshape(n, d, width, queries).transpose(2, 3)
    else:
        x = linear(pooled(levels, 1), w.at("mean")).reshape(n, d, queries, width)
    return (x + w.token).transpose(1, 2).reshape(n * queries, d, 1, width)


def boxes_of(aux, levels, weights, config):
    """(N Q, D, 4)."""
    of_masks, prompts = (soft_mask_box if config.get("box_gradient") == "soft" else mask_box)(aux)[0], config["prompts"]
    if prompts == "mask":
        return of_masks
    w = weights.at("box_head")
    x = pooled(levels, 2) @ w.weight.t()
    x = instance_norm(x, w.at("norm")) if config["box_norm"] == "instance" else x + w.bias
    return box(.5)(x.sigmoid(), of_masks if prompts == "mask_mean_box" else None)[0]


# ---- SAM's prompt encoder and decoder --------------------------------------------------------------------


def fourier(points, g):
    """points (.., 2), x and y in 0..1."""
    phase = 2 * math.pi * (2 * points - 1) @ g
    return torch.cat([phase.sin(), phase.cos()], -1)


def positions(grid, config, g):
    """(h, w, C): cell centres in the frame of the whole side."""
    side = config["vit_side"]
    y, x = torch.meshgrid(*[(torch.arange(n).double() + .5) / side for n in grid], indexing="ij")
    return fourier(torch.stack([x, y], -1), g)


def box_tokens(boxes, pixels, shown, weights, config, g):
    """boxes: shares of an image of pixels (W, H), which the encoder sees `shown` (W, H) large."""
    w = weights.at("prompt_encoder")
    at = boxes.reshape(*boxes.shape[:2], 2, 2) * torch.tensor(pixels)
    if config["box_prompt"] == "floor":
        at = (at + 1 / 1024).floor()  # 5 / 24 * 24 may be less than 5
    at = (at * (torch.tensor(shown) / torch.tensor(pixels)) + .5) / (config["vit_side"] * config["vit_patch"])
    corners = torch.cat([w.at("point_embeddings.%d" % i).weight for i in (2, 3)])
    return fourier(at, g) + corners


def apart(x):
    """(N, D, H, W, Q) as (N Q, D, H, W, 1)."""
    return x.permute(0, 4, 1, 2, 3).flatten(0, 1)[..., None]


def mask_maps(aux, grid, w, config):
    kind, size = config["mask_prompt"], (aux.shape[1], 4 * grid[0], 4 * grid[1])
    x = aux if kind == "logits" else (aux > 0).double() * (16 if kind == "signed" else 1) - (8 if kind == "signed" else 0)
    if x.shape[1:4] != size:
        x = last(F.interpolate(first(x), size, mode="trilinear" if kind == "logits" else "nearest"))
    x = apart(x)
    for i in (1, 2):
        x = gelu(norm(conv(x, w.at("conv%d" % i), stride=(1, 2, 2), padding=0), w.at("norm%d" % i), 1e-6))
    return conv(x, w.at("conv3"))


def attention(q, k, v, w, heads):
    """Of (A, B, T, C)."""
    parts = [linear(x, w.at(name)) for x, name in ((q, "q_proj"), (k, "k_proj"), (v, "v_proj"))]
    q, k, v = (x.reshape(*x.shape[:3], heads, -1).transpose(2, 3) for x in parts)
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    return linear((scores.softmax(-1) @ v).transpose(2, 3).flatten(3), w.at("out_proj"))


def decode(image, position, tokens, weights, config):
    """image (A, D, h, w, C), position (D or 1, h, w, C), tokens (A, D, T, C). Tokens, and masks' map (A, D, 4h, 4w, C/8)."""
    w, own, heads = weights.at("mask_decoder"), weights.at("adapters"), config["sam_heads"]
    token, of_image = config["token_adapter"], config["image_adapter"]
    shape, place, start = image.shape, position.flatten(1, 2), tokens
    image, eps = image.flatten(2, 3), config["decoder_eps"]

    def normed(x, at, i):
        return norm(x, at.at("norm%d" % i), eps)

    for i in (0, 1):
        at, mine = w.at("transformer.layers.%d" % i), own.at("decoder%d" % i)
        q = tokens + start if i else tokens
        a = adapted(attention(q, q, tokens, at.at("self_attn"), heads), mine.at("self_attention"), token)
        tokens = normed(tokens + a if i else a, at, 1)
        a = attention(tokens + start, image + place, image, at.at("cross_attn_token_to_image"), heads)
        tokens = normed(tokens + adapted(a, mine.at("token_to_image"), token), at, 2)
        hidden = linear(linear(tokens, at.at("mlp.lin1")).relu(), at.at("mlp.lin2"))
        tokens = normed(tokens + hidden + .5 * adapter(tokens, mine.at("mlp"), token), at, 3)
        a = attention(image + place, tokens + start, tokens, at.at("cross_attn_image_to_token"), heads)
        a = adapted(a.reshape(shape), mine.at("image_to_token"), of_image).flatten(2, 3)
        image = normed(image + a, at, 4)
    a = attention(tokens + start, image + place, image, w.at("transformer.final_attn_token_to_image"), heads)
    tokens = norm(tokens + adapted(a, own.at("decoder2.token_to_image"), token), w.at("transformer.norm_final_attn"), 1e-5)
    up = w.at("upscaling")
    x = gelu(norm(transposed(image.reshape(shape), up.at("conv1")), up.at("norm1"), 1e-6))
    return tokens, gelu(transposed(x, up.at("conv2")))


def final_conv(masks, w, width, samples, times):
    """masks (N Q, D, h, w): queries as channels of convolutions, `times` times twice as large."""
    if not width:
        return masks
    x = block(last(masks.reshape(samples, -1, *masks.shape[1:])), w.at("conv"))
    for i in range(times):
        at = w.at("up%d" % (i + 1))
        x = gelu(instance_norm(transposed(x, at), at.at("norm")))
    return first(conv(x, w.at("masks"))).flatten(0, 1)


# ---- matching and loss -----------------------------------------------------------------------------------


def match(masks, classes, labels, aux, boxes, config):
    """(N D, Q); with match_over=volume one class for a query in all slices of a volume that have it."""
    group = labels.shape[1] if config["match_over"] == "volume" else 1
    labels = labels.flatten(0, 1)[:, None]
    out = torch.full(classes.shape[:2], -1)
    for start in range(0, len(out), group):
        total = np.zeros((classes.shape[-1] - 1, classes.shape[1]))
        for n in range(start, start + group):
            for c in labels[n].unique().tolist():
                t = (labels[n, 0] == c).double()
                for q in range(out.shape[1]):
                    bce, dice = mask_terms(masks[n, ..., q], t)
                    cost = (config["bce_weight"] * bce + config["dice_weight"] * dice
                            - config["class_weight"] * classes[n, q].softmax(-1)[c])
                    if aux is not None:
                        cost = cost + config["aux_weight"] * sum(mask_terms(aux[n, ..., q], t))
                    if boxes is not None:
                        target = class_box(labels[n], c)
                        cost = cost + config["l1_weight"] * (boxes[n, q] - target).abs().sum()
                        cost = cost - config["giou_weight"] * giou(boxes[n, q], target)
                    total[c, q] += cost.item()
        present = labels[start:start + group].unique().tolist()
        for row, q in zip(*linear_sum_assignment(total[present])):
            for n in range(start, start + group):
                if (labels[n] == present[row]).any():
                    out[n, q] = present[row]
    return out


def losses(masks, classes, labels, aux, boxes, config):
    """Maps (N D, H, W, Q), classes (N D, Q, K + 1), boxes (N D, Q, 4)."""
    with torch.no_grad():
        assignment = match(masks, classes, labels, aux, boxes, config)
    flat, columns = labels.flatten(0, 1)[:, None], classes.shape[-1]
    weight = torch.ones(columns).double()
    weight[-1] = config["none_weight"]
    target = torch.where(assignment < 0, columns - 1, assignment)
    total = [F.cross_entropy(classes.flatten(0, 1), target.flatten(), weight)] + [0.] * 6
    pairs = (assignment >= 0).nonzero().tolist()
    for n, q in pairs:
        t = (flat[n, 0] == assignment[n, q]).double()
        terms = [*mask_terms(masks[n, ..., q], t), 0, 0, 0, 0]
        if aux is not None:
            terms[2:4] = mask_terms(aux[n, ..., q], t)
        if boxes is not None:
            goal = class_box(flat[n], assignment[n, q])
            terms[4:] = (boxes[n, q] - goal).abs().sum(), 1 - giou(boxes[n, q], goal)
        total[1:] = [a + b / len(pairs) for a, b in zip(total[1:], terms)]
    weights = [config[name + "_weight"] if name + "_weight" in config else 0 for name in
               ("class", "bce", "dice", "aux", "aux", "l1", "giou")]
    return config["loss_scale"] * sum(a * b for a, b in zip(weights, total)), total[:3], assignment


def of_slices(x, samples):
    """(N Q, D, X) as (N D, Q, X)."""
    return x.reshape(samples, -1, *x.shape[1:]).transpose(1, 2).flatten(0, 1)


def forward(weights, config, scene):
    image, labels = torch.tensor(scene[0]).double(), torch.tensor(scene[1]).long()
    n, d, high, wide = labels.shape
    queries = config["query_count"] or int(config["queries"] * config["classes"] + .5)
    seen = input_adapter(image, weights.at("input_adapter"), config)
    neck, globals_ = encode(seen, weights, config)
    aux, levels = generate(neck, globals_, weights.at("prompt_generator"), config)
    aux = last(F.interpolate(first(aux), labels.shape[1:], mode="trilinear"))  # the same where it has the image's size
    boxes, uses_masks, learn = boxes_of(aux, levels, weights, config), config["prompts"] != "box", config["prompts"] != "mask"
    grid, prompt = neck.shape[2:4], weights.at("prompt_encoder")
    g = prompt.at("pe_layer").positional_encoding_gaussian_matrix
    own = torch.cat([weights.at("mask_decoder.iou_token").weight, weights.at("mask_decoder.mask_tokens").weight])
    tokens = torch.cat([own.expand(n * queries, d, *own.shape),
                        box_tokens(boxes, (wide, high), (seen.shape[3], seen.shape[2]), weights, config, g),
                        class_tokens(levels, weights.at("class_token"), config, queries)], 2)
    dense = mask_maps(aux, grid, prompt.at("mask_downscaling"), config) if uses_masks else prompt.at("no_mask_embed").weight
    position = positions(grid, config, g)[None]
    if config["depth_position"]:
        position = position + weights.at("adapters.decoder").position.reshape(d, *(
            grid if config["decoder_position"] == "voxel" else (1, 1)), -1)
    tokens, up = decode(neck.repeat_interleave(queries, 0) + dense, position, tokens, weights, config)
    kernel = mlp(tokens[:, :, 1], weights.at("mask_decoder.output_hypernetworks_mlps.0.layers"), 3)
    masks = torch.einsum("adyxc,adc->adyx", up, kernel)
    masks = final_conv(masks, weights.at("final_conv"), config.get("final_conv", 0), n, int(math.log2(high // masks.shape[2])))
    if masks.shape[2:] != (high, wide):
        masks = F.interpolate(masks, (high, wide), mode="bilinear")
    masks = of_slices(masks.flatten(2), n).transpose(1, 2).reshape(n * d, high, wide, queries)
    classes = of_slices(linear(tokens[:, :, -1], weights.at("class_head.0")), n)
    seen_aux = aux.flatten(0, 1) if uses_masks else None
    if uses_masks and config["aux_sigmoid"] == "twice":
        seen_aux = seen_aux.sigmoid()
    total, parts, made = losses(masks, classes, labels, seen_aux, of_slices(boxes, n) if learn else None, config)
    out = {"loss": total, "class": parts[0], "bce": parts[1], "dice": parts[2], "assignment0": made, "classes0": classes,
           "masks0": masks[:, None]}
    out["map"] = class_map(masks.permute(0, 3, 1, 2)[:, :, None], classes).reshape(n, d, high, wide, -1)
    if uses_masks:
        out["masks1"] = seen_aux[:, None]
    return out


# ---- cases -------------------------------------------------------------------------------------------------

SMALL = {
    "model": "masksam", "scale": "quick", "patch": "3,16,24", "batch": 2, "classes": 3, "channels": 1, "jitter": .1,
    "query_count": 4, "vit_width": 12, "vit_blocks": 4, "vit_heads": 3, "vit_mlp": 20, "vit_global_every": 2, "vit_window": 3,
    "vit_side": 7, "vit_patch": 4, "sam_width": 64, "sam_heads": 4, "sam_mlp": 24, "generator_widths": "8,6,5",
    "input_widths": "4", "sam_frozen": False,
}

VARIANTS = {
    "small": {},
    "frozen": {"sam_frozen": True},
    "B1": {"prompts": "mask", "depth_position": False, "token_adapter": "vanilla", "image_adapter": "vanilla"},
    "B2": {"prompts": "box", "depth_position": False, "token_adapter": "vanilla", "image_adapter": "vanilla"},
    "B3, a position for each slice": {"prompts": "mask_box", "decoder_position": "slice"},
    "B6": {"token_adapter": "mlp_after", "image_adapter": "mlp_after"},
    "B7": {"token_adapter": "mlp_before", "image_adapter": "mlp_before"},
    "B8": {"token_adapter": "mlp_middle", "image_adapter": "mlp_middle"},
    "B9, windows for the depth": {"adapter_fold": "code"},
    "pooled class token, no norm of boxes": {"class_token": "pooled", "box_norm": "none"},
    "signed masks, smooth and soft boxes": {"mask_prompt": "signed", "box_prompt": "smooth", "box_gradient": "soft"},
    "logits as prompts, sigmoid twice": {"mask_prompt": "logits", "aux_sigmoid": "twice"},
    "matched over volumes": {"match_over": "volume"},
    "convolutions over masks": {"final_conv": 6},
    "image enlarged, own branches": {"patch": "2,16,24", "input_widths": "4,5", "input_upsample": 1, "vit_patch": 8,
                                     "generator_skips": "own"},
    "convolutions enlarge the masks": {"patch": "2,16,24", "vit_patch": 8, "vit_side": 4, "generator_upsample": 1,
                                       "generator_widths": "8,6", "final_conv": 5},
    "masks coarser than the image": {"patch": "2,16,24", "vit_patch": 8, "vit_side": 4, "generator_upsample": 1,
                                     "generator_widths": "8,6"},
}


def run(models, report, backends):
    for backend in backends:
        for name, changes in VARIANTS.items():
            report.case("masksam", "%s, %s" % (name, backend),
                        lambda: model.case(models, backend, forward, {**SMALL, **changes}))
