package cpu

import (
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"

	"netadjust/internal/ops"
)

// convolution is the geometry of a convolution as matrix products: the windows that the output pixels of some rows read
// become the columns of a matrix (im2col), [in*kh*kw, pixels].
type convolution struct {
	in, h, w    int // images: channels, height, width
	out, oh, ow int // output: channels, height, width
	kh, kw      int
	stride, pad int
	rows        int // output rows that are done at a time
}

// columnPixels is how many output pixels are done at a time: few enough that their columns stay in the cache.
const columnPixels = 192

func newConvolution(k ops.Conv2D, x, w, y []int) convolution {
	return convolution{
		in: x[1], h: x[2], w: x[3], out: y[1], oh: y[2], ow: y[3], kh: w[2], kw: w[3], stride: k.Stride, pad: k.Pad,
		rows: min(max(columnPixels/y[3], 1), y[2]),
	}
}

func (c *convolution) depth() int   { return c.in * c.kh * c.kw }
func (c *convolution) scratch() int { return c.depth() * c.rows * c.ow }

// columns fills the matrix for output rows [r0, r1) of image x.
func (c *convolution) columns(x []float32, r0, r1 int, col []float32) {
	n := (r1 - r0) * c.ow
	for ch := range c.in {
		plane := x[ch*c.h*c.w : (ch+1)*c.h*c.w]
		for u := range c.kh {
			for v := range c.kw {
				row := col[((ch*c.kh+u)*c.kw+v)*n:][:n]
				for r := r0; r < r1; r++ {
					dst := row[(r-r0)*c.ow:][:c.ow]
					h := r*c.stride + u - c.pad
					if h < 0 || h >= c.h {
						clear(dst)
						continue
					}
					lo, hi := c.inside(v)
					clear(dst[:lo])
					clear(dst[hi:])
					if lo < hi {
						src := plane[h*c.w+lo*c.stride+v-c.pad:]
						if c.stride == 1 {
							copy(dst[lo:hi], src)
						} else {
							for i := lo; i < hi; i++ {
								dst[i] = src[(i-lo)*c.stride]
							}
						}
					}
				}
			}
		}
	}
}

// inside is the range [lo, hi) of output columns whose tap v lies inside the image.
func (c *convolution) inside(v int) (lo, hi int) {
	if v < c.pad {
		lo = (c.pad - v + c.stride - 1) / c.stride
	}
	hi = (c.w-1-v+c.pad)/c.stride + 1
	if c.w-1-v+c.pad < 0 {
		hi = 0
	}
	lo = min(lo, c.ow)
	return lo, max(min(hi, c.ow), lo)
}

// addColumns adds the columns of output rows [r0, r1) back to image dx.
func (c *convolution) addColumns(col []float32, r0, r1 int, dx []float32) {
	n := (r1 - r0) * c.ow
	for ch := range c.in {
		plane := dx[ch*c.h*c.w : (ch+1)*c.h*c.w]
		for u := range c.kh {
			for v := range c.kw {
				row := col[((ch*c.kh+u)*c.kw+v)*n:][:n]
				for r := r0; r < r1; r++ {
					h := r*c.stride + u - c.pad
					lo, hi := c.inside(v)
					if h < 0 || h >= c.h || lo >= hi {
						continue
					}
					src := row[(r-r0)*c.ow+lo : (r-r0)*c.ow+hi]
					dst := plane[h*c.w+lo*c.stride+v-c.pad:]
					if c.stride == 1 {
						dst = dst[:len(src)]
						for i, s := range src {
							dst[i] += s
						}
						continue
					}
					for i, s := range src {
						dst[i*c.stride] += s
					}
				}
			}
		}
	}
}

// eachBlock visits images [from, to) in blocks of output rows.
func (c *convolution) eachBlock(from, to int, visit func(image, r0, r1 int)) {
	for n := from; n < to; n++ {
		for r0 := 0; r0 < c.oh; r0 += c.rows {
			visit(n, r0, min(r0+c.rows, c.oh))
		}
	}
}

// forward computes y = w * x for images [from, to).
func (c *convolution) forward(x, w, y []float32, from, to int, col []float32) {
	area, k := c.oh*c.ow, c.depth()
	c.eachBlock(from, to, func(n, r0, r1 int) {
		px := (r1 - r0) * c.ow
		c.columns(x[n*c.in*c.h*c.w:], r0, r1, col)
		gemm(blas.NoTrans, blas.NoTrans, c.out, px, k, w, k, col, px, 0, y[n*c.out*area+r0*c.ow:], area)
	})
}

// gradInput computes dx from dy for images [from, to).
func (c *convolution) gradInput(w, dy, dx []float32, from, to int, col []float32) {
	area, k := c.oh*c.ow, c.depth()
	clear(dx[from*c.in*c.h*c.w : to*c.in*c.h*c.w])
	c.eachBlock(from, to, func(n, r0, r1 int) {
		px := (r1 - r0) * c.ow
		gemm(blas.Trans, blas.NoTrans, k, px, c.out, w, k, dy[n*c.out*area+r0*c.ow:], area, 0, col, px)
		c.addColumns(col, r0, r1, dx[n*c.in*c.h*c.w:])
	})
}

// gradWeights adds the share of images [from, to) to dw.
func (c *convolution) gradWeights(x, dy, dw []float32, from, to int, col []float32) {
	area, k := c.oh*c.ow, c.depth()
	c.eachBlock(from, to, func(n, r0, r1 int) {
		px := (r1 - r0) * c.ow
		c.columns(x[n*c.in*c.h*c.w:], r0, r1, col)
		gemm(blas.NoTrans, blas.Trans, c.out, k, px, dy[n*c.out*area+r0*c.ow:], area, col, px, 1, dw, k)
	})
}

// gemm computes c = op(a) op(b) + beta c, all row-major, c with m rows and n columns, k terms an element. The product is
// cut so that gonum never starts goroutines of its own: the slots keep the cores busy.
func gemm(ta, tb blas.Transpose, m, n, k int, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	const tileM, tileN = 64, 192 // gonum stays serial below four blocks of 64x64
	for i := 0; i < m; i += tileM {
		for j := 0; j < n; j += tileN {
			at, bt := i*lda, j
			if ta == blas.Trans {
				at = i
			}
			if tb == blas.Trans {
				bt = j * ldb
			}
			gonum.Implementation{}.Sgemm(ta, tb, min(tileM, m-i), min(tileN, n-j), k, 1, a[at:], lda, b[bt:], ldb,
				beta, c[i*ldc+j:], ldc)
		}
	}
}
