#!/usr/bin/env python3
"""Measures the networks of `netadjust bench` in PyTorch, interleaved with netadjust, and prints ratios.

    make build
    bench/pytorch_peer.py [--rounds 2] [--seconds 1.5] [--threads 2] [--device cpu] [--out bench/results/NAME.json]
                          [CASE ...]

PyTorch is the one of the Python that runs this script. Either the newest release from PyPI, about 6 GB,

    python3 -m venv /tmp/torchenv && /tmp/torchenv/bin/pip install torch setuptools numpy
    /tmp/torchenv/bin/python bench/pytorch_peer.py

(`pip install torch --index-url https://download.pytorch.org/whl/cpu` is the smaller one for the processor alone), or
that of the distribution:

    apt-get install python3-torch
    /usr/bin/python3 bench/pytorch_peer.py

torch.compile also needs PyTorch 2, g++ and the headers of Python (apt-get install g++ python3-dev); without them
its rows are left out, and that is said.

Every measurement is a process of its own, and in each round all of a case run one after the other, so that a busy
minute hits all alike; the median over the rounds counts. What runs below 0.8 times the other memory layout in the first
round is not measured again. The thread count is set in every process.

PyTorch is measured in both memory layouts, as it comes and tuned: malloc is told to keep freed memory, which glibc
otherwise gives back to the kernel and fetches again at every step. Training is measured eagerly and by torch.compile,
inference eagerly, with batch norm folded into the convolutions, frozen by TorchScript, and by torch.compile with frozen
weights; compilers run before the time is taken. The utilization ratios of all layers (fur) are what they are by the
book, one pass over the images for each layer and repeat with dropout in that layer, and one without; netadjust computes
the same in one pass, and its speed is that of as many images. In the avx2 cases both sides are held to AVX2.

With --device gpu, or any other name of a card that netadjust takes, both sides run on a card, PyTorch on the first that
it sees. There PyTorch is measured in float32, in which netadjust computes, and in TF32, which is its default for
convolutions; tuned means that cuDNN tries its algorithms before the time is taken. Both sides wait for the card once in
a step. netadjust uploads a batch of bytes in every step, PyTorch has its images on the card.
"""
import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import sysconfig
import time
from dataclasses import dataclass
from pathlib import Path

NETADJUST = Path(__file__).resolve().parent.parent / "bin" / "netadjust"


@dataclass
class Case:
    network: str
    widths: tuple  # of the stages; empty: the network's own
    mode: str  # of netadjust bench: train, eval or fur
    batch: int = 128
    side: int = 32  # of the images
    threads: int = 0  # 0: those of the command line
    avx2: bool = False
    compile: bool = False  # measure torch.compile too


CASES = {
    "resnet20 train": Case("resnet20", (16, 32, 64), "train", compile=True),
    "resnet20 train 8,16,32": Case("resnet20", (8, 16, 32), "train"),
    "resnet20 train 13,27,51": Case("resnet20", (13, 27, 51), "train"),
    "resnet20 train 19,35,67": Case("resnet20", (19, 35, 67), "train"),
    "resnet20 train one thread": Case("resnet20", (16, 32, 64), "train", threads=1),
    "resnet20 train avx2": Case("resnet20", (16, 32, 64), "train", avx2=True),
    "resnet56 train": Case("resnet56", (16, 32, 64), "train"),
    "resnet18 train": Case("resnet18", (64, 128, 256, 512), "train", batch=32, side=224),
    "resnet20 eval": Case("resnet20", (16, 32, 64), "eval", compile=True),
    "resnet20 fur": Case("resnet20", (16, 32, 64), "fur"),
    "mobilenet_v2 train": Case("mobilenet_v2", (), "train", batch=32, side=224),
    "mobilenet_v2 eval": Case("mobilenet_v2", (), "eval", batch=32, side=224),
    "densenet40 train": Case("densenet40", (), "train", batch=64),
    "densenet40 eval": Case("densenet40", (), "eval", batch=64),
}
REPEATS = 5  # of dropout in each layer, as in netadjust bench
DROP_RATE = 0.1
LAYOUTS = ("nchw", "channels_last")
TUNED = {
    "MALLOC_MMAP_THRESHOLD_": "4000000000",
    "MALLOC_TRIM_THRESHOLD_": "40000000000",
    "MALLOC_TOP_PAD_": "268435456",
}
AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "NETADJUST_CPU": "avx2"}


def build(network, widths):
    """The network as netadjust describes it."""
    if network == "mobilenet_v2":
        return mobilenet_v2()
    if network == "densenet40":
        return densenet40()
    return residual(network, widths)


def mobilenet_v2():
    from torch import nn

    def conv(inputs, outputs, kernel=1, stride=1, groups=1):
        return [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
                nn.BatchNorm2d(outputs)]

    class Inverted(nn.Sequential):
        def __init__(self, inputs, outputs, stride, expand):
            inner = inputs * expand
            layers = [*conv(inputs, inner), nn.ReLU6(inplace=True)] if expand > 1 else []
            layers += [*conv(inner, inner, 3, stride, inner), nn.ReLU6(inplace=True), *conv(inner, outputs)]
            super().__init__(*layers)
            self.residual = stride == 1 and inputs == outputs

        def forward(self, x):
            return x + super().forward(x) if self.residual else super().forward(x)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            layers, channels = [*conv(3, 32, 3, 2), nn.ReLU6(inplace=True)], 32
            for expand, width, repeat, stride in ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2),
                                                  (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)):
                for block in range(repeat):
                    layers.append(Inverted(channels, width, 1 if block else stride, expand))
                    channels = width
            self.features = nn.Sequential(*layers, *conv(channels, 1280), nn.ReLU6(inplace=True))
            self.classifier = nn.Linear(1280, 1000)

        def forward(self, x):
            return self.classifier(self.features(x).mean((2, 3)))

    return Net()


def densenet40():
    import torch
    from torch import nn

    def conv(inputs, outputs, kernel):
        return [nn.BatchNorm2d(inputs), nn.ReLU(inplace=True),
                nn.Conv2d(inputs, outputs, kernel, 1, kernel // 2, bias=False)]

    class Dense(nn.Sequential):
        def forward(self, x):
            return torch.cat((x, super().forward(x)), 1)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            layers, channels = [nn.Conv2d(3, 24, 3, 1, 1, bias=False)], 24
            for block in range(3):
                for _ in range(12):
                    layers.append(Dense(*conv(channels, 12, 3)))
                    channels += 12
                if block < 2:
                    layers += [*conv(channels, channels, 1), nn.AvgPool2d(2)]
            self.features = nn.Sequential(*layers, nn.BatchNorm2d(channels), nn.ReLU(inplace=True))
            self.classifier = nn.Linear(channels, 100)

        def forward(self, x):
            return self.classifier(self.features(x).mean((2, 3)))

    return Net()


def residual(network, widths):
    """A residual network, whose shortcuts are padded or cut to the wider of block and stream. The attribute dropped of
    a block is the convolution whose channels are dropped, 0 or 1, if any."""
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
            self.dropped = None

        def forward(self, x):
            y = F.relu(self.bn1(self.conv1(x)))
            if self.dropped == 0:
                y = F.dropout2d(y, DROP_RATE)
            y = self.bn2(self.conv2(y))
            if self.dropped == 1:
                y = F.dropout2d(y, DROP_RATE)
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


def fold(net):
    """Folds every batch norm of a network in evaluation mode into the convolution before it."""
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    for module in list(net.modules()):
        children = list(module.named_children())
        for (conv_name, conv), (bn_name, bn) in zip(children, children[1:]):
            if isinstance(conv, nn.Conv2d) and isinstance(bn, nn.BatchNorm2d):
                setattr(module, conv_name, fuse_conv_bn_eval(conv, bn))
                setattr(module, bn_name, nn.Identity())


def training_step(net, images, labels, form):
    import torch
    from torch.nn import functional as F

    optimizer = torch.optim.SGD(net.parameters(), 0.01, momentum=0.9, weight_decay=1e-4)
    run = torch.compile(net) if form == "compiled" else net

    def step():
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(run(images), labels).backward()
        optimizer.step()

    return step


def inference(net, images, form):
    import torch

    run = net
    with torch.no_grad():
        if form == "folded":
            fold(net)
        elif form == "frozen":
            run = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(net, images)))
        elif form == "compiled":
            import torch._inductor.config

            torch._inductor.config.freezing = True
            run = torch.compile(net)

    def step():
        # torch.compile freezes weights under no_grad only.
        with torch.no_grad() if form == "compiled" else torch.inference_mode():
            run(images)

    return step


def utilization(net, images, labels):
    """All passes of the utilization ratios, layer by layer."""
    import torch
    from torch.nn import functional as F

    def loss():
        return F.cross_entropy(net(images), labels).item()

    def step():
        with torch.inference_mode():
            loss()
            for block in net.blocks:
                for block.dropped in (0, 1):
                    for _ in range(REPEATS):
                        loss()
                block.dropped = None

    return step


def measure(case, layout, form, threads, seconds, gpu, tuned):
    """Images a second of one PyTorch variant, the median step."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(1)
    if gpu:
        torch.set_default_device("cuda")
        torch.backends.cudnn.benchmark = tuned
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = form in ("tf32", "compiled")
    wait = torch.cuda.synchronize if gpu else lambda: None
    net = build(case.network, case.widths)
    images = torch.randn(case.batch, 3, case.side, case.side)
    labels = torch.randint(0, net.classifier.out_features, (case.batch,))
    if layout == "channels_last":
        net, images = net.to(memory_format=torch.channels_last), images.to(memory_format=torch.channels_last)
    count = case.batch
    if case.mode == "train":
        step = training_step(net, images, labels, form)
    else:
        net.eval()
        step = inference(net, images, form)
    for _ in range(2 if case.side > 64 else 3):  # compiles, and meets cold memory
        step()
    wait()
    if case.mode == "fur":
        step, count = utilization(net, images, labels), case.batch * (1 + 2 * len(net.blocks) * REPEATS)
    times, start = [], time.perf_counter()
    while not times or time.perf_counter() - start < seconds:
        t = time.perf_counter()
        step()
        wait()
        times.append(time.perf_counter() - t)
    return count / statistics.median(times)


def ours(case, threads, seconds, device):
    """What netadjust bench prints of a case."""
    args = [NETADJUST, "bench", case.network, "--mode", case.mode, "--batch", str(case.batch),
            "--threads", str(threads), "--seconds", str(seconds), "--device", device, "--json"]
    if case.widths:
        args += ["--widths", ",".join(map(str, case.widths))]
    done = subprocess.run(args, env=environment(case, threads, False), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, args))}: {done.stderr.strip()}")
    return json.loads(done.stdout)[0]


def peer(name, case, variant, threads, seconds, device):
    """Images a second of a PyTorch variant, measured in another process, or why there are none."""
    layout, form, tuned = variant
    args = [sys.executable, __file__, "--measure", name, layout, form, "--threads", str(threads),
            "--seconds", str(seconds), "--device", device, *["--tuned"] * tuned]
    try:
        done = subprocess.run(args, env=environment(case, threads, tuned and device == "cpu"), capture_output=True, text=True, timeout=600)
    except subprocess.TimeoutExpired:
        return None, "took more than 10 minutes"
    if done.returncode:
        return None, "".join(done.stderr.strip().splitlines()[-1:]) or f"exit code {done.returncode}"
    return float(done.stdout.split()[-1]), None


def environment(case, threads, tuned):
    env = dict(os.environ, OMP_NUM_THREADS=str(threads))
    if tuned:
        env.update(TUNED)
    if case.avx2:
        env.update(AVX2)
    return env


def variants(case, compiler, gpu):
    """What is measured of PyTorch: layout, form, tuned."""
    forms = ["eager", "tf32"] if gpu else {"train": ["eager"], "eval": ["eager", "folded", "frozen"], "fur": ["eager"]}[case.mode]
    chosen = [(layout, form, tuned) for form in forms for tuned in (False, True) for layout in LAYOUTS]
    if case.compile and compiler:
        chosen += [(layout, "compiled", True) for layout in LAYOUTS]
    return chosen


def label(variant):
    layout, form, tuned = variant
    return f"{layout} {form} {'tuned' if tuned else 'as it comes'}"


def interleaved(name, case, threads, rounds, seconds, compiler, device):
    """Measures a case in rounds: the row of the report."""
    own, speeds, failed = [], {}, {}
    left = variants(case, compiler, device != "cpu")
    for _ in range(rounds):
        own.append(ours(case, threads, seconds, device))
        for v in left:
            speed, why = peer(name, case, v, threads, seconds, device)
            if speed:
                speeds.setdefault(v, []).append(speed)
            else:
                failed[label(v)] = why
                print(f"  {name}, {label(v)}: no result, {why}", file=sys.stderr, flush=True)
        left = [v for v in left if v in speeds and max(speeds[v]) >= 0.8 * max(
            max(speeds[o]) for o in speeds if o[1:] == v[1:])]
    medians = {v: statistics.median(s) for v, s in speeds.items()}

    def best(fits):
        return max((m for v, m in medians.items() if fits(v)), default=None)

    pytorch = {
        "as it comes": best(lambda v: v[1:] == ("eager", False)),
        "tuned": best(lambda v: v[1:] == ("eager", True)),
    }
    for form in sorted({v[1] for v in medians} - {"eager"}):
        pytorch[form] = best(lambda v: v[1] == form)
    pytorch["best"] = best(lambda v: True)
    speed = statistics.median(r["images_per_second"] for r in own)
    row = {
        "case": name, "network": case.network, "widths": case.widths, "mode": case.mode, "batch": case.batch,
        "device": device, "threads": threads, "avx2": case.avx2, "netadjust": speed,
        "peak_share": statistics.median(r["peak_share"] for r in own), "pytorch": pytorch,
        "ratio": {form: speed / s for form, s in pytorch.items() if s},
        "rounds": {"netadjust": [r["images_per_second"] for r in own], **{label(v): s for v, s in speeds.items()}},
    }
    if failed:
        row["failed"] = failed
    if case.mode == "fur":
        row["time_share"] = statistics.median(r["fur"]["time_share"] for r in own)
        row["bound"] = own[0]["fur"]["bound"]
    return row


def show(row):
    forms = "  ".join(f"{form} {s:.1f} ({row['ratio'][form]:.2f})" for form, s in row["pytorch"].items() if s)
    where = row["device"] if row["device"] != "cpu" else f"{row['threads']} threads"
    peak = f", {100 * row['peak_share']:.0f} % of peak" if row["peak_share"] else ""
    print(f"{row['case']:26} {where}: netadjust {row['netadjust']:.1f} images/s{peak}; PyTorch (ratio): {forms}",
          flush=True)


def why_no_compiler(torch):
    if not hasattr(torch, "compile"):
        return f"PyTorch {torch.__version__} has no torch.compile, it came with 2.0"
    if not shutil.which(os.environ.get("CXX", "g++")):
        return "torch.compile needs a C++ compiler, and there is no g++: apt-get install g++"
    header = Path(sysconfig.get_paths()["include"], "Python.h")
    if not header.exists():
        return f"torch.compile needs the headers of Python, and there is no {header}: apt-get install python3-dev"
    return None


def machine(gpu):
    info = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count(),
            "system": platform.platform(), "load": os.getloadavg()}
    if gpu:
        import torch

        info["gpu"] = torch.cuda.get_device_name()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return info
    fields = dict(map(str.strip, line.split(":", 1)) for line in lines if ":" in line)
    info["processor"] = fields.get("model name", info["processor"])
    info["vectors"] = [f for f in ("avx2", "fma", "avx512f") if f in fields.get("flags", "").split()]
    return info


def versions(torch):
    onednn = [line.strip("- ") for line in torch.__config__.show().splitlines() if "MKL-DNN" in line]
    done = subprocess.run([NETADJUST, "version", "--json"], check=True, capture_output=True, text=True)
    own = json.loads(done.stdout)
    return {"pytorch": torch.__version__, "onednn": " ".join(onednn), "python": platform.python_version(),
            "netadjust": own["version"], "go": own["platform"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help="; ".join(CASES) + " (default: all)")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=1.5, help="time for each measurement")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", help="file for the figures of every round")
    parser.add_argument("--device", default="cpu", help="cpu, or a GPU as netadjust names them, such as gpu or gpu:cuda")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--tuned", action="store_true", help=argparse.SUPPRESS)
    a = parser.parse_args()
    try:
        import torch
    except ImportError as e:
        sys.exit(f"PyTorch is missing in {sys.executable} ({e}); --help says how to install it")
    gpu = a.device != "cpu"
    if a.measure:
        name, layout, form = a.measure
        print(measure(CASES[name], layout, form, a.threads, a.seconds, gpu, a.tuned))
        return
    for name in a.cases:
        if name not in CASES:
            parser.error(f"unknown case {name!r}; cases are {', '.join(CASES)}")
    if min(a.rounds, a.threads) < 1 or a.seconds <= 0:
        parser.error("--rounds and --threads must be at least 1, --seconds more than 0")
    if gpu and not torch.cuda.is_available():
        sys.exit(f"PyTorch {torch.__version__} in {sys.executable} sees no GPU")
    if not os.access(NETADJUST, os.X_OK):
        sys.exit(f"{NETADJUST} is missing: run make build first")

    report = {"date": time.strftime("%Y-%m-%d"), "machine": machine(gpu), "versions": versions(torch), "rounds": a.rounds,
              "seconds": a.seconds, "left_out": [], "rows": []}
    compiler = why_no_compiler(torch)
    if compiler:
        report["left_out"].append(compiler)
        print(f"torch.compile is left out: {compiler}", file=sys.stderr)
    for name in a.cases or CASES:
        case = CASES[name]
        if case.avx2 and gpu and not a.cases:
            continue
        if case.avx2 and not a.cases and "avx512f" not in report["machine"].get("vectors", ["avx512f"]):
            report["left_out"].append(f"{name}: this processor has no AVX-512, so that all cases are held to AVX2")
            print(report["left_out"][-1], file=sys.stderr)
            continue
        row = interleaved(name, case, case.threads or a.threads, a.rounds, a.seconds, not compiler, a.device)
        report["rows"].append(row)
        show(row)
    if a.out:
        os.makedirs(os.path.dirname(a.out) or ".", exist_ok=True)
        with open(a.out, "w") as f:
            json.dump(report, f, indent=2)
            f.write("\n")


if __name__ == "__main__":
    main()
