"""nnU-Net's PlainConvUNet and its loss, after the description of dynamic-network-architectures:
2 x (conv -> instance norm 1e-5 -> LeakyReLU .01) a stage, stride in the first; transposed convolutions
with kernel = stride; concat(upsampled, skip); a 1x1x1 head at every decoder stage; cross-entropy plus
soft Dice without background at each, weights 1/2^i, the lowest left out."""

import torch
import torch.nn.functional as F

import model


ACTIVATIONS = {"leaky_relu": lambda x: F.leaky_relu(x, .01), "relu": F.relu, "silu": F.silu}


def block(x, w, stride, config={}, training=True):
    kernel = w.weight.permute(0, 4, 1, 2, 3)
    x = F.conv3d(x, kernel, w.bias, stride, [k // 2 for k in kernel.shape[2:]])
    norm = w.at("norm")
    if config.get("conv_norm") == "batch":
        x = F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, training, .1, 1e-5)
    else:
        x = F.instance_norm(x, weight=norm.weight, bias=norm.bias, eps=1e-5)
    return ACTIVATIONS[config.get("conv_activation", "leaky_relu")](x)


def encode(x, w, config, training=True):
    skips = []
    for stage, stride in enumerate(config["strides"]):
        for i in range(config["convs"]):
            x = block(x, w.at("stage%d.conv%d" % (stage, i)), stride if i == 0 else 1, config, training)
        skips.append(x)
    return skips


def decode(skips, w, config, training=True):
    """Features, lowest resolution first."""
    x, features = skips[-1], []
    for stage in reversed(range(len(skips) - 1)):
        up = w.at("stage%d.up" % stage)
        x = F.conv_transpose3d(x, up.weight.permute(0, 4, 1, 2, 3), up.bias, config["strides"][stage + 1])
        x = torch.cat([x, skips[stage]], 1)
        for i in range(config["decoder_convs"]):
            x = block(x, w.at("stage%d.conv%d" % (stage, i)), 1, config, training)
        features.append(x)
    return features


def point_wise(x, w):
    return F.conv3d(x, w.weight[..., None, None, None], w.bias)


def heads(features, weights):
    return [point_wise(x, weights.at("head.stage%d.mask_embedding" % (i + 1))) for i, x in enumerate(features)]


def labels_at(labels, grid):
    """(N, D, H, W) at a coarser grid: the voxel nearest to each cell's centre."""
    return F.interpolate(labels[:, None].double(), grid, mode="nearest-exact")[:, 0].long()


def soft_dice(logits, target, batch):
    """batch: of all samples together (nnU-Net's batch_dice), else the mean over samples, too; never of background."""
    p, t = logits.softmax(1), F.one_hot(target, logits.shape[1]).permute(0, 4, 1, 2, 3).double()
    axes = (0, 2, 3, 4) if batch else (2, 3, 4)
    dice = (2 * (p * t).sum(axes) + 1e-5) / (p.sum(axes) + t.sum(axes) + 1e-5)
    return 1 - dice[..., 1:].mean()


def binary_entropy(logits, target):
    """Of each class's softmax against the rest, mean over classes and voxels."""
    return F.binary_cross_entropy(logits.softmax(1), F.one_hot(target, logits.shape[1]).permute(0, 4, 1, 2, 3).double())


def loss(logits, labels, batch, entropy=F.cross_entropy):
    weights = [.5 ** i for i in reversed(range(len(logits)))]
    total = {"class": 0, "dice": 0}
    for x, weight in zip(logits, weights):
        target = labels_at(labels, x.shape[2:])
        total["class"] = total["class"] + weight / sum(weights) * entropy(x, target)
        total["dice"] = total["dice"] + weight / sum(weights) * soft_dice(x, target, batch)
    return total["class"] + total["dice"], total


def outputs(logits, labels, config):
    """As the driver names them: logits: of the stages that have a loss."""
    entropy = binary_entropy if config.get("voxel_loss") == "bce_dice" else F.cross_entropy
    total, parts = loss(logits, labels, config.get("batch_dice", False), entropy)
    out = {"loss": total, "map": model.channels_last(logits[-1].softmax(1)), **parts}
    out.update(("logits%d" % i, model.channels_last(x)) for i, x in enumerate(logits))
    return out


def logits_of(weights, config, image, training):
    skips = encode(model.channels_first(image), weights.at("encoder"), config, training)
    return heads(decode(skips, weights.at("decoder"), config, training), weights)


def forward(weights, config, scene):
    """Inference first, by the running statistics that a training step then changes."""
    inferred = logits_of(weights, config, scene[0], False)[-1]
    logits = logits_of(weights, config, scene[0], True)
    out = outputs(logits[len(logits) > 1:], torch.tensor(scene[1]).long(), config)
    return {**out, "map": model.channels_last(inferred.softmax(1))}


SMALL = {**model.SMALL, "head": "point_wise", "bridge": "none"}
TRAINING = {**SMALL, **{k: model.COARSE[k] for k in ("patch", "key_grid")}, "train": 10, "steps": 12, "warmup": 0,
            "average": 0, "lr": .02, "momentum": .9, "clip": 12, "weight_decay": 1e-3}

VARIANTS = {
    "small": {},
    # Smooth: of its many activations, rounding takes some past LeakyReLU's kink with most seeds.
    "two channels, five classes, three convolutions": {"channels": 2, "classes": 5, "convs": 3, "decoder_convs": 3,
                                                       "conv_activation": "silu"},
    "two stages, batch 1": {"widths": "5,9", "strides": "1,1,1,2,1,2", "kernels": "3,3,3,3,1,3", "batch": 1},
    "larger decoder": {"larger_decoder": True},
    "Dice over the batch": {"batch_dice": True},
    "batch norm": {"conv_norm": "batch"},
    "batch norm and SiLU": {"conv_norm": "batch", "conv_activation": "silu"},
    "ReLU": {"conv_activation": "relu"},
}


# ---- the paper's plan: parameters only -----------------------------------------------------------------


def layers(config, channels, classes):
    """Every layer of the network as torch.nn has it, on a device without memory."""
    nn, where = torch.nn, {"device": "meta"}
    widths, strides, kernels = config["widths"], config["strides"], config["kernels"]

    def convs(count, inputs, width, kernel):
        for i in range(count):
            yield nn.Conv3d(width if i else inputs, width, kernel, **where)
            yield nn.InstanceNorm3d(width, affine=True, **where)

    for s, width in enumerate(widths):
        yield from convs(config["convs"], widths[s - 1] if s else channels, width, kernels[s])
    for s in range(len(widths) - 1):
        yield nn.ConvTranspose3d(widths[s + 1], widths[s], strides[s + 1], strides[s + 1], **where)
        yield from convs(config["decoder_convs"], 2 * widths[s], widths[s], kernels[s])
        yield nn.Conv3d(widths[s], classes, 1, **where)


def count(models, total, **options):
    """A U-Net too large to run here: the same parameters, whatever the order of a weight's axes."""
    options = {"scale": "paper", "head": "point_wise", "bridge": "none", "channels": 1, "classes": 16, **options}
    config, found, ours = models.count(**options)
    expected = [p for layer in layers(config, 1, 16) for p in layer.parameters()]
    if ours != total or sum(p.numel() for p in expected) != total:
        raise AssertionError("%d parameters, PyTorch's network has %d, expected %d" % (
            ours, sum(p.numel() for p in expected), total))
    shapes = [sorted(n for n in shape if n > 1) for shape in found.values()]
    if sorted(shapes) != sorted(sorted(n for n in p.shape if n > 1) for p in expected):
        raise AssertionError("as many parameters, but other shapes")
    return 0.0


# nnU-Net's documentation gives 31.2 M: that is with 3x3x3 everywhere.
COUNTS = {
    "the paper's plan": (31124368, {}),
    "3x3x3 at every stage": (31198672, {"kernels": ",".join(["3"] * 18)}),
    "larger decoder": (36223216, {"decoder_convs": 3}),
}


def run(models, report, backends):
    for backend in backends:
        for name, changes in VARIANTS.items():
            report.case("unet", "%s, %s" % (name, backend),
                        lambda: model.case(models, backend, forward, {**SMALL, **changes}))
        for clip in (12, .5):  # never active, always active
            report.case("unet training", "%s, clip %g" % (backend, clip), lambda: model.trajectory(
                models, backend, forward, lambda name: "lr_cnn", {**TRAINING, "clip": clip}))
        # What is compared at the end are the running statistics of all steps, too.
        report.case("unet training", "%s, batch norm" % backend, lambda: model.trajectory(
            models, backend, forward, lambda name: "lr_cnn", {**TRAINING, **VARIANTS["batch norm and SiLU"]}))
    for name, (total, changes) in COUNTS.items():
        report.case("unet parameters", name, lambda: count(models, total, **changes))
