package networks

import "fmt"

// residual is a family of networks of residual blocks with two 3x3 convolutions each. Stages double the width, and all
// but the first halve the resolution in the first convolution of their first block.
type residual struct {
	Family
	blocks    func(depth int) []int // blocks of each stage, nil if the family has no such depth
	width     int                   // channels of the stem and of the first stage at width multiplier 1
	kernel    int                   // of the convolution of the stem
	stride    int                   // of the convolution of the stem
	stemPool  bool                  // the stem goes on with ReLU and maximum pooling
	projected bool                  // shortcuts halve by 1x1 convolution and batch norm, else by average pooling
	normal    bool                  // initial weights of convolutions are normal, else uniform
}

const bothConvs = "both convolutions of every block, each on its own"

// residuals are the families of He et al., "Deep residual learning for image recognition", CVPR 2016, sections 4.1 and
// 4.2, in the form that the reference code of network adjustment gives them: shortcuts without parameters wherever the
// resolution stays, and no ReLU after the CIFAR stem.
var residuals = []residual{
	{
		Family: Family{
			Pattern: "resnet{6n+2}", Title: "ResNet for CIFAR: three stages of n = 1 to 200 blocks",
			Input: [3]int{3, 32, 32}, Classes: 100, Adjustable: bothConvs,
		},
		blocks: func(depth int) []int {
			n := (depth - 2) / 6
			if depth != 6*n+2 || n < 1 || n > 200 {
				return nil
			}
			return []int{n, n, n}
		},
		width: 16, kernel: 3, stride: 1,
	},
	{
		Family: Family{
			Pattern: "resnet18, resnet34", Title: "ResNet for ImageNet: four stages",
			Input: [3]int{3, 224, 224}, Classes: 1000, Adjustable: bothConvs,
		},
		blocks: func(depth int) []int { return map[int][]int{18: {2, 2, 2, 2}, 34: {3, 4, 6, 3}}[depth] },
		width:  64, kernel: 7, stride: 2, stemPool: true, projected: true, normal: true,
	},
}

// build fills in the nodes of n for a stem of the given number of channels.
func (r residual) build(n *Network, stem int, blocks []int) {
	n.normalWeights = r.normal
	n.stem = n.conv("stem.conv", n.image(), constant(stem), r.kernel, r.stride)
	x := n.batchNorm("stem.bn", n.stem)
	if r.stemPool {
		x = n.maxPool("stem.pool", n.relu("stem.relu", x))
	}
	for stage, count := range blocks {
		for block := range count {
			stride := 1
			if stage > 0 && block == 0 {
				stride = 2
			}
			x = r.block(n, fmt.Sprintf("stage%d.block%d", stage+1, block+1), x, stem<<stage, stride)
		}
	}
	n.classify(x)
}

// block appends a block that reads x: conv, batch norm, ReLU, drop, conv, batch norm, drop, plus the shortcut, ReLU.
func (r residual) block(n *Network, name string, x, width, stride int) int {
	y := n.adjustableConv(name+".conv1", x, width, 3, stride)
	y = n.batchNorm(name+".bn1", y)
	y = n.relu(name+".relu1", y)
	y = n.drop(name+".drop1", y)
	y = n.adjustableConv(name+".conv2", y, width, 3, 1)
	y = n.batchNorm(name+".bn2", y)
	y = n.drop(name+".drop2", y)

	stream := n.nodes[y].channels
	if stride > 1 && r.projected {
		x = n.conv(name+".shortcut.conv", x, stream, 1, stride)
		x = n.batchNorm(name+".shortcut.bn", x)
	} else {
		if stride > 1 {
			x = n.avgPool(name+".shortcut.pool", x)
		}
		if n.Padding == PaddingMax {
			stream = larger(n.nodes[x].channels, stream)
		}
		y = n.fit(name+".pad", y, stream)
		x = n.fit(name+".shortcut.channels", x, stream)
	}
	return n.relu(name+".relu2", n.sum(name+".add", y, x))
}
