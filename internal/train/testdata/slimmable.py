#!/usr/bin/env python3
"""Makes slimmable.json, with which TestSlimmableSteps compares netadjust: parameters after three steps of a slimmable
training of ResNet-8 of width 1/4, as PyTorch computes them in float64.

    python3 slimmable.py     (Python 3, PyTorch)

A step is one of SGD on the labels, and then one on the sum of the gradients of narrower networks, which are made of the
first channels of each layer, towards the probabilities that the whole network had before the step. Only the first one
has weight decay; the momentum gets all gradients. Weights, images and labels are integer hashes.
"""
import base64
import json
import math
import os

import torch
from torch.nn import functional as F

torch.set_default_dtype(torch.float64)

WIDTHS, STEM, IMAGES, SIDE, CLASSES = [4, 4, 8, 8, 16, 16], 4, 16, 8, 10
RATE, MOMENTUM, DECAY = 0.05, 0.9, 1e-3
# For each step the narrowest network, half as wide, and one that netadjust draws.
HALF = [2, 2, 4, 4, 8, 8]
NARROW = [[HALF, [4, 4, 4, 8, 8, 8]], [HALF, [4, 4, 4, 8, 8, 8]], [HALF, [2, 4, 8, 4, 16, 16]]]


def hashed(seed, *shape):
    words = [((i * 2654435761 + seed * 40503) * 2246822519) % 2**32 for i in range(math.prod(shape))]
    return torch.tensor(words).reshape(shape)


def parameters():
    shapes = {"stem.conv.weights": (STEM, 1, 3, 3), "stem.bn": (STEM,)}
    inputs = STEM
    for stage in range(3):
        for k, width in enumerate(WIDTHS[2 * stage:2 * stage + 2]):
            shapes[f"stage{stage + 1}.block1.conv{k + 1}.weights"] = (width, inputs, 3, 3)
            shapes[f"stage{stage + 1}.block1.bn{k + 1}"] = (width,)
            inputs = width
    shapes["classifier.weights"], shapes["classifier.bias"] = (CLASSES, inputs), (CLASSES,)
    made = {}
    for name, shape in shapes.items():
        for role in ([".gamma", ".beta"] if len(shape) == 1 and name != "classifier.bias" else [""]):
            value = (hashed(len(made), *shape) >> 12).double() / 2**20 - 0.5
            if role == ".gamma":
                value = 1 + value / 2
            elif role == ".beta" or name == "classifier.bias":
                value = value / 4
            else:
                value = value * (2 * math.sqrt(3 / math.prod(shape[1:])))
            made[name + role] = value.float().double().requires_grad_()
    return made


def network(p, widths, x):
    def conv(name, x, width, stride=1):
        w = p[name + ".weights"][:width, :x.shape[1]]
        y = F.conv2d(x, w, stride=stride, padding=1)
        name = name.replace("conv", "bn")
        return F.batch_norm(y, None, None, p[name + ".gamma"][:width], p[name + ".beta"][:width], training=True)

    x = conv("stem.conv", x, STEM)
    for stage in range(3):
        name, (inner, outer) = f"stage{stage + 1}.block1.conv", widths[2 * stage:2 * stage + 2]
        y = conv(name + "2", F.relu(conv(name + "1", x, inner, 2 if stage else 1)), outer)
        if stage:
            x = F.avg_pool2d(x, 2)
        stream = max(x.shape[1], outer)
        pad = lambda z: F.pad(z, (0, 0, 0, 0, 0, stream - z.shape[1]))
        x = F.relu(pad(x) + pad(y))
    return x.mean((2, 3)) @ p["classifier.weights"][:, :x.shape[1]].T + p["classifier.bias"]


p = parameters()
velocity = {name: torch.zeros_like(w) for name, w in p.items()}
pixels = (hashed(100, IMAGES, 1, SIDE, SIDE) >> 24).double()
images, labels = (pixels / 255 - 0.5) / 0.25, torch.arange(IMAGES) % CLASSES
for narrow in NARROW:
    logits = network(p, WIDTHS, images)
    targets = logits.detach().softmax(1)
    gradients = torch.autograd.grad(F.cross_entropy(logits, labels), list(p.values()))
    with torch.no_grad():
        for (name, w), g in zip(p.items(), gradients):
            velocity[name] = MOMENTUM * velocity[name] + g + DECAY * w
            w -= RATE * velocity[name]
    loss = sum(F.cross_entropy(network(p, widths, images), targets) for widths in narrow)
    gradients = torch.autograd.grad(loss, list(p.values()))
    with torch.no_grad():
        for (name, w), g in zip(p.items(), gradients):
            velocity[name] += g
            w -= RATE * g

code = lambda w: base64.b64encode(w.detach().float().numpy().tobytes()).decode()
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "slimmable.json"), "w") as f:
    json.dump({"pytorch": torch.__version__, "narrow": NARROW, "parameters": {n: code(w) for n, w in p.items()}}, f,
              indent="\t")
    f.write("\n")
