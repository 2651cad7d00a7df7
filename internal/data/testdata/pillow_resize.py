"""Writes pillow_resize.json: SHA-256 of boxes of noise that Pillow has resampled with its BILINEAR filter.

Run by hand: python pillow_resize.py. The test of the resizer makes the same noise and compares its results.
"""

import hashlib
import json
import pathlib

import PIL
from PIL import Image

# height, width, box (top, left, height, width), height and width of the result
CASES = [
    (40, 50, (0, 0, 40, 50), 20, 25),
    (40, 50, (3, 5, 31, 29), 24, 24),
    (40, 50, (7, 0, 10, 50), 32, 32),
    (33, 17, (1, 2, 5, 6), 64, 48),
    (300, 400, (17, 33, 211, 307), 96, 96),
    (300, 400, (0, 0, 300, 400), 7, 9),
    (257, 130, (0, 0, 257, 130), 1, 130),
    (64, 64, (10, 10, 32, 40), 32, 32),
    (1, 1, (0, 0, 1, 1), 8, 8),
]


def noise(n):
    x, out = 12345, bytearray()
    for _ in range(n):
        x = (1103515245 * x + 12345) % 2**31
        out.append(x >> 16 & 255)
    return bytes(out)


sums = []
for h, w, (top, left, height, width), high, wide in CASES:
    plane = Image.frombytes("L", (w, h), noise(h * w))
    part = plane.crop((left, top, left + width, top + height))
    resized = part.resize((wide, high), Image.Resampling.BILINEAR)
    sums.append(
        {
            "source": [h, w],
            "box": {"Top": top, "Left": left, "Height": height, "Width": width},
            "result": [high, wide],
            "sha256": hashlib.sha256(resized.tobytes()).hexdigest(),
        }
    )
out = {"pillow": PIL.__version__, "cases": sums}
path = pathlib.Path(__file__).with_name("pillow_resize.json")
path.write_text(json.dumps(out, indent=1) + "\n")
