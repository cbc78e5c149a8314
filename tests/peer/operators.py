"""Single operators as one writes them in PyTorch for speed."""

import functools

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment


def centres(grid):
    """(D*H*W, 3): cell centres in 0..1, z y x."""
    axes = [(torch.arange(n) + .5) / n for n in grid]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)


# ---- deformable attention ------------------------------------------------------------------------------


@functools.lru_cache(maxsize=None)
def steps_of(size, device):
    """A voxel in grid_sample's coordinates, made once: on a GPU a new one would wait for its copy."""
    return 2 / torch.tensor(size, dtype=torch.float32, device=device)


def sample_levels(offsets, shares, values, reference, heads, points):
    """offsets (N, T, heads*L*P*3), shares (N, T, heads*L*P) before the softmax, values (N*heads, C, D, H, W) a
    level, reference (T, 3). One grid_sample a level, the weighted sum as one product."""
    n, t = offsets.shape[:2]
    offsets = offsets.view(n, t, heads, len(values), points, 3)
    shares = shares.view(n, t, heads, -1).softmax(-1).transpose(1, 2).reshape(n * heads, 1, t, -1)
    sampled = []
    for i, value in enumerate(values):
        at = reference[:, None, None] * 2 - 1 + offsets[:, :, :, i] * steps_of(tuple(value.shape[2:]), value.device)
        grid = at.flip(-1).transpose(1, 2).reshape(n * heads, t, points, 1, 3)
        sampled.append(F.grid_sample(value, grid, padding_mode="zeros", align_corners=False)[..., 0])
    out = (torch.cat(sampled, -1) * shares).sum(-1)  # (N*heads, C, T)
    return out.view(n, -1, t).transpose(1, 2)


def deform_attention(request):
    heads, points, batch = request["heads"], request["points"], request["batch"]
    device, dtype = request["device"], torch.bfloat16 if request["dtype"] == "bf16" else torch.float32
    reference = torch.cat([centres(grid) for grid in request["query_grids"]]).to(device)
    samples = heads * points * len(request["value_grids"])

    def make(layout=torch.contiguous_format):
        torch.manual_seed(1)
        offsets = (2 * torch.randn(batch, len(reference), 3 * samples, device=device)).requires_grad_()
        shares = torch.randn(batch, len(reference), samples, device=device, requires_grad=True)
        values = [torch.randn(batch * heads, request["width"] // heads, *grid, device=device, dtype=dtype)
                  .contiguous(memory_format=layout).requires_grad_() for grid in request["value_grids"]]
        gradient = torch.randn(batch, len(reference), request["width"], device=device, dtype=dtype)

        def work():  # grid_sample wants one type, and locations do not fit bf16
            out = sample_levels(offsets, shares, [v.float() for v in values], reference, heads, points)
            torch.autograd.grad(out.to(dtype), [offsets, shares] + values, gradient)

        return work

    return {"grid_sample": make, "grid_sample, channels last": lambda: make(torch.channels_last_3d)}


# ---- matching ------------------------------------------------------------------------------------------


@torch.no_grad()
def assign(masks, logits, labels, classes, config):
    """Masks (N, K, V), class logits (N, K, classes + 1), labels (N, V): the class of each query, -1 for none. All
    costs of a sample by two matrix products."""
    out = torch.full(masks.shape[:2], -1)
    probability = masks.sigmoid()
    outside = F.softplus(masks).sum(2)
    for i in range(len(masks)):
        present = labels[i].unique()
        one = (labels[i][:, None] == present).float()  # (V, classes present)
        volume = one.sum(0)
        bce = (outside[i][:, None] - masks[i] @ one) / masks.shape[2]
        dice = 1 - (2 * (probability[i] @ one) + 1) / (probability[i].sum(1)[:, None] + volume + 1)
        cost = config["bce_weight"] * bce + config["dice_weight"] * dice
        cost -= config["class_weight"] * logits[i].softmax(-1)[:, present]
        rows, columns = linear_sum_assignment(cost.numpy())
        out[i, torch.as_tensor(rows)] = present[torch.as_tensor(columns)]
    return out


@torch.no_grad()
def assign_there(masks, logits, labels, classes, config):
    """The same for a GPU: every sample and class at once, one copy to the host, where scipy is. The answer is the
    host's."""
    one = (labels[..., None] == torch.arange(classes, device=labels.device)).to(masks.dtype)  # (N, V, classes)
    volume, probability = one.sum(1), masks.sigmoid()
    bce = (F.softplus(masks).sum(2)[..., None] - masks @ one) / masks.shape[2]
    dice = 1 - (2 * (probability @ one) + 1) / (probability.sum(2)[..., None] + volume[:, None] + 1)
    cost = config["bce_weight"] * bce + config["dice_weight"] * dice
    cost -= config["class_weight"] * logits.softmax(-1)[..., :classes]
    table = torch.cat([cost, volume[:, None]], 1).cpu()
    out = torch.full(masks.shape[:2], -1)
    for i in range(len(table)):
        present = table[i, -1].nonzero()[:, 0]
        rows, columns = linear_sum_assignment(table[i, :-1][:, present].numpy())
        out[i, torch.as_tensor(rows)] = present[torch.as_tensor(columns)]
    return out


def match(request):
    n, k, classes, voxels = request["batch"], request["queries"], request["classes"], request["voxels"]

    def make():
        torch.manual_seed(1)
        device = request["device"]
        masks, logits = torch.randn(n, k, voxels, device=device), torch.randn(n, k, classes + 1, device=device)
        labels = torch.randint(classes, (n, voxels), device=device)
        weights = {"class_weight": 2, "bce_weight": 5, "dice_weight": 5}
        solve = assign_there if masks.is_cuda else assign
        return lambda: solve(masks, logits, labels, classes, weights)

    return {"matmul and scipy": make}


# ---- Dice ----------------------------------------------------------------------------------------------


def dice(request):
    labels = request["labels"]
    torch.manual_seed(1)
    prediction = torch.randint(labels, (request["voxels"],), dtype=torch.uint8)
    reference = torch.randint(labels, (request["voxels"],), dtype=torch.uint8)

    def counted():
        both = torch.bincount(reference.to(torch.int32) * labels + prediction, minlength=labels * labels)
        both = both.view(labels, labels)
        return 2 * both.diag() / (both.sum(0) + both.sum(1))

    def compared():
        out = []
        for label in range(labels):
            a, b = prediction == label, reference == label
            out.append(2 * (a & b).count_nonzero() / (a.count_nonzero() + b.count_nonzero()))
        return torch.stack(out)

    return {"bincount": lambda: counted, "a mask a label": lambda: compared}
