#!/usr/bin/env python3
"""Makes pytorch_steps.json, with which TestPyTorchSteps compares netadjust: the losses and gradients of five training
steps, computed by PyTorch in float64, and how far from them PyTorch in float32 is.

    python3 pytorch_steps.py             make it (Python 3, PyTorch)
    python3 pytorch_steps.py --search N  look for the best seed below N for each case

Weights, images and labels are integer hashes, which the test computes again. The file holds the losses of all steps,
the gradients of the first and the last one, rounded to float32, and for each parameter the error of PyTorch's float32
gradients: the L2 norm of the difference to float64, relative to the norm in float64. PyTorch's errors depend on memory
layout and convolution library, like anything's that rounds; the file has those of every variant.

A ReLU whose input is within rounding of zero passes its gradient on in one computation and not in the other, and so
does a maximum of two nearly equal values. Such a difference says nothing about accuracy and is a thousand times what
rounding makes. So each case has a seed with which, in all steps, no ReLU and no maximum is that close to its edge.
"""
import argparse
import base64
import json
import math
import os
import platform

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

STEPS, RATE, MOMENTUM, DECAY = 5, 0.1, 0.9, 1e-4
CASES = [
    # ResNet-20: 3x3 stem without ReLU, shortcuts without parameters that pad with zero channels, average pooling. Some
    # layers have enough channels for Winograd's convolution.
    dict(name="resnet20", width=0.1875, channels=[8, 9, 9, 2, 2, 3, 3, 8, 8, 3, 2, 4, 3, 2, 4, 2, 3, 10], batch=16,
         input=[3, 8, 8], classes=10, seed=114),
    # ResNet-18: 7x7 stem with stride 2, max pooling, projected shortcuts, odd maps down to 2x1.
    dict(name="resnet18", width=0.046875, channels=[3, 4, 2, 3, 4, 3, 2, 4, 3, 5, 4, 3, 4, 2, 3, 5], batch=16,
         input=[3, 33, 31], classes=7, seed=244),
]
MARGIN = 3e-5  # how far ReLUs and maxima are from their edges


def hashed(stream, n):
    """n 32-bit integers: lowbias32 of the stream's hash plus 0, 1, ..."""
    def mix(x):
        x = (x ^ x >> 16) * np.uint32(0x7FEB352D)
        x = (x ^ x >> 15) * np.uint32(0x846CA68B)
        return x ^ x >> 16
    return mix(np.arange(n, dtype=np.uint32) + mix(np.array([stream], np.uint32)))


def uniform(stream, shape):
    """Numbers in [-1, 1) that float32 holds exactly."""
    return (hashed(stream, math.prod(shape)) >> 8).astype(np.float64).reshape(shape) / 2**23 - 1


class Edges:
    """The smallest distance of a ReLU or a maximum from its edge."""
    least = math.inf

    def see(self, distance):
        self.least = min(self.least, distance.detach().min().item())

    def relu(self, x):
        self.see(x[x != 0].abs())  # where a channel is padded, zero plus a rectified zero is zero in any arithmetic
        return F.relu(x)

    def max_pool(self, x):
        """Of values that are not negative: where all of a window are zero, the gradient ends at the ReLU before."""
        windows = F.unfold(F.pad(x, (1, 1, 1, 1)), 3, stride=2).unflatten(1, (x.shape[1], 9))
        first, second = windows.topk(2, dim=2).values.unbind(2)
        self.see((first - second)[first > 0])
        return F.max_pool2d(x, 3, 2, 1)


edges = Edges()


class Block(nn.Module):
    def __init__(self, inputs, c1, c2, stride, projected):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, c1, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(c1)
        self.conv2 = nn.Conv2d(c1, c2, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(c2)
        self.stride, self.projected = stride, projected and stride > 1
        self.out = c2 if self.projected else max(inputs, c2)
        if self.projected:
            conv = nn.Conv2d(inputs, c2, 1, stride, bias=False)
            self.shortcut = nn.ModuleDict({"conv": conv, "bn": nn.BatchNorm2d(c2)})

    def forward(self, x):
        y = self.bn2(self.conv2(edges.relu(self.bn1(self.conv1(x)))))
        if self.projected:
            x = self.shortcut["bn"](self.shortcut["conv"](x))
        elif self.stride > 1:
            x = F.avg_pool2d(x, 2)
        pad = lambda z: F.pad(z, (0, 0, 0, 0, 0, self.out - z.shape[1]))
        return edges.relu(pad(y) + pad(x))


class Network(nn.Module):
    """A network as netadjust describes it, with its layers' names."""

    def __init__(self, case):
        super().__init__()
        imagenet = case["name"] == "resnet18"
        stages, blocks = (4, 2) if imagenet else (3, 3)
        channels = round(case["width"] * (64 if imagenet else 16))
        stem = nn.Conv2d(3, channels, 7, 2, 3, bias=False) if imagenet else nn.Conv2d(3, channels, 3, 1, 1, bias=False)
        self.stem = nn.ModuleDict({"conv": stem, "bn": nn.BatchNorm2d(channels)})
        self.imagenet, self.blocks = imagenet, []
        widths = iter(case["channels"])
        for stage in range(stages):
            for block in range(blocks):
                b = Block(channels, next(widths), next(widths), 2 if stage and not block else 1, imagenet)
                self.add_module(f"stage{stage + 1}_block{block + 1}", b)
                self.blocks.append(b)
                channels = b.out
        self.classifier = nn.Linear(channels, case["classes"])

    def forward(self, x):
        x = self.stem["bn"](self.stem["conv"](x))
        if self.imagenet:
            x = edges.max_pool(edges.relu(x))
        for b in self.blocks:
            x = b(x)
        return self.classifier(x.mean((2, 3)))

    def parameters_by_name(self):
        """The parameters by their names in netadjust."""
        roles = {(nn.BatchNorm2d, "weight"): "gamma", (nn.BatchNorm2d, "bias"): "beta", (nn.Linear, "bias"): "bias"}
        return {f"{layer}.{roles.get((type(m), role), 'weights')}".replace("_block", ".block"): p
                for layer, m in self.named_modules() for role, p in m.named_parameters(recurse=False)}


def steps(case, dtype, layout):
    """Trains for STEPS steps and returns losses, and the gradients of the first and the last one by parameter."""
    net = Network(case).to(dtype)
    with torch.no_grad():
        for stream, (name, p) in enumerate(net.parameters_by_name().items()):
            value = uniform(1000 * case["seed"] + stream, tuple(p.shape))
            if name.endswith(".gamma"):
                value = 1 + value / 4
            elif name.endswith((".beta", ".bias")):
                value = value / 8
            else:
                value = value * math.sqrt(3 / math.prod(p.shape[1:]))
            p.copy_(torch.from_numpy(value.astype(np.float32)))
    net = net.to(memory_format=layout)
    optimizer = torch.optim.SGD(net.parameters(), RATE, momentum=MOMENTUM, weight_decay=DECAY)
    losses, gradients = [], []
    for step in range(STEPS):
        shape = (case["batch"], *case["input"])
        pixels = (hashed(1000 * case["seed"] + 500 + step, math.prod(shape)) & 255).astype(np.float64).reshape(shape)
        images = torch.from_numpy(pixels / 64 - 2).to(dtype).to(memory_format=layout)
        classes = hashed(1000 * case["seed"] + 600 + step, case["batch"]) % case["classes"]
        labels = torch.from_numpy(classes.astype(np.int64))
        optimizer.zero_grad()
        loss = F.cross_entropy(net(images), labels)
        loss.backward()
        losses.append(loss.item())
        if step in (0, STEPS - 1):
            gradients.append({name: p.grad.double().contiguous().numpy().copy()
                              for name, p in net.parameters_by_name().items()})
        optimizer.step()
    return losses, gradients


def reference(case):
    """Steps in float64, and how close to an edge they come."""
    edges.least = math.inf
    return *steps(case, torch.float64, torch.contiguous_format), edges.least


def error(got, want):
    return float(f"{np.linalg.norm(got - want) / np.linalg.norm(want):.3g}")


def make():
    variants = {"oneDNN, contiguous": (True, torch.contiguous_format),
                "oneDNN, channels_last": (True, torch.channels_last), "native": (False, torch.contiguous_format)}
    made = {"made_by": f"PyTorch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, {platform.machine()}",
            "variants": list(variants), "cases": []}
    for case in CASES:
        losses, gradients, margin = reference(case)
        if margin < MARGIN:
            raise SystemExit(f"{case['name']}: a ReLU or maximum is {margin} from its edge: find a seed by --search")
        losses32, gradients32 = [], []
        for onednn, layout in variants.values():
            with torch.backends.mkldnn.flags(enabled=onednn):
                l, g = steps(case, torch.float32, layout)
            losses32.append(l)
            gradients32.append(g)
        made["cases"].append(dict(case, losses=losses, losses_float32=losses32, gradients=[{
            name: {"value": base64.b64encode(value.astype("<f4").tobytes()).decode(),
                   "errors_float32": [error(g[i][name], value) for g in gradients32]}
            for name, value in step.items()} for i, step in enumerate(gradients)]))
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "pytorch_steps.json"), "w") as f:
        json.dump(made, f, indent=0, separators=(",", ":"))
        f.write("\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--search", type=int, metavar="N")
    n = parser.parse_args().search
    torch.set_num_threads(1)
    if n is None:
        make()
        return
    for case in CASES:
        margin, seed = max((reference(dict(case, seed=seed))[2], seed) for seed in range(n))
        print(f"{case['name']}: seed {seed}, {margin:.3g} from an edge")


if __name__ == "__main__":
    main()
