#!/usr/bin/env python3
"""Makes importance.json, with which TestImportance compares netadjust: scores of filters as PyTorch computes them in
float64, from weights that both make of integer hashes.

    python3 importance.py     (Python 3, PyTorch)

filters: L1 and L2 norms and sums of distances to the others of the filters of one convolution.
gate:    Taylor scores, by automatic differentiation of a gate behind batch norm, and the gradients by scale and shift
         that netadjust computes them from.
flow:    SynFlow scores of the filters of a ResNet-8 of width 1/8 for 3x8x8 images with ones as batch norm.
slimming: scales of batch norm after steps of PyTorch's SGD with lambda * sign(scale) added to their gradients, as in the
         authors' code of network slimming, and the gradients without it. No scale changes its sign.
morphnet: the gradient by the scales of MorphNet's regularizer, which the paper has for a network without additions, here
         the Plain-8 of chain(). A scale of at most 0.01 is dead.
knapsack: what is left of such a network when the channel of the least score per FLOP saved goes, again and again, and
         then what fits returns, the last first.
autoslim: in which order its layers take a sixth of their width less where the accuracy that is given by accuracy() falls
         least, and the widths when what fits has returned.
"""
import json
import math
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


def slimming():
    rate, penalty, targets = 0.15, 0.01, torch.tensor([0.2, 0.4, 0.8, 1.5, -0.6])
    scales = torch.tensor([0.5, 0.5, 0.5, 0.5, -0.5], requires_grad=True)
    sgd, gradients = torch.optim.SGD([scales], lr=rate, momentum=0.9, weight_decay=3e-4), []
    for step in range(30):
        gradient = 0.3 * (scales.detach() - targets) + 0.1 * weights(60 + step, 5)
        gradients.append(gradient.tolist())
        scales.grad = gradient + penalty * scales.detach().sign()
        sgd.step()
    return {"rate": rate, "penalty": penalty, "gradients": gradients, "scales": scales.tolist()}


STEM, SIDES, CLASSES = 4, [8, 8, 4, 4, 2, 2], 10


def chain(widths):
    """FLOPs of Plain-8 of width 1/4 for 3x8x8 images."""
    flops = 27 * STEM * 8 * 8 + widths[-1] * CLASSES
    for before, width, side in zip([STEM] + widths, widths, SIDES):
        flops += 9 * before * width * side * side
    return flops


def morphnet():
    widths = [4, 4, 8, 8, 16, 16]
    scales = [weights(80 + i, w) for i, w in enumerate(widths)]
    for s in scales:
        s[::4] *= 0.01
        s.requires_grad_()
    alive = [STEM] + [int((s.abs() > 0.01).sum()) for s in scales]
    before, r = torch.zeros(STEM), 0
    for i, s in enumerate(scales):
        r = r + 9 * SIDES[i] ** 2 * (alive[i] * s.abs().sum() + alive[i + 1] * before.abs().sum())
        before = s
    r = r + CLASSES * before.abs().sum()
    gradients = torch.autograd.grad(r, scales)
    return {"scales": [s.tolist() for s in scales], "gradients": [g.tolist() for g in gradients]}


def less(widths, i):
    return widths[:i] + [widths[i] - 1] + widths[i + 1:]


def more(widths, removed, budget):
    """The widths with what fits of the removed channels, (layer, channel), the last first, and what stays removed."""
    gone = []
    for layer, channel in reversed(removed):
        widths[layer] += 1
        if chain(widths) > budget:
            widths[layer] -= 1
            gone.append((layer, channel))
    return widths, gone


def knapsack():
    start, least = [6, 8, 8, 16, 16, 24], [2, 2, 2, 2, 4, 4]
    scores = [(weights(100 + i, w) + 0.55).tolist() for i, w in enumerate(start)]
    budget, widths, removed = int(0.4 * chain(start)), list(start), []
    left = [(i, j) for i, w in enumerate(start) for j in range(w)]
    while chain(widths) > budget:
        saved = [chain(widths) - chain(less(widths, i)) for i in range(6)]
        i, j = min((c for c in left if widths[c[0]] > least[c[0]]), key=lambda c: scores[c[0]][c[1]] / saved[c[0]])
        left.remove((i, j))
        removed.append((i, j))
        widths[i] -= 1
    widths, gone = more(widths, removed, budget)
    assert chain(widths) >= 0.99 * budget
    kept = [[j for j in range(w) if (i, j) not in gone] for i, w in enumerate(start)]
    return {"start": start, "scores": scores, "budget": budget, "kept": kept}


def accuracy(widths):
    return sum(v / 1000 * math.sqrt(w) for v, w in zip([9, 3, 8, 5, 2, 7], widths))


def autoslim():
    start = [8, 7, 16, 15, 31, 30]  # 3 times the FLOPs, as netadjust fits them
    least, budget, steps, order, removed = [2, 2, 2, 2, 4, 4], chain([4, 4, 8, 8, 16, 16]), [6] * 6, [], []
    of = lambda steps: [round(c * k / 6) for c, k in zip(start, steps)]
    while chain(of(steps)) > budget:
        tries = [i for i in range(6) if steps[i] > 1 and of(less(steps, i))[i] >= least[i]]
        best = max(tries, key=lambda i: accuracy(of(less(steps, i))))
        removed += [(best, None)] * (of(steps)[best] - of(less(steps, best))[best])
        steps = less(steps, best)
        order.append(best)
    widths, _ = more(of(steps), removed, budget)
    assert chain(widths) >= 0.99 * budget
    return {"start": start, "budget": budget, "order": order, "widths": widths}



with open(os.path.join(os.path.dirname(__file__), "importance.json"), "w") as f:
    json.dump({"pytorch": torch.__version__, "filters": filters(), "gate": gate(), "flow": flow(),
               "slimming": slimming(), "morphnet": morphnet(), "knapsack": knapsack(), "autoslim": autoslim()}, f, indent="\t")
    f.write("\n")
