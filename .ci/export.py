"""Compare exported networks with the logits that netadjust eval --logits wrote.

    python .ci/export.py LOGITS.safetensors MODEL.onnx|MODEL.py ...

Every model has to give these logits to 1e-4, relative to the largest one if that is more than 1, and the same first
class for every image, in batches of one, of seven and of all images. ONNX files run in onnxruntime, Python files in
PyTorch.
"""

import importlib.util
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file


def onnx(path):
    import onnx
    import onnxruntime

    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (source,) = session.get_inputs()
    mean, std = session.get_modelmeta().custom_metadata_map["normalization"].removeprefix("mean [").removesuffix(
        "]").split("] std [")
    mean, std = (np.array(x.split(), np.float64) for x in (mean, std))
    return source.type == "tensor(uint8)", mean, std, lambda x: session.run(["logits"], {source.name: x})[0]


def pytorch(path):
    import torch

    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network = module.load()

    def run(x):
        with torch.no_grad():
            return network(torch.from_numpy(x)).numpy()

    return hasattr(network, "_mean"), np.array(module.MEAN), np.array(module.STD), run


def check(path, pixels, want):
    takes_pixels, mean, std, run = (onnx if path.endswith(".onnx") else pytorch)(path)
    x = pixels
    if not takes_pixels:
        x = ((pixels / 255 - mean[:, None, None]) / std[:, None, None]).astype(np.float32)
    largest = np.abs(want).max()
    worst, wrong = 0.0, 0
    for size in (1, 7, len(x)):
        got = run(x[:size])
        if got.shape != want[:size].shape or not np.isfinite(got).all():
            sys.exit(f"{path}: logits {got.shape} for {size} images, or some are not finite")
        worst = max(worst, np.abs(got - want[:size]).max())
        wrong += (got.argmax(1) != want[:size].argmax(1)).sum()
    print(f"{path}: logits up to {largest:.3g} differ by {worst:.1e} at most, the first class of {wrong} images")
    return worst <= 1e-4 * max(1, largest) and wrong == 0


def main():
    file = load_file(sys.argv[1])
    results = [check(path, file["pixels"], file["logits"]) for path in sys.argv[2:]]
    if not results or not all(results):
        sys.exit("the exported networks do not agree with netadjust")


main()
