"""Training steps of the same models as ours (lua/harness/models/maskmed.lua), as one writes them in PyTorch
for speed: nn modules, no Python loops over voxels, classes or queries. Configuration keys are ours."""

import math

import torch
import torch.nn.functional as F
from torch import nn

import operators
import qtseg


CONV, NORM = {2: nn.Conv2d, 3: nn.Conv3d}, {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}
UP = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


def axes(config):
    """2 where nothing goes along D: images are then (N, C, H, W), as one has them in PyTorch."""
    flat = config["model"] == "qtseg" or config["patch"][0] == 1 and all(triple[0] == 1 for triple in config["kernels"] + config["strides"])
    return 2 if flat else 3


def block(inputs, width, kernel, stride):
    n = len(kernel)
    return nn.Sequential(CONV[n](inputs, width, kernel, stride, [k // 2 for k in kernel]),
                         NORM[n](width, affine=True), nn.LeakyReLU(.01, inplace=True))


def blocks(inputs, width, kernel, stride, count):
    return nn.Sequential(*[block(width if i else inputs, width, kernel, 1 if i else stride) for i in range(count)])


class UNet(nn.Module):
    def __init__(self, config, channels):
        super().__init__()
        widths, n = config["widths"], axes(config)
        kernels, strides = ([triple[-n:] for triple in config[name]] for name in ("kernels", "strides"))
        self.encoder = nn.ModuleList(
            blocks(widths[i - 1] if i else channels, w, kernels[i], strides[i], config["convs"])
            for i, w in enumerate(widths))
        lower = list(reversed(range(len(widths) - 1)))
        self.up = nn.ModuleList(
            UP[n](widths[s + 1], widths[s], strides[s + 1], strides[s + 1]) for s in lower)
        self.decoder = nn.ModuleList(
            blocks(2 * widths[s], widths[s], kernels[s], 1, config["decoder_convs"]) for s in lower)

    def encode(self, x):
        skips = []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        return skips

    def decode(self, skips):
        x, features = skips[-1], []
        for up, stage, skip in zip(self.up, self.decoder, reversed(skips[:-1])):
            x = stage(torch.cat([up(x), skip], 1))
            features.append(x)
        return features


def labels_at(labels, size):
    step = [a // b for a, b in zip(labels.shape[1:], size)]
    return labels[(slice(None), *[slice(n // 2, None, n) for n in step])].contiguous()


class PointWise(nn.Module):
    """Softmax, cross-entropy and Dice at every stage but the lowest (nnU-Net)."""

    def __init__(self, config, _, classes):
        super().__init__()
        self.batch_dice = config.get("batch_dice", False)
        self.heads = nn.ModuleList(CONV[axes(config)](w, classes, 1) for w in reversed(config["widths"][:-1]))

    def forward(self, features, labels):
        stages = len(features)
        weights = [0. if s == 0 and stages > 1 else .5 ** (stages - 1 - s) for s in range(stages)]
        total = 0.
        for feature, conv, weight in zip(features, self.heads, weights):
            if not weight:
                continue
            logits = conv(feature).float()
            target = labels_at(labels, logits.shape[2:])
            p = logits.softmax(1).flatten(2)
            one = F.one_hot(target.flatten(1), p.shape[1]).transpose(1, 2).to(p.dtype)
            axes = (0, 2) if self.batch_dice else 2
            hit, seen, wanted = (p * one).sum(axes), p.sum(axes), one.sum(axes)
            dice = ((2 * hit + 1e-5) / (seen + wanted + 1e-5))[..., 1:].mean()
            total = total + weight / sum(weights) * (F.cross_entropy(logits, target) + 1 - dice)
        return total


class Norm(nn.LayerNorm):
    """In float, as autocast does it in later releases."""

    def forward(self, x):
        return super().forward(x.float())


class Residual(nn.Module):
    def __init__(self, width, place):
        super().__init__()
        self.norm, self.place = Norm(width), place

    def forward(self, x, f):
        if self.place == "inside":
            return x + self.norm(f(x))
        return self.norm(x + f(x)) if self.place == "post" else x + f(self.norm(x))


def feed_forward(width, hidden):
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, width))


def sine(grid, width):
    features = width // 6 * 2
    period = 10000 ** (2 * torch.div(torch.arange(features), 2, rounding_mode="floor") / features)
    angle = operators.centres(grid)[:, :, None] * 2 * math.pi / period
    waves = torch.stack([angle[..., 0::2].sin(), angle[..., 1::2].cos()], -1).flatten(1)
    return F.pad(waves, (0, width - waves.shape[1]))


class BridgeLayer(nn.Module):
    def __init__(self, config, levels):
        super().__init__()
        width, samples = config["hidden"], config["heads"] * levels * config["points"]
        self.config = config
        self.offsets, self.weights = nn.Linear(width, 3 * samples), nn.Linear(width, samples)
        self.value, self.output = nn.Linear(width, width), nn.Linear(width, width)
        self.ffn = feed_forward(width, config["ffn"])
        self.first, self.second = Residual(width, config["bridge_norm"]), Residual(width, config["bridge_norm"])

    def attend(self, x, position, reference, levels):
        query, heads = x + position, self.config["heads"]
        values = []
        for level in levels:  # (N, T, E), grid
            value = self.value(level[0]).transpose(1, 2)
            values.append(value.reshape(-1, value.shape[1] // heads, *level[1]))
        offsets, shares = self.offsets(query).float(), self.weights(query).float()
        out = operators.sample_levels(offsets, shares, [v.float() for v in values], reference, heads,
                                      self.config["points"])
        return self.output(out)

    def forward(self, x, position, reference, levels):
        x = self.first(x, lambda y: self.attend(y, position, reference, levels))
        return self.second(x, self.ffn)


class Bridge(nn.Module):
    def __init__(self, config, grids):
        super().__init__()
        scales, width = len(grids), config["hidden"]
        self.first = scales - config["query_scales"]
        self.lowest = self.first if config["bridge"] == "deformable" else 0
        self.grids = grids
        self.inward = nn.ModuleList(nn.Linear(w, width) for w in config["widths"][self.lowest:])
        self.outward = nn.ModuleList(nn.Linear(width, w) for w in config["widths"][self.first:])
        self.embedding = nn.Parameter(torch.randn(config["query_scales"], width))
        self.layers = nn.ModuleList(BridgeLayer(config, scales - self.lowest) for _ in range(config["bridge_layers"]))
        asking = grids[self.first:]
        self.register_buffer("waves", torch.cat([sine(g, width) for g in asking]))
        self.register_buffer("reference", torch.cat([operators.centres(g) for g in asking]))
        self.sizes = [math.prod(g) for g in asking]

    def forward(self, skips):
        scales = range(self.lowest, len(skips))
        levels = [(self.inward[s - self.lowest](skips[s].flatten(2).transpose(1, 2)), self.grids[s]) for s in scales]
        at = self.first - self.lowest
        position = self.waves + torch.cat([e.expand(n, -1) for e, n in zip(self.embedding, self.sizes)])
        x = torch.cat([level[0] for level in levels[at:]], 1)
        for layer in self.layers:
            x = layer(x, position, self.reference, levels)
            levels[at:] = [(part, level[1]) for part, level in zip(x.split(self.sizes, 1), levels[at:])]
        out = list(skips)
        for s in range(self.first, len(skips)):
            back = self.outward[s - self.first](levels[s - self.lowest][0]).transpose(1, 2)
            out[s] = skips[s] + back.reshape(skips[s].shape)
        return out


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))
        self.heads = heads

    def split(self, x):
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, q, k, v, blocked=None):
        q, k, v = self.split(self.query(q)), self.split(self.key(k)), self.split(self.value(v))
        if hasattr(F, "scaled_dot_product_attention"):
            mask = None if blocked is None else ~blocked[:, None]
            x = F.scaled_dot_product_attention(q, k, v, mask)
        else:
            scores = (q * q.shape[-1] ** -.5) @ k.transpose(-1, -2)
            if blocked is not None:
                scores = scores.masked_fill_(blocked[:, None], -math.inf)
            x = scores.softmax(-1) @ v
        return self.output(x.transpose(1, 2).flatten(2))


def mlp(width, out, layers):
    parts = []
    for i in range(layers):
        parts += [nn.Linear(width, out if i == layers - 1 else width), nn.ReLU(inplace=True)]
    return nn.Sequential(*parts[:-1])


class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        width, place = config["hidden"], config["head_norm"]
        self.cross, self.self = Attention(width, config["heads"]), Attention(width, config["heads"])
        self.ffn = feed_forward(width, config["ffn"])
        self.residuals = nn.ModuleList(Residual(width, place) for _ in range(3))

    def forward(self, x, position, keys, placed, blocked):
        x = self.residuals[0](x, lambda y: self.cross(y + position, placed, keys, blocked))
        x = self.residuals[1](x, lambda y: self.self(y + position, y + position, y))
        return self.residuals[2](x, self.ffn)


class Stage(nn.Module):
    def __init__(self, config, channels, grid, classes):
        super().__init__()
        width = config["hidden"]
        self.config, self.grid = config, [min(n, w) for n, w in zip(grid, config["key_grid"])]
        self.keys, self.embedding = nn.Linear(channels, width), nn.Parameter(torch.randn(width))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config["blocks"]))
        self.norm = Norm(width)
        self.mask, self.classify = mlp(width, channels, config["mask_layers"]), mlp(width, classes + 1,
                                                                                    config["class_layers"])
        self.register_buffer("waves", sine(self.grid, width))

    @torch.no_grad()
    def blocked(self, prior):
        had = prior.shape[2:]
        if all(n % m == 0 for n, m in zip(had, self.grid)) and self.config["mask_resize"] == "max":
            prior = F.max_pool3d(prior, [n // m for n, m in zip(had, self.grid)])
        else:
            prior = F.interpolate(prior, self.grid, mode="trilinear", align_corners=False)
        blocked = (prior < 0).flatten(2)
        return blocked & ~blocked.all(-1, keepdim=True)

    def forward(self, feature, x, position, prior):
        pooled = F.avg_pool3d(feature, [n // m for n, m in zip(feature.shape[2:], self.grid)])
        keys = self.keys(pooled.flatten(2).transpose(1, 2))
        placed = keys + (self.waves + self.embedding)
        blocked = None if prior is None else self.blocked(prior)
        for part in self.blocks:
            x = part(x, position, keys, placed, blocked)
        final = self.norm(x)
        masks = torch.bmm(self.mask(final), feature.flatten(2)).unflatten(2, feature.shape[2:])
        return x, masks, self.classify(final)


def matched(assignment, device):
    """The assignment, and of what is matched sample, query and label."""
    sample, query = (assignment >= 0).nonzero(as_tuple=True)
    return [part.to(device, non_blocking=True) for part in (assignment, sample, query, assignment[sample, query])]


class Masked(nn.Module):
    def __init__(self, config, grids, classes):
        super().__init__()
        self.config, self.classes = config, classes
        lower = list(reversed(range(len(grids) - 1)))
        queries = config["queries"] * classes
        self.feature = nn.Parameter(torch.randn(queries, config["hidden"]))
        self.position = nn.Parameter(torch.randn(queries, config["hidden"]))
        self.stages = nn.ModuleList(Stage(config, config["widths"][s], grids[s], classes) for s in lower)
        weight = torch.ones(classes + 1)
        weight[-1] = config["none_weight"]
        self.register_buffer("weight", weight)

    def forward(self, features, labels):
        x, prior, found = self.feature.expand(len(labels), -1, -1), None, []
        for stage, feature in zip(self.stages, features):
            x, masks, logits = stage(feature, x, self.position, prior)
            prior = masks.detach() if self.config["masked_attention"] else None
            found.append((masks.float().flatten(2), logits.float(), masks.shape[2:]))
        solve = operators.assign_there if labels.is_cuda else operators.assign
        assignment = solve(found[-1][0], found[-1][1], labels.flatten(1), self.classes, self.config)
        matches = matched(assignment, labels.device)
        weights = [.5 ** i for i in reversed(range(len(found)))]
        return sum(w / sum(weights) * self.loss(masks, logits, labels_at(labels, size), *matches)
                   for w, (masks, logits, size) in zip(weights, found))

    def loss(self, masks, logits, labels, assignment, sample, query, label):
        c = self.config
        target = torch.where(assignment < 0, self.classes, assignment)
        classes = F.cross_entropy(logits.flatten(0, 1), target.flatten(), self.weight)
        x = masks[sample, query]
        t = (labels.flatten(1)[sample] == label[:, None]).float()
        bce = F.binary_cross_entropy_with_logits(x, t)
        p = x.sigmoid()
        dice = (1 - (2 * (p * t).sum(1) + 1) / (p.sum(1) + t.sum(1) + 1)).mean()
        return c["loss_scale"] * (c["class_weight"] * classes + c["bce_weight"] * bce + c["dice_weight"] * dice)


HEADS = {"point_wise": PointWise, "decoupled": Masked}


class Model(nn.Module):
    def __init__(self, config, channels, classes):
        super().__init__()
        grids, grid = [], config["patch"]
        for stride in config["strides"]:
            grid = [n // s for n, s in zip(grid, stride)]
            grids.append(grid)
        self.net = UNet(config, channels)
        self.bridge = None if config["bridge"] == "none" else Bridge(config, grids)
        self.head = HEADS[config["head"]](config, grids, classes)

    def forward(self, image, labels):
        skips = self.net.encode(image)
        if self.bridge:
            skips = self.bridge(skips)
        return self.head(self.net.decode(skips), labels)


def sgd(model, config, device):
    options = {"lr": 1e-4, "momentum": config["momentum"], "nesterov": True, "weight_decay": config["weight_decay"]}
    try:
        return torch.optim.SGD(model.parameters(), fused=True, **options) if device.type == "cuda" else torch.optim.SGD(
            model.parameters(), foreach=True, **options)
    except (TypeError, RuntimeError):  # a release that has no fused one
        return torch.optim.SGD(model.parameters(), foreach=True, **options)


def adamw(model, config):
    options = {"lr": 1e-4, "betas": (config["beta1"], config["beta2"]), "eps": config["eps"], "weight_decay": config["weight_decay"]}
    try:
        return torch.optim.AdamW(model.parameters(), fused=True, **options)
    except (TypeError, RuntimeError):  # a release that has no fused one here
        return torch.optim.AdamW(model.parameters(), foreach=True, **options)


def training(request, layout, compiled=False):
    config, device = request["config"], torch.device(request["device"])
    torch.manual_seed(1)
    patch = config["patch"][-axes(config):]
    shape = [config["batch"], request["channels"]] + patch
    kind = qtseg.QTSeg if config["model"] == "qtseg" else Model
    model = kind(config, request["channels"], request["classes"]).to(device, memory_format=layout)
    image = torch.randn(shape).to(device).contiguous(memory_format=layout)
    z, y, x = (torch.arange(n).div(8, rounding_mode="floor") for n in config["patch"])
    labels = ((x[None, None] + 3 * y[:, None] + 5 * z[:, None, None]) % request["classes"]).expand(
        config["batch"], -1, -1, -1).reshape(config["batch"], *patch).to(device)
    optimiser = adamw(model, config) if config.get("optimizer") == "adamw" else sgd(model, config, device)
    loss_of = torch.compile(model) if compiled else model
    bf16 = request["dtype"] == "bf16"

    def step():
        optimiser.zero_grad(set_to_none=True)
        if bf16:
            with torch.autocast(device.type, dtype=torch.bfloat16):
                loss = loss_of(image, labels)
        else:
            loss = loss_of(image, labels)
        loss.backward()
        if config["clip"]:
            nn.utils.clip_grad_norm_(model.parameters(), config["clip"])
        optimiser.step()
        step.loss = loss.detach()

    step.parameters = sum(p.numel() for p in model.parameters())
    return step


def step(request):
    last = torch.channels_last if axes(request["config"]) == 2 else torch.channels_last_3d
    name = str(last).split(".")[1]
    choices = {"contiguous": lambda: training(request, torch.contiguous_format),
               name: lambda: training(request, last)}
    if hasattr(torch, "compile") and request.get("compile"):
        choices[name + ", compiled"] = lambda: training(request, last, True)
    return choices
