"""What MaskMed starts with where the paper is silent: weights against PyTorch's own modules, and how large the first
logits and what a bridge adds are."""

import numpy as np
import torch

import model
from bridges import bridge

# Wide enough that a deviation is known to a percent; no jitter: the start itself.
WIDE = {**model.SMALL, "jitter": 0, "patch": "8,16,16", "widths": "16,32,64,64", "hidden": 96, "heads": 6, "ffn": 96,
        "key_grid": "4,4,4", "strides": "1,1,1,2,2,2,1,2,2,2,2,2"}


def like(name, ours, theirs):
    """Of one distribution: as wide, and nowhere wider."""
    ratio, widest = ours.std() / theirs.std(), np.abs(ours).max() / np.abs(theirs).max()
    if abs(ratio - 1) > 6 / np.sqrt(ours.size) or widest > 1.02:
        raise AssertionError("%s: deviation %.3f times PyTorch's, largest %.3f times" % (name, ratio, widest))


def drawn(make, count=60):
    """A parameter of many modules."""
    return np.concatenate([make().detach().numpy().ravel() for _ in range(count)])


def embeddings(models, backend):
    """head_init=linear: mask and class MLPs as nn.Linear leaves itself, sums over queries divided by their root."""
    torch.manual_seed(1)
    for head in ("decoupled", "attention_both"):
        w = models.run(backend, model.scene(WIDE), **WIDE, head=head, head_init="linear", class_layers=2).weights
        names = [n[:-len(".weight")] for n in w if "_embedding." in n and n.endswith(".weight")]
        if len(names) != 3 * (3 + 2):
            raise AssertionError("%d layers of embeddings" % len(names))
        for name in names:
            outs, ins = w[name + ".weight"].shape
            summed = head != "decoupled" and name.endswith("class_embedding.1")
            like(name, w[name + ".weight"] * (WIDE["classes"] ** .5 if summed else 1),
                 drawn(lambda: torch.nn.Linear(ins, outs).weight))
            like(name, w[name + ".bias"], drawn(lambda: torch.nn.Linear(ins, outs).bias))
    return 0.0


def projections(models, backend):
    """attention_init: as nn.MultiheadAttention keeps them (packed), or where it keeps them apart (separate)."""
    torch.manual_seed(1)
    options = {**WIDE, "bridge": "standard", "standard_scales": 2}
    width = options["hidden"]
    for init, theirs in {
            "packed": lambda: torch.nn.MultiheadAttention(width, 6).in_proj_weight,
            "separate": lambda: torch.nn.init.xavier_uniform_(torch.nn.Linear(width, width).weight)}.items():
        w = models.run(backend, model.scene(options), **options, attention_init=init).weights
        expected = drawn(theirs)
        names = [n for n in w if n.endswith(("query.weight", "key.weight", "value.weight"))]
        if len(names) != 3 * (1 + 3 * 2):  # the bridge's, and cross and self of three stages
            raise AssertionError("%d projections" % len(names))
        for name in names:
            like(name, w[name], expected)
            if w[name.replace("weight", "bias")].any():
                raise AssertionError(name + ": a bias")
        one = torch.nn.init.xavier_uniform_(torch.empty(width, width)).numpy()
        like("output", w["head.stage1.block0.cross.output.weight"], one)
    return 0.0


def logits(models, backend):
    """The first logits of every data-driven head: nn.Linear's are of one size in all, and saturate nothing; Xavier's
    masks are several times larger. Measured on noise, two seeds, deviations by stage from the lowest, linear (xavier):
    quick: masks of Eq. 5 .64 .42 .34 (2.1 2.1 1.5), classes .60 (1.3); logits of Eq. 4 .60 .83 (1.0 1.5), of Eq. 3 .68 .64
    (1.4 1.2); small: masks 1.2 .82 .57 .37 (4.1 3.4 2.5 2.0). Eq. 4 linear without its 1/sqrt(queries): 1.9 2.4 at
    quick, 4.1 4.0 3.0 at small, where 11 to 30 % of logits are beyond 3."""
    scene, size = model.scene(WIDE), {}
    for head in ("attention_class", "attention_both", "decoupled"):
        for init in ("linear", "xavier"):
            run = models.run(backend, scene, **WIDE, head=head, head_init=init)
            first = [v for name, v in run.tensors.items() if name.startswith(("masks", "logits"))]
            size[head, init] = np.mean([x.std() for x in first])
            if init == "linear" and max((np.abs(x) > 3).mean() for x in first) > .05:
                raise AssertionError("%s: more than 5 %% of the first logits beyond 3" % head)
    linear = [size[head, "linear"] for head in ("attention_class", "attention_both", "decoupled")]
    if not max(linear) < 2.5 * min(linear) or not size["decoupled", "xavier"] > 2.5 * size["decoupled", "linear"]:
        raise AssertionError("the first logits' deviations: %s" % size)
    return 0.0


def added(run, scene, config):
    """The RMS of what the bridge adds to a stage over the stage's own, the largest: in PyTorch, on the run's weights."""
    import unet
    weights = model.Weights(run.weights, run.fixed)
    stages = unet.encode(model.channels_first(scene[0]), weights.at("encoder"), config)
    fused = bridge(stages, weights.at("bridge"), config)
    return max(((f - s).square().mean() / s.square().mean()).sqrt().item() for f, s in zip(fused, stages))


def bridges(models, backend):
    """What is added to the skips at first: nothing with bridge_zero_init, less with bridge_norm=post; and a bridge that
    starts at zero learns, its way back first, then the rest."""
    scene, ratio = model.scene(WIDE), {}
    for name, changes in {"inside": {}, "post": {"bridge_norm": "post"}, "normed": {"bridge_input_norm": "group"},
                          "zero": {"bridge_zero_init": True}}.items():
        run = models.run(backend, scene, **{**WIDE, "bridge_layers": 2, **changes})
        ratio[name] = added(run, scene, run.config)
    if ratio["zero"] or not ratio["post"] < .8 * ratio["inside"]:
        raise AssertionError("what is added, as share of the skip: %s" % ratio)
    options = {**WIDE, "bridge_zero_init": True, "lr": .1, "weight_decay": 0}
    for steps, moved in ((1, ("scale3.out",)), (2, ("scale3.out", "scale3.in", "layer0.ffn.0", "layer0.attention.value"))):
        run = models.run(backend, scene, **options, train=steps, steps=5)
        for name in ("scale3.out", "scale3.in", "layer0.ffn.0", "layer0.attention.value"):
            full = "bridge.%s.weight" % name
            change = np.abs(run.trained[full] - run.weights[full]).max()
            if (change > 0) != (name in moved):
                raise AssertionError("after %d steps %s has changed by %g" % (steps, full, change))
    return 0.0


def run(models, report, backends):
    backend = list(backends)[-1]
    for name, case in {"embeddings": embeddings, "projections": projections, "first logits": logits, "bridges": bridges}.items():
        report.case("starts", name, lambda: case(models, backend))
