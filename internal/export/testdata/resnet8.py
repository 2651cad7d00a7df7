"""resnet8, written by netadjust.

    from resnet8 import load
    logits = load()(images)

images are float32 [n, 2, 9, 9]: (pixels / 255 - MEAN) / STD, by channel.
"""

# Metadata, all of which are in the file of the weights too:
#   cell: c
#   channels: [5,3,3,7,9,7]
#   flops: 38118
#   network: resnet8
#   normalization: mean [0.3 0.25] std [0.5 0.4]
#   padding: max
#   params: 1761
#   width: 0.125

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

MEAN = [0.3, 0.25]
STD = [0.5, 0.4]


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem_conv = nn.Conv2d(2, 2, 3, padding=1, bias=False)
        self.stem_bn = nn.BatchNorm2d(2, eps=1e-05)
        self.stage1_block1_conv1 = nn.Conv2d(2, 5, 3, padding=1, bias=False)
        self.stage1_block1_bn1 = nn.BatchNorm2d(5, eps=1e-05)
        self.stage1_block1_conv2 = nn.Conv2d(5, 3, 3, padding=1, bias=False)
        self.stage1_block1_bn2 = nn.BatchNorm2d(3, eps=1e-05)
        self.stage2_block1_conv1 = nn.Conv2d(3, 3, 3, stride=2, padding=1, bias=False)
        self.stage2_block1_bn1 = nn.BatchNorm2d(3, eps=1e-05)
        self.stage2_block1_conv2 = nn.Conv2d(3, 7, 3, padding=1, bias=False)
        self.stage2_block1_bn2 = nn.BatchNorm2d(7, eps=1e-05)
        self.stage3_block1_conv1 = nn.Conv2d(7, 9, 3, stride=2, padding=1, bias=False)
        self.stage3_block1_bn1 = nn.BatchNorm2d(9, eps=1e-05)
        self.stage3_block1_conv2 = nn.Conv2d(9, 7, 3, padding=1, bias=False)
        self.stage3_block1_bn2 = nn.BatchNorm2d(7, eps=1e-05)
        self.classifier = nn.Linear(7, 3)

    def forward(self, x):
        x = self.stem_bn(self.stem_conv(x))
        y = F.relu(self.stage1_block1_bn1(self.stage1_block1_conv1(x)))
        y = self.stage1_block1_bn2(self.stage1_block1_conv2(y))
        x = F.pad(x, (0, 0, 0, 0, 0, 1))
        x = F.relu(y + x)
        y = F.relu(self.stage2_block1_bn1(self.stage2_block1_conv1(x)))
        y = self.stage2_block1_bn2(self.stage2_block1_conv2(y))
        x = F.avg_pool2d(x, 2, 2, ceil_mode=True, count_include_pad=False)
        x = F.pad(x, (0, 0, 0, 0, 0, 4))
        x = F.relu(y + x)
        y = F.relu(self.stage3_block1_bn1(self.stage3_block1_conv1(x)))
        y = self.stage3_block1_bn2(self.stage3_block1_conv2(y))
        x = F.avg_pool2d(x, 2, 2, ceil_mode=True, count_include_pad=False)
        x = F.relu(y + x)
        x = x.mean((2, 3))
        return self.classifier(x)


def load(path=Path(__file__).with_suffix(".safetensors")):
    """Return the trained network, ready for inference."""
    network = Network()
    network.load_state_dict(load_file(path))
    return network.eval()
