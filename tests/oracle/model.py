"""Runs build/tests/model_driver and compares a whole model with one written in PyTorch, which runs in
float64 on the driver's weights: outputs, losses, every parameter's gradient, and training steps.

Errors are the largest difference of a tensor relative to its largest element. Some gradients are zero
in exact arithmetic (a convolution's bias before a norm): a difference below FLOOR of the largest
gradient of all counts as none. The reference backend, in double, separates rounding from mistakes.

In float one activation in a million lies so near to a kink (LeakyReLU, max) that rounding takes it to
the other side. A gradient summed over 10^4 voxels of both signs then moves by 10^-3, about once in ten
models; a mistake moves it with every seed. So a float model has SEEDS attempts."""

import json
import os
import subprocess
import tempfile

import numpy as np
import torch
import torch.nn.functional as F

EXPERIMENT = "experiments/query_count.lua"
TOLERANCE = {"cpu": 1e-4, "portable": 1e-4, "reference": 1e-9}
FLOOR = {"cpu": 3e-6, "portable": 3e-6, "reference": 1e-12}
SEEDS, ABSURD = (1, 2, 3), .05
TRAJECTORY = {"cpu": 1e-3, "portable": 1e-3, "reference": 1e-9}

# A patch with three different axes, strides and kernels that differ too: no axis can hide another.
SMALL = {
    "scale": "quick", "queries": 1, "patch": "16,24,32", "batch": 2, "widths": "6,8,12,16", "hidden": 24, "heads": 3,
    "points": 3, "ffn": 20, "query_scales": 2, "strides": "1,1,1,1,2,2,2,2,2,1,2,2", "key_grid": "4,6,8",
    "kernels": "1,3,3,3,3,3,3,3,3,3,3,1", "jitter": 0.1, "classes": 4, "channels": 1,
}
# The same on a quarter of the voxels, for what does not depend on their number.
COARSE = {**SMALL, "patch": "8,16,24", "key_grid": "2,4,6"}


def safetensors(path):
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        data = file.read()
    types = {"F32": "<f4", "F64": "<f8"}
    arrays = {}
    for name, row in header.items():
        if name != "__metadata__":
            first, last = row["data_offsets"]
            arrays[name] = np.frombuffer(data[first:last], types[row["dtype"]]).reshape(row["shape"])
    return arrays


class Run:
    """What the driver left in a folder."""

    def __init__(self, folder, backend):
        with open(os.path.join(folder, "index.json")) as file:
            index = json.load(file)
        self.backend, self.config, self.steps, self.fixed = backend, index["config"], index["steps"], set(index["fixed"])
        self.weights = safetensors(os.path.join(folder, "weights.safetensors"))
        self.gradients = safetensors(os.path.join(folder, "gradients.safetensors"))
        trained = os.path.join(folder, "trained.safetensors")
        self.trained = safetensors(trained) if os.path.exists(trained) else None
        exported = os.path.join(folder, "pytorch.safetensors")
        self.pytorch = safetensors(exported) if os.path.exists(exported) else None
        self.tensors = {}
        for name, row in index["tensors"].items():
            self.tensors[name] = np.fromfile(os.path.join(folder, name + ".raw"), row["type"]).reshape(row["shape"])


class Models:
    def __init__(self, path):
        self.path = path
        self.expected = {}  # a model's description -> Expected, for the next backend

    def _drive(self, folder, backend, options):
        texts = ["%s=%s" % (k, str(v).lower() if isinstance(v, bool) else v) for k, v in options.items() if k != "experiment"]
        experiment = options.get("experiment", EXPERIMENT)
        done = subprocess.run([self.path, experiment, folder, backend] + texts, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise RuntimeError("the driver ended with %d: %s" % (done.returncode, done.stderr.strip()))

    def run(self, backend, scene, **options):
        with tempfile.TemporaryDirectory() as folder:
            image, labels = os.path.join(folder, "image"), os.path.join(folder, "labels")
            scene[0].astype("<f4").tofile(image)
            scene[1].astype("<i4").tofile(labels)
            self._drive(folder, backend, {"image": image, "labels": labels, **options})
            return Run(folder, backend)

    def counted(self, **options):
        """What the driver tells of a configuration without running anything."""
        with tempfile.TemporaryDirectory() as folder:
            self._drive(folder, "cpu", {"count": 1, **options})
            with open(os.path.join(folder, "index.json")) as file:
                return json.load(file)

    def count(self, **options):
        """The resolved configuration, the parameters' shapes by name, and their total: nothing runs."""
        index = self.counted(**options)
        return index["config"], index["parameters"], index["total"]


def scene(options):
    """An image (N, D, H, W, C) and labels in blobs; the last class is absent from the last sample."""
    patch = [int(n) for n in options["patch"].split(",")]
    rng = np.random.default_rng(5)
    shape = (options["batch"], options["classes"])
    coarse = torch.tensor(rng.standard_normal((*shape, *[max(n // 4, 1) for n in patch])))
    fields = F.interpolate(coarse, patch, mode="trilinear").numpy()
    fields[-1, -1] = -np.inf
    labels = fields.argmax(1)
    image = rng.standard_normal((options["batch"], *patch, options["channels"])) + .5 * labels[..., None]
    return image.astype(np.float32), labels.astype(np.int32)


class Weights:
    """Leaves by name; knows which were used. fixed: names of those that get no gradient, frozen or buffers."""

    def __init__(self, arrays, fixed=()):
        self.leaves = {name: torch.tensor(a, dtype=torch.float64, requires_grad=name not in fixed)
                       for name, a in arrays.items()}
        self.used = set()

    def trained(self):
        return {name: leaf for name, leaf in self.leaves.items() if leaf.requires_grad}

    def at(self, scope):
        return Scope(self, scope)


class Scope:
    def __init__(self, weights, scope):
        self.weights, self.scope = weights, scope

    def at(self, name):
        return Scope(self.weights, self.scope + "." + name)

    def __getattr__(self, name):
        path = self.scope + "." + name
        if path not in self.weights.leaves:
            raise AssertionError("the model has no parameter " + path)
        self.weights.used.add(path)
        return self.weights.leaves[path]


def one_error(found, expected, floor=0.0):
    if found.shape != expected.shape:
        raise AssertionError("shape %s, expected %s" % (found.shape, expected.shape))
    difference = np.abs(found - expected).max() if expected.size else 0
    if not np.isfinite(difference):
        return np.inf
    return max(difference - floor, 0) / max(np.abs(expected).max(), 1e-300)


class Expected:
    """What PyTorch makes of a run's weights: outputs (as the driver names them, `loss` among them) and
    gradients."""

    def __init__(self, run, forward, scene):
        self.arrays = run.weights
        weights = Weights(run.weights, run.fixed)
        outputs = forward(weights, run.config, scene)
        missing = sorted(set(weights.leaves) - weights.used)
        if missing:
            raise AssertionError("parameters that the oracle does not have: " + ", ".join(missing))
        trained = weights.trained()
        found = torch.autograd.grad(outputs["loss"], list(trained.values()), allow_unused=True)
        self.gradients = {name: np.zeros(leaf.shape) if gradient is None else gradient.numpy()
                          for (name, leaf), gradient in zip(trained.items(), found)}
        self.outputs = {name: value.detach().numpy() for name, value in outputs.items()}


def compare(run, expected, tighter={}):
    """Returns the worst error and, where that is too large, what differs. tighter: tolerances of some outputs."""
    if set(expected.outputs) != set(run.tensors):
        raise AssertionError("outputs %s, expected %s" % (sorted(run.tensors), sorted(expected.outputs)))
    tolerance = TOLERANCE[run.backend]
    floor = FLOOR[run.backend] * max(np.abs(g).max() for g in expected.gradients.values())
    errors = {name: one_error(run.tensors[name], value) for name, value in expected.outputs.items()}
    for name, gradient in expected.gradients.items():
        errors["d " + name] = one_error(run.gradients[name], gradient, floor)
    worst = sorted(errors, key=errors.get)[-1:-6:-1]
    wrong = sum(not e <= min(tolerance, tighter.get(name, 1)) for name, e in errors.items())
    return errors[worst[0]], wrong and "%d of %d tensors differ: %s" % (
        wrong, len(errors), ", ".join("%s %.1e" % (name, errors[name]) for name in worst))


def case(models, backend, forward, options, tighter={}):
    """Compares a model with forward(weights, config, scene) -> outputs. Returns the worst error."""
    given = scene(options)
    for seed in SEEDS:
        run = models.run(backend, given, **options, seed=seed)
        key = str((options, seed))
        if key not in models.expected:
            models.expected[key] = Expected(run, forward, given)
        expected = models.expected[key]
        if any((run.weights[name] != w).any() for name, w in expected.arrays.items()):
            raise AssertionError("backends start with different weights")
        worst, differs = compare(run, expected, tighter)
        if not differs:
            return worst
        if backend == "reference" or not worst <= ABSURD:
            break
    raise AssertionError(differs)


def channels_first(x):
    return torch.tensor(x, dtype=torch.float64).permute(0, 4, 1, 2, 3)


def channels_last(x):
    return x.permute(0, 2, 3, 4, 1)


def trajectory(models, backend, forward, group_of, options):
    """torch.optim's steps on the run's weights; group_of(name) names the learning rate's factor. Compares
    losses, gradient norms (less exactly: kinks) and the final weights. Returns the losses' worst error."""
    given = scene(options)
    run = models.run(backend, given, **options)
    config, weights = run.config, Weights(run.weights, run.fixed)
    trained = weights.trained()
    groups = [{"params": [leaf], "lr": 0., "factor": config[group_of(name)]} for name, leaf in trained.items()]
    optimiser = torch.optim.SGD(groups, lr=0., momentum=config["momentum"], nesterov=True,
                                weight_decay=config["weight_decay"])
    tolerance, worst = TRAJECTORY[backend], 0.0
    for step, found in enumerate(run.steps):
        for group in optimiser.param_groups:
            group["lr"] = group["factor"] * config["lr"] * (1 - step / config["steps"]) ** .9
        optimiser.zero_grad()
        loss = forward(weights, config, given)["loss"]
        loss.backward()
        for leaf in trained.values():
            if leaf.grad is None:
                leaf.grad = torch.zeros_like(leaf)
        norm = torch.cat([leaf.grad.flatten() for leaf in trained.values()]).norm()
        for leaf in trained.values():  # torch's own clips to 1e-6 less, enough to cross a kink
            leaf.grad *= min(config["clip"] / norm, 1)
        optimiser.step()
        errors = [abs(a - b) / abs(b) for a, b in ((found["loss"], loss.item()), (found["norm"], norm.item()))]
        worst = max(worst, errors[0])
        if not (errors[0] <= tolerance and errors[1] <= 10 * tolerance):
            raise AssertionError("step %d: loss %.9g, expected %.9g; gradient norm %.9g, expected %.9g" % (
                step, found["loss"], loss.item(), found["norm"], norm.item()))
    for name, leaf in weights.leaves.items():
        moved = np.abs(leaf.detach().numpy() - run.weights[name]).max()
        error = np.abs(run.trained[name] - leaf.detach().numpy()).max()
        if error > 1e-6 + 20 * tolerance * moved:
            raise AssertionError("%s is off by %.2e after having moved by %.2e" % (name, error, moved))
    return worst
