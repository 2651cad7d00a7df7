#!/usr/bin/env python3
"""Measures the networks of `netadjust bench` in PyTorch, interleaved with netadjust, and prints ratios.

    bench/pytorch_peer.py [--rounds 3] [--seconds 2] [--threads 2] [--out bench/results/NAME.json] [CASE ...]

Needs Python 3 with PyTorch, and bin/netadjust (make build). Every measurement is a process of its own, and in each round
all of them run one after the other, so that a busy minute hits all alike; the median over the rounds counts.

PyTorch is measured in both memory layouts, as it comes and tuned: malloc is told to keep freed memory, which glibc
otherwise gives back to the kernel and fetches again at every step. The thread count is set explicitly. Inference is
measured eagerly and frozen by TorchScript; the best of them counts.
"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time

CASES = {
    # name: network, widths of the stages, batch, image side, mode
    "resnet20 train": ("resnet20", (16, 32, 64), 128, 32, "train"),
    "resnet20 13,27,51 train": ("resnet20", (13, 27, 51), 128, 32, "train"),
    "resnet20 19,35,67 train": ("resnet20", (19, 35, 67), 128, 32, "train"),
    "resnet56 train": ("resnet56", (16, 32, 64), 128, 32, "train"),
    "resnet20 eval": ("resnet20", (16, 32, 64), 128, 32, "eval"),
    "resnet18 train": ("resnet18", (64, 128, 256, 512), 32, 224, "train"),
}
TUNED = {
    "MALLOC_MMAP_THRESHOLD_": "4000000000",
    "MALLOC_TRIM_THRESHOLD_": "40000000000",
    "MALLOC_TOP_PAD_": "268435456",
}


def build(network, widths):
    """The network as netadjust describes it: shortcuts are padded or cut to the wider of block and stream."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    imagenet = network == "resnet18"

    class Block(nn.Module):
        def __init__(self, inputs, width, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(width)
            self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(width)
            self.stride = stride
            self.out = width if imagenet and stride > 1 else max(inputs, width)
            self.project = None
            if imagenet and stride > 1:
                self.project = nn.Sequential(nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width))

        def forward(self, x):
            y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
            if self.project is not None:
                x = self.project(x)
            elif self.stride > 1:
                x = F.avg_pool2d(x, 2)
            if y.shape[1] < self.out:
                y = F.pad(y, (0, 0, 0, 0, 0, self.out - y.shape[1]))
            if x.shape[1] < self.out:
                x = F.pad(x, (0, 0, 0, 0, 0, self.out - x.shape[1]))
            return F.relu(y + x)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            stem = 64 if imagenet else 16
            if imagenet:
                self.stem = nn.Sequential(nn.Conv2d(3, stem, 7, 2, 3, bias=False), nn.BatchNorm2d(stem), nn.ReLU(),
                                          nn.MaxPool2d(3, 2, 1))
                blocks = 2
            else:
                self.stem = nn.Sequential(nn.Conv2d(3, stem, 3, 1, 1, bias=False), nn.BatchNorm2d(stem))
                blocks = (int(network[len("resnet"):]) - 2) // 6
            layers, channels = [], stem
            for stage, width in enumerate(widths):
                for block in range(blocks):
                    layers.append(Block(channels, width, 2 if stage and not block else 1))
                    channels = layers[-1].out
            self.blocks = nn.Sequential(*layers)
            self.classifier = nn.Linear(channels, 1000 if imagenet else 10)

        def forward(self, x):
            return self.classifier(self.blocks(self.stem(x)).mean((2, 3)))

    return Net()


def measure(case, layout, form, threads, seconds):
    """Images a second of one PyTorch variant, the median step."""
    import torch
    from torch.nn import functional as F

    torch.set_num_threads(threads)
    torch.manual_seed(1)
    network, widths, batch, side, mode = CASES[case]
    net = build(network, widths)
    images = torch.randn(batch, 3, side, side)
    if layout == "channels_last":
        net, images = net.to(memory_format=torch.channels_last), images.to(memory_format=torch.channels_last)
    if mode == "train":
        labels = torch.randint(0, net.classifier.out_features, (batch,))
        optimizer = torch.optim.SGD(net.parameters(), 0.01, momentum=0.9, weight_decay=1e-4)
        run = torch.compile(net) if form == "compiled" else net

        def step():
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(run(images), labels).backward()
            optimizer.step()
    else:
        net.eval()
        with torch.no_grad():
            run = torch.jit.optimize_for_inference(torch.jit.trace(net, images)) if form == "frozen" else net

        def step():
            with torch.no_grad():
                run(images)
    for _ in range(3):
        step()
    times, start = [], time.perf_counter()
    while time.perf_counter() - start < seconds or len(times) < 3:
        t = time.perf_counter()
        step()
        times.append(time.perf_counter() - t)
    return batch / statistics.median(times)


def ours(case, threads, seconds):
    network, widths, _, _, mode = CASES[case]
    out = subprocess.run(
        ["bin/netadjust", "bench", network, "--widths", ",".join(map(str, widths)), "--threads", str(threads),
         "--seconds", str(seconds), "--json"], check=True, capture_output=True, text=True).stdout
    return next(r for r in json.loads(out) if r["mode"] == mode)["images_per_second"]


def peer(case, layout, form, tuned, threads, seconds):
    env = dict(os.environ, **(TUNED if tuned else {}))
    args = [sys.executable, __file__, "--measure", case, layout, form, "--threads", str(threads), "--seconds", str(seconds)]
    done = subprocess.run(args, env=env, capture_output=True, text=True)
    if done.returncode:
        print(f"  {layout} {form}: failed, {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    return float(done.stdout.split()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile", action="store_true", help="measure torch.compile too")
    parser.add_argument("--out", help="file for the figures")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.measure:
        print(measure(*a.measure, a.threads, a.seconds))
        return
    import torch

    rows = []
    for case in a.cases or CASES:
        forms = ["eager"]
        if CASES[case][-1] == "eval":
            forms.append("frozen")
        elif a.compile:
            forms.append("compiled")
        variants = [(layout, form, tuned) for form in forms for layout in ("nchw", "channels_last") for tuned in (False, True)]
        speeds = {"netadjust": []}
        for _ in range(a.rounds):
            speeds["netadjust"].append(ours(case, a.threads, a.seconds))
            for v in variants:
                s = peer(case, *v, a.threads, a.seconds)
                if s:
                    speeds.setdefault(v, []).append(s)
        medians = {k: statistics.median(v) for k, v in speeds.items()}
        as_it_comes = max(v for k, v in medians.items() if k != "netadjust" and not k[2])
        tuned = max(v for k, v in medians.items() if k != "netadjust" and k[2])
        row = {
            "case": case, "threads": a.threads, "netadjust": medians["netadjust"], "pytorch": as_it_comes,
            "pytorch_tuned": tuned, "ratio": medians["netadjust"] / as_it_comes,
            "ratio_tuned": medians["netadjust"] / tuned,
            "variants": {" ".join([k[0], k[1], "tuned" if k[2] else "as it comes"]): v for k, v in medians.items()
                         if k != "netadjust"},
        }
        rows.append(row)
        print(f"{case:26} {a.threads} threads: netadjust {row['netadjust']:8.1f}  pytorch {as_it_comes:8.1f}  tuned "
              f"{tuned:8.1f} images/s; ratio {row['ratio']:.2f}, to tuned {row['ratio_tuned']:.2f}", flush=True)
    if a.out:
        report = {"date": time.strftime("%Y-%m-%d"), "pytorch": torch.__version__, "machine": platform.processor() or platform.machine(),
                  "rounds": a.rounds, "seconds": a.seconds, "rows": rows}
        os.makedirs(os.path.dirname(a.out) or ".", exist_ok=True)
        with open(a.out, "w") as f:
            json.dump(report, f, indent=2)
            f.write("\n")


if __name__ == "__main__":
    main()
