"""Optimisers and schedules (engine/optimizer.h, engine/rate_schedule.h) against torch.optim: the same weights,
gradients and options through build/tests/update_driver and through PyTorch, UPDATES of them.

In double both do the same arithmetic but for its order. In float every update rounds a handful of times, so
after UPDATES of them a weight may be off by some units in its last place, and by as many in what it moved."""

import json
import math
import os
import re
import subprocess
import tempfile

import numpy as np
import torch

UPDATES = 20
TOLERANCE = {"double": 1e-13, "float": 16 * np.finfo(np.float32).eps}
WEIGHT, BIAS, NORM, EMBEDDING = range(4)  # ParamRole
LATE = ("conv", "queries")  # what freeze_steps holds
SPARED = {"decay_biases": BIAS, "decay_norms": NORM, "decay_embeddings": EMBEDDING}
# Sizes that are no multiple of a vector; three groups, one of which does not decay.
PARAMS = [("conv", 137, "cnn", WEIGHT), ("conv.bias", 5, "cnn", BIAS), ("norm", 5, "transformer", NORM),
          ("linear", 64, "transformer", WEIGHT), ("queries", 33, "transformer", EMBEDDING), ("adapter", 41, "adapter", WEIGHT),
          ("plain", 9, "plain", WEIGHT)]
GROUPS = {"cnn": (1., True), "transformer": (.1, True), "adapter": (3., True), "plain": (.5, False)}
BASE = {"lr": .05, "steps": UPDATES, "lr_cnn": 1., "lr_transformer": .1, "weight_decay": .02, "clip": 0, "momentum": .9}

OPTIMIZERS = {
    "sgd": [{}, {"momentum": .99, "weight_decay": 0}, {"decay_norms": False, "decay_biases": False}, {"clip": 12.},
            {"average": .8}, {"freeze_steps": 7, "clip": 12.}],
    "adamw": [{}, {"beta1": .8, "beta2": .95, "eps": 1e-4}, {"weight_decay": 0}, {"clip": 12.},
              {"average": .999}, {"freeze_steps": 7, "clip": 12.}, {"decay_norms": False, "decay_biases": False, "decay_embeddings": False}],
}
SCHEDULES = {
    "poly": [{}, {"warmup": 4}, {"lr_min": .01}],
    "cosine": [{}, {"warmup": 5}, {"lr_min": .01}, {"warmup": 3, "lr_min": .002},
               {"restarts": [4, 12], "steps": 28}, {"restarts": [4, 12], "steps": 28, "lr_min": .003},
               {"restarts": [6, 13], "restart_percent": [40, 20], "warmup": 2, "lr_min": .0001}],
    "step": [{"step_every": 6}, {"step_every": 3, "step_factor": .1, "lr_min": .001}, {"step_every": 4, "warmup": 5}],
    "constant": [{}, {"warmup": 7}],
}


def names_of(kind):
    with open(os.path.join(os.path.dirname(__file__), "../../engine/%ss.def" % kind.lower()), encoding="utf-8") as table:
        return re.findall(r"^%s\((\w+)\)" % kind.upper().replace("RATE_", ""), table.read(), re.M)


class Updates:
    def __init__(self, path):
        self.path = path

    def run(self, real, config, weights, gradients):
        job = {"config": config, "updates": len(gradients),
               "groups": [{"name": n, "rate": r, "decay": d} for n, (r, d) in GROUPS.items()],
               "params": [{"name": n, "count": c, "group": g, "role": role, "late": "freeze_steps" in config and n in LATE} for n, c, g, role in PARAMS]}
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "job.json"), "w", encoding="utf-8") as file:
                json.dump(job, file)
            weights.tofile(os.path.join(folder, "weights.raw"))
            gradients.tofile(os.path.join(folder, "gradients.raw"))
            done = subprocess.run([self.path, folder, real], stderr=subprocess.PIPE, text=True)
            if done.returncode:
                raise RuntimeError("the driver ended with %d: %s" % (done.returncode, done.stderr.strip()))
            found = [f for f in os.listdir(folder) if f.endswith(".raw") and f not in ("weights.raw", "gradients.raw")]
            return {f[:-4]: np.fromfile(os.path.join(folder, f)) for f in found}


def numbers():
    rng = np.random.default_rng(3)
    total = sum(count for _, count, _, _ in PARAMS)
    gradients = rng.standard_normal((UPDATES, total)) * np.geomspace(1e-3, 3, total)
    weights = rng.standard_normal(total)
    return weights.astype(np.float32).astype(float), gradients.astype(np.float32).astype(float)


def leaves_of(weights, dtype):
    ends = np.cumsum([count for _, count, _, _ in PARAMS])
    return [torch.tensor(part, dtype=dtype, requires_grad=True) for part in np.split(weights, ends[:-1])]


def torch_optimizer(name, config, leaves):
    """A parameter group per leaf: rate and decay as the options say."""
    groups = []
    for leaf, (_, _, group, role) in zip(leaves, PARAMS):
        rate, decays = GROUPS[group]
        spared = any(config.get(option) is False and role == of for option, of in SPARED.items())
        groups.append({"params": [leaf], "lr": config["lr"] * rate,
                       "weight_decay": config["weight_decay"] if decays and not spared else 0.})
    if name == "sgd":
        return torch.optim.SGD(groups, lr=1., momentum=config["momentum"], nesterov=True)
    return torch.optim.AdamW(groups, lr=1., betas=(config.get("beta1", .9), config.get("beta2", .999)),
                             eps=config.get("eps", 1e-8))


def factor(config):
    """LambdaLR's: the formulas of rate_schedule.h written once more."""
    warmup, floor = config.get("warmup", 0), config.get("lr_min", 0.) / config["lr"]
    starts = [0] + config.get("restarts", [])
    ends, parts = starts[1:] + [config["steps"]], [100] + config.get("restart_percent", [])
    name = config.get("schedule", "poly")

    def of(step):
        now = sum(step >= start for start in starts) - 1
        part = parts[now] / 100 if now < len(parts) else 1.
        t, total = step - starts[now] - warmup, ends[now] - starts[now] - warmup
        if t < 0:
            return part * (t + warmup + 1) / warmup
        fall = {"poly": lambda: (1 - t / total) ** .9, "constant": lambda: 1., "step": lambda: config.get("step_factor", .5) ** (
            t // config["step_every"]), "cosine": lambda: floor + (part - floor) * .5 * (1 + math.cos(math.pi * t / total))}
        return max(fall[name](), floor)
    return of


def joined(leaves):
    return torch.cat([leaf.detach() for leaf in leaves]).double().numpy()


def mean_of(iterates, decay):
    """Of the weights after each update, the last of which counts 1 and each before it `decay` times as much."""
    share = decay ** np.arange(len(iterates) - 1, -1, -1.)
    return share @ np.stack(iterates) / share.sum()


def compare(updates, name, real, options):
    config = {**BASE, "optimizer": name, **options}
    weights, gradients = numbers()
    run = updates.run(real, config, weights, gradients)
    leaves = leaves_of(weights, torch.float64 if real == "double" else torch.float32)
    optimizer = torch_optimizer(name, config, leaves)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor(config))
    iterates = []
    for step, gradient in enumerate(gradients):
        wanted = [step >= config.get("freeze_steps", 0) or name not in LATE for name, _, _, _ in PARAMS]
        norm = float(np.linalg.norm(gradient[np.repeat(wanted, [count for _, count, _, _ in PARAMS])]))
        scale = config["clip"] / norm if 0 < config["clip"] < norm else 1.
        for leaf, part, is_wanted in zip(leaves, leaves_of(gradient * scale, leaves[0].dtype), wanted):
            leaf.grad = part.detach() if is_wanted else None
        optimizer.step()
        scheduler.step()
        iterates.append(joined(leaves))
    found = [("trained", iterates[-1])]
    if "average" in config:
        found.append(("average", mean_of(iterates, config["average"])))
    for ours, theirs in {"sgd": [("momentum", "momentum_buffer")], "adamw": [(n, n) for n in ("exp_avg", "exp_avg_sq")]}[name]:
        found.append((ours, joined(optimizer.state[leaf][theirs] for leaf in leaves)))
    worst = 0.
    for block, expected in found:
        error = np.abs(run[block] - expected).max() / np.abs(expected).max()
        assert error <= TOLERANCE[real], "%s %s is off by %.2e, at most %.1e" % (real, block, error, TOLERANCE[real])
        worst = max(worst, error)
    moved = np.abs(run["trained"] - weights).min()
    assert moved > 0, "a weight did not move"
    return worst


def torch_rates(config):
    """Of PyTorch's own schedulers where one does this, else of LambdaLR."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=config["lr"])
    schedulers, name = torch.optim.lr_scheduler, config["schedule"]
    restarts, floor = config.get("restarts"), config.get("lr_min", 0.)
    if config.get("warmup") or (floor and name != "cosine"):
        scheduler = schedulers.LambdaLR(optimizer, factor(config))
    elif name == "poly":
        scheduler = schedulers.PolynomialLR(optimizer, config["steps"], .9)
    elif name == "cosine" and restarts:  # each twice as long as the one before it
        scheduler = schedulers.CosineAnnealingWarmRestarts(optimizer, restarts[0], 2, floor)
    elif name == "cosine":
        scheduler = schedulers.CosineAnnealingLR(optimizer, config["steps"], floor)
    elif name == "step":
        scheduler = schedulers.StepLR(optimizer, config["step_every"], config.get("step_factor", .5))
    else:
        scheduler = schedulers.ConstantLR(optimizer, 1., 1)
    rates = []
    for _ in range(UPDATES):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return np.array(rates)


def compare_rates(updates, options):
    config = {**BASE, **options}
    weights, gradients = numbers()
    found, expected = updates.run("double", config, weights, gradients)["rates"], torch_rates(config)
    error = np.abs(found - expected).max() / config["lr"]
    assert error <= 1e-14, "rates are off by %.2e of lr: %s, expected %s" % (error, found, expected)
    return error


def run(updates, report):
    for name, cases in OPTIMIZERS.items():
        for options in cases:
            for real in ("double", "float"):
                report.case(name, "%s %s" % (real, options), lambda: compare(updates, name, real, options))
    for name, cases in SCHEDULES.items():
        for options in cases:
            options = {"schedule": name, **options}
            report.case(name, str(options), lambda: compare_rates(updates, options))
        for optimizer in OPTIMIZERS:  # with the last of them, both together
            report.case(name, "%s %s" % (optimizer, options), lambda: compare(updates, optimizer, "double", options))
