#!/usr/bin/env python3
"""Makes importance.json, with which TestImportance compares netadjust: scores of filters as PyTorch computes them in
float64, from weights that both make of integer hashes.

    python3 importance.py     (Python 3, PyTorch)

filters: L1 and L2 norms and sums of distances to the others of the filters of one convolution.
gate:    Taylor scores, by automatic differentiation of a gate behind batch norm, and the gradients by scale and shift
         that netadjust computes them from.
flow:    SynFlow scores of the filters of a ResNet-8 of width 1/8 for 3x8x8 images with ones as batch norm.
"""
import json
import os

import torch
from torch.nn import functional as F

torch.set_default_dtype(torch.float64)


def weights(seed, *shape):
    """Numbers in [-1/2, 1/2) that are exact in float32."""
    n = 1
    for d in shape:
        n *= d
    words = [((i * 2654435761 + seed * 40503) * 2246822519) % 2**32 >> 12 for i in range(n)]
    return torch.tensor([w / 2**20 - 0.5 for w in words]).reshape(shape)


def filters():
    w = weights(1, 6, 4, 3, 3).reshape(6, -1)
    return {
        "l1": w.abs().mean(1).tolist(), "l2": w.norm(dim=1).tolist(),
        "distances": torch.cdist(w, w, compute_mode="donot_use_mm_for_euclid_dist").sum(1).tolist(),
    }


def gate():
    conv, head = weights(2, 5, 3, 3, 3), weights(3, 4, 5)
    gamma = (weights(4, 5) + 1).requires_grad_()
    beta = weights(5, 5).requires_grad_()
    scores, gradients = torch.zeros(5), []
    for batch in range(3):
        x, labels = weights(6 + batch, 4, 3, 6, 6), torch.tensor([0, 1, 2, 3])
        g = torch.ones(5, requires_grad=True)
        y = F.batch_norm(F.conv2d(x, conv), None, None, gamma, beta, training=True)
        y = F.relu(y * g.reshape(1, 5, 1, 1)).mean((2, 3))
        loss = F.cross_entropy(y @ head.T, labels)
        dgate, dgamma, dbeta = torch.autograd.grad(loss, (g, gamma, beta))
        scores += dgate**2 / 3
        gradients.append({"gamma": dgamma.tolist(), "beta": dbeta.tolist()})
    return {"gamma": gamma.tolist(), "beta": beta.tolist(), "gradients": gradients, "scores": scores.tolist()}


def flow():
    stem, widths = 2, [2, 3, 4, 5, 8, 7]
    named, seed = {}, 20

    def conv(name, x, out, stride=1):
        nonlocal seed
        seed += 1
        named[name] = weights(seed, out, x.shape[1], 3, 3).abs().requires_grad_()
        return F.conv2d(x, named[name], stride=stride, padding=1)

    x = conv("stem.conv", torch.ones(1, 3, 8, 8), stem)
    for stage in range(3):
        name = f"stage{stage + 1}.block1."
        y = conv(name + "conv1", x, widths[2 * stage], 2 if stage else 1)
        y = conv(name + "conv2", y, widths[2 * stage + 1])
        if stage:
            x = F.avg_pool2d(x, 2)
        stream = max(x.shape[1], y.shape[1])
        pad = lambda t: F.pad(t, (0, 0, 0, 0, 0, stream - t.shape[1]))
        x = pad(x) + pad(y)
    head = weights(40, 10, x.shape[1]).abs()
    r = (x.mean((2, 3)) @ head.T).sum()
    grads = torch.autograd.grad(r, list(named.values()))
    scores = {n: (w * g).abs().sum((1, 2, 3)).tolist() for (n, w), g in zip(named.items(), grads)}
    return {"widths": widths, "r": r.item(), "scores": scores}


with open(os.path.join(os.path.dirname(__file__), "importance.json"), "w") as f:
    json.dump({"pytorch": torch.__version__, "filters": filters(), "gate": gate(), "flow": flow()}, f, indent="\t")
    f.write("\n")
