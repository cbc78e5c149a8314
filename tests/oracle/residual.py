"""nnU-Net's residual encoder (ResEnc) against dynamic_network_architectures' ResidualEncoderUNet itself, which
`make oracles` fetches: its modules take our exported weights (load_state_dict, strict), run in float64, and give our
logits, loss and class map to 1e-5 and every gradient to 1e-4."""

import os
import re
import sys
import unittest.mock

import torch
from torch import nn

import adapters
import model
import unet

OUTPUTS = {"cpu": 1e-5, "portable": 1e-5, "reference": 1e-9}
SMALL = {
    **model.SMALL, "encoder": "residual", "head": "point_wise", "bridge": "none", "patch": "16,24,20", "widths": "8,16,24",
    "encoder_blocks": "1,2,2", "strides": "1,1,1,1,2,2,2,2,2", "kernels": "1,3,3,3,3,3,3,3,3",
}
VARIANTS = {
    "small": {},
    "a stage as wide as the one above, a stage as fine": {
        "widths": "8,8,12,12", "encoder_blocks": "2,1,1,2", "strides": "1,1,1,2,2,2,1,1,1,1,2,1", "channels": 2,
        "kernels": "3,3,3,3,3,3,1,3,3,3,3,3"},
    "adapters behind its blocks": {"encoder_adapter": "mlp_middle"},
    "convolutions in them": {"encoder_adapter": "conv_middle", "encoder_blocks": "1,1,1"},
    "two convolutions a decoder stage": {"decoder_convs": 2, "batch_dice": True},
}


def network_of(config, channels, classes):
    from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet
    return ResidualEncoderUNet(
        channels, len(config["widths"]), config["widths"], nn.Conv3d, config["kernels"], config["strides"],
        config["encoder_blocks"], classes, config["decoder_convs"], conv_bias=True, norm_op=nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True}, nonlin=nn.LeakyReLU, nonlin_kwargs={"inplace": True},
        deep_supervision=True)


def theirs(name, config):
    """What our parameter is called there."""
    name = re.sub(r"(?<!up)(?<!embedding)\.(weight|bias)$", r".conv.\1", name).replace(".norm.conv.", ".norm.")
    name = re.sub(r"^head\.stage(\d+)\.mask_embedding", lambda m: "decoder.seg_layers.%d" % (int(m[1]) - 1), name)
    lowest = len(config["widths"]) - 2
    name = re.sub(r"^decoder\.stage(\d+)\.up", lambda m: "decoder.transpconvs.%d" % (lowest - int(m[1])), name)
    name = re.sub(r"^decoder\.stage(\d+)\.conv(\d)", lambda m: "decoder.stages.%d.convs.%s" % (lowest - int(m[1]), m[2]), name)
    name = re.sub(r"stage(\d+)\.block(\d+)", r"stages.\1.blocks.\2", name).replace("encoder.stem", "encoder.stem.convs.0")
    pooled = {str(s): max(stride) > 1 for s, stride in enumerate(config["strides"])}
    return re.sub(r"stages\.(\d+)(.*)\.skip", lambda m: "stages.%s%s.skip.%d" % (m[1], m[2], pooled[m[1]]), name)


def adapt(network, run):
    """Ours behind the package's blocks. Returns their parameters by name."""
    weights = model.Weights({name: array for name, array in run.weights.items() if ".adapter." in name})

    def behind(scope):
        return lambda block, given, out: adapters.first(adapters.adapted(adapters.last(out), scope, run.config, "encoder_adapter"))
    for s, stage in enumerate(network.encoder.stages):
        for b, block in enumerate(stage.blocks):
            block.register_forward_hook(behind(weights.at("encoder.stage%d.block%d.adapter" % (s, b))))
    return weights.leaves


class Expected:
    """As model.Expected, of the package's own modules."""

    def __init__(self, run, scene, options):
        network = network_of(run.config, options["channels"], options["classes"]).double()
        state = {name: torch.tensor(array, dtype=torch.float64) for name, array in run.pytorch.items() if ".adapter." not in name}
        network.load_state_dict(state, strict=True)
        added = adapt(network, run)
        logits = network(model.channels_first(scene[0]))[::-1]
        outputs = unet.outputs(logits[len(logits) > 1:], torch.tensor(scene[1]).long(), run.config)
        outputs["loss"].backward()
        self.outputs = {name: value.detach().numpy() for name, value in outputs.items()}
        gradients = {name: p.grad for name, p in network.named_parameters()}
        self.gradients = {}
        for name, weight in run.weights.items():
            if name in added:
                self.gradients[name] = added[name].grad.numpy()
                continue
            gradient = gradients[theirs(name, run.config)]
            gradient = torch.zeros(weight.shape) if gradient is None else gradient
            gradient = gradient.movedim(1, -1) if gradient.dim() == 5 else gradient
            self.gradients[name] = gradient.reshape(weight.shape).numpy()


def case(models, backend, options):
    scene = model.scene(options)
    for seed in model.SEEDS:
        run = models.run(backend, scene, **options, seed=seed, pytorch=1)
        expected = Expected(run, scene, options)
        worst, differs = model.compare(run, expected)
        for name, value in expected.outputs.items():
            error = model.one_error(run.tensors[name], value)
            if not error <= OUTPUTS[backend]:
                differs = differs or "%s differs by %.1e" % (name, error)
        if not differs:
            return worst
        if backend == "reference" or not worst <= model.ABSURD:
            break
    raise AssertionError(differs)


def start(models):
    """Every block starts as its skip: the norm before the sum is zero."""
    options = {**SMALL, "jitter": 0}
    run = models.run("cpu", model.scene(options), **options, seed=1)
    for name, weight in run.weights.items():
        if name.endswith("norm.weight") and weight.any() == name.endswith("conv2.norm.weight") and ".block" in name:
            raise AssertionError(name + (" does not start at zero" if weight.any() else " starts at zero"))
    return 0.0


def count(models):
    """Six stages of 3x3x3, 16 classes: the documentation's 102.4 M, tensor by tensor."""
    options = {"scale": "paper", "head": "point_wise", "bridge": "none", "channels": 1, "classes": 16, "encoder": "residual"}
    config, found, ours = models.count(**options, kernels=",".join(["3"] * 18), strides="1,1,1" + ",2" * 15)
    if ours != 102361040:
        raise AssertionError("%d parameters, expected 102361040" % ours)
    with unittest.mock.patch.object(nn.modules.conv._ConvNd, "reset_parameters"):  # numbers are not asked
        expected = [p.shape for p in network_of(config, 1, 16).parameters()]
    shapes = [sorted(n for n in shape if n > 1) for shape in found.values()]
    if sorted(shapes) != sorted(sorted(n for n in shape if n > 1) for shape in expected):
        raise AssertionError("as many parameters, but other shapes")
    return 0.0


def run(models, report, backends):
    sys.path.append(os.path.join(os.environ.get("BUILD", "build"), "oracles"))
    try:
        import dynamic_network_architectures  # noqa: F401
    except ImportError as missing:
        report.skip("residual", "%s (make oracles fetches it)" % missing)
        return
    for backend in backends:
        for name, changes in VARIANTS.items():
            report.case("residual", "%s, %s" % (name, backend), lambda: case(models, backend, {**SMALL, **changes}))
    report.case("residual", "start", lambda: start(models))
    report.case("residual", "parameters", lambda: count(models))
