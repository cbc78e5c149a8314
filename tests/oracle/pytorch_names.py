"""Exported weights in PyTorch: modules of the structure, and with the names, of dynamic_network_architectures' PlainConvUNet
take them as they are (load_state_dict, strict), and give our class map to 1e-5."""

import numpy as np
import torch
from torch import nn

import model
import unet


class Block(nn.Module):
    """Its parts stand twice in the state: by their own names and in all_modules."""

    def __init__(self, inputs, width, kernel, stride, config):
        super().__init__()
        norm = nn.BatchNorm3d if config.get("conv_norm") == "batch" else nn.InstanceNorm3d
        self.conv = nn.Conv3d(inputs, width, kernel, stride, padding=[n // 2 for n in kernel])
        self.norm = norm(width, eps=1e-5, affine=True)
        self.nonlin = {"leaky_relu": nn.LeakyReLU(.01), "relu": nn.ReLU(), "silu": nn.SiLU()}[
            config.get("conv_activation", "leaky_relu")]
        self.all_modules = nn.Sequential(self.conv, self.norm, self.nonlin)

    def forward(self, x):
        return self.all_modules(x)


class Blocks(nn.Module):
    def __init__(self, count, inputs, width, kernel, stride, config):
        super().__init__()
        self.convs = nn.Sequential(*(Block(width if i else inputs, width, kernel, 1 if i else stride, config)
                                     for i in range(count)))

    def forward(self, x):
        return self.convs(x)


class Encoder(nn.Module):
    def __init__(self, config, channels):
        super().__init__()
        inputs = [channels] + config["widths"]
        self.stages = nn.Sequential(*(nn.Sequential(Blocks(config["convs"], *row, config)) for row in zip(
            inputs, config["widths"], config["kernels"], config["strides"])))

    def forward(self, x):
        skips = []
        for stage in self.stages:
            x = stage(x)
            skips.append(x)
        return skips


class Decoder(nn.Module):
    """Stages from the lowest resolution up; holds the encoder too, so that the state has it twice."""

    def __init__(self, encoder, config, classes):
        super().__init__()
        widths, strides, kernels = config["widths"], config["strides"], config["kernels"]
        self.encoder = encoder
        self.stages, self.transpconvs, self.seg_layers = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for s in reversed(range(len(widths) - 1)):
            self.transpconvs.append(nn.ConvTranspose3d(widths[s + 1], widths[s], strides[s + 1], strides[s + 1]))
            self.stages.append(Blocks(config["decoder_convs"], 2 * widths[s], widths[s], kernels[s], 1, config))
            self.seg_layers.append(nn.Conv3d(widths[s], classes, 1))

    def forward(self, skips):
        x = skips[-1]
        for stage, up, skip in zip(self.stages, self.transpconvs, reversed(skips[:-1])):
            x = stage(torch.cat([up(x), skip], 1))
        return self.seg_layers[-1](x)


class UNet(nn.Module):
    def __init__(self, config, channels, classes):
        super().__init__()
        self.encoder = Encoder(config, channels)
        self.decoder = Decoder(self.encoder, config, classes)

    def forward(self, x):
        return self.decoder(self.encoder(x))


def exported(models, backend, options):
    """The largest difference of a probability."""
    scene = model.scene(options)
    run = models.run(backend, scene, **options, pytorch=1)
    dtype = torch.float64 if backend == "reference" else torch.float32
    network = UNet(run.config, options["channels"], options["classes"]).to(dtype).eval()
    network.load_state_dict({name: torch.tensor(array) for name, array in run.pytorch.items()}, strict=True)
    with torch.no_grad():
        found = network(model.channels_first(scene[0]).to(dtype)).softmax(1)
    error = np.abs(model.channels_last(found).numpy() - run.tensors["map"]).max()
    if not error <= 1e-5:
        raise AssertionError("PyTorch's probabilities differ by %.1e" % error)
    return error


def run(models, report, backends):
    for backend in backends:
        for name, change in unet.VARIANTS.items():
            if "larger_decoder" in change: # widths that PyTorch's module has no argument for
                continue
            report.case("pytorch_names", "%s, %s" % (name, backend),
                        lambda: exported(models, backend, {**unet.SMALL, **change}))
