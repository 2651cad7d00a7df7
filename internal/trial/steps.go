package trial

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"netadjust/internal/bench"
	"netadjust/internal/device"
	"netadjust/internal/device/cpu"
	"netadjust/internal/device/devicetest"
	"netadjust/internal/device/gpu"
	"netadjust/internal/device/gpu/choose"
	"netadjust/internal/device/gpu/driver"
	"netadjust/internal/ops"
	"netadjust/networks"
)

// Options say what to try.
type Options struct {
	Device   string // as for --device
	Record   string // file
	Program  string // netadjust itself, for what needs a process of its own
	Data     string // folder of the datasets
	Version  string // of the program
	Progress io.Writer
}

// Run does all steps that the record has not passed yet, on every layer that the device's name asks for. It returns nil
// and an error if there is nothing to try.
func Run(ctx context.Context, o Options) (*Record, error) {
	if o.Device == "auto" {
		o.Device = "gpu"
	}
	c, err := choose.Parse(o.Device)
	if err != nil {
		return nil, err
	}
	r, err := open(o.Record, o.Version, o.Device)
	if err != nil {
		return nil, err
	}
	var tasks []task
	var reasons []error
	here := 0
	for _, name := range c.Layers() {
		l := &layer{Options: o, name: name}
		p, err := l.properties()
		if err == nil {
			here++
			l.card = p
		}
		reasons = append(reasons, err)
		tasks = append(tasks, l.tasks(err)...)
	}
	if here == 0 {
		return nil, errors.Join(reasons...)
	}
	return r, r.run(ctx, o.Record, tasks, limit, o.Progress)
}

// layer is one way to the card.
type layer struct {
	Options
	name string
	card driver.Properties
}

// tasks lists the steps: first what is right, then how fast it is. If the layer is not there, one step says why.
func (l *layer) tasks(missing error) []task {
	all := []task{{"device", func(context.Context) (any, error) {
		if missing != nil {
			return nil, &skipped{missing.Error()}
		}
		return l.card, nil
	}}}
	if missing == nil {
		all = append(all, []task{
			{"operations", l.operations}, {"operations, traced", l.traced}, {"tiles", l.tiles}, {"training", l.training},
			{"ratios", l.ratios}, {"experiment", l.experiment}, {"memcheck", l.sanitized("memcheck")},
			{"racecheck", l.sanitized("racecheck")},
		}...)
		for _, s := range l.subjects() {
			all = append(all, task{"speed of " + s.network, l.speed(s)})
		}
		for _, s := range l.subjects()[:2] {
			all = append(all, task{"tile times of " + s.network, l.tileTimes(s)})
		}
		for _, name := range peerCases {
			all = append(all, task{"PyTorch, " + name, l.peer(name)})
		}
	}
	for i := range all {
		all[i].name = l.name + " " + all[i].name
	}
	return all
}

// open opens the device.
func (l *layer) open() (*gpu.Device, driver.Driver, error) {
	c, err := choose.Parse(l.name)
	if err != nil {
		return nil, nil, err
	}
	d, _, err := c.Open()
	if err != nil {
		return nil, nil, err
	}
	dev, err := gpu.New(c.Name(), d)
	return dev, d, err
}

func (l *layer) properties() (driver.Properties, error) {
	dev, d, err := l.open()
	if err != nil {
		return driver.Properties{}, err
	}
	return d.Properties(), dev.Close()
}

// on does something with the device.
func (l *layer) on(do func(dev *gpu.Device, d driver.Driver) (any, error)) (any, error) {
	dev, d, err := l.open()
	if err != nil {
		return nil, err
	}
	result, err := do(dev, d)
	return result, errors.Join(err, dev.Close())
}

// operations runs the table.
func (l *layer) operations(ctx context.Context) (any, error) {
	return l.on(func(dev *gpu.Device, _ driver.Driver) (any, error) {
		list, err := Operations(ctx, dev, func(Checked) {})
		return list, errors.Join(err, failures(list))
	})
}

// traced runs the table with a wait after every launch: drivers may report a wrong launch only then.
func (l *layer) traced(ctx context.Context) (any, error) {
	before := os.Getenv(choose.TraceVariable)
	os.Setenv(choose.TraceVariable, "1")
	defer os.Setenv(choose.TraceVariable, before)
	return l.operations(ctx)
}

// tiles checks convolutions with each tile, for the table's are so small that some are never chosen.
func (l *layer) tiles(ctx context.Context) (any, error) {
	return l.on(func(dev *gpu.Device, _ driver.Driver) (any, error) {
		var list []Checked
		for i, name := range dev.Tiles() {
			dev.OnlyTile(i)
			c := Checked{Operation: "convolutions with tile " + name, Failures: []string{}}
			for _, o := range devicetest.Operations() {
				switch o.Kind.(type) {
				case ops.Conv2D, ops.Conv2DGradInput, ops.Conv2DGradWeights:
				default:
					continue
				}
				if err := ctx.Err(); err != nil {
					return list, err
				}
				c.add(dev, o)
			}
			list = append(list, c)
		}
		return list, failures(list)
	})
}

// subject is a network whose speed is measured.
type subject struct {
	network string
	batch   int
}

// subjects are the paper's small and large networks, and networks of other kinds of layers.
func (l *layer) subjects() []subject {
	if l.card.Processor {
		return []subject{{"resnet8", 8}, {"resnet20", 4}}
	}
	return []subject{{"resnet20", 128}, {"resnet18", 64}, {"resnet56", 128}, {"mobilenet_v2", 64}, {"densenet40", 64}}
}

const (
	measured = 3 * time.Second // each speed
	each     = 30              // runs of a convolution
)

func (s subject) build() (*networks.Network, error) {
	spec, err := networks.Read(s.network)
	if err != nil {
		return nil, err
	}
	return networks.New(spec)
}

// speed measures a network as netadjust bench does.
func (l *layer) speed(s subject) func(context.Context) (any, error) {
	return func(ctx context.Context) (any, error) {
		return l.on(func(dev *gpu.Device, _ driver.Driver) (any, error) {
			n, err := s.build()
			if err != nil {
				return nil, err
			}
			modes := []bench.Mode{bench.Train, bench.Eval}
			if s == l.subjects()[0] {
				modes = append(modes, bench.FUR)
			}
			var list []bench.Result
			for _, mode := range modes {
				batch := s.batch
				if mode == bench.FUR {
					batch = min(batch, 48)
				}
				r, err := bench.Run(ctx, dev, n, n.Start(), mode, batch, measured)
				if err != nil {
					return list, err
				}
				list = append(list, r)
			}
			return list, nil
		})
	}
}

// TileTime is how fast one pass of a convolution is with each tile.
type TileTime struct {
	Operation string    `json:"operation"`
	GFLOPS    []float64 `json:"gflops"` // with each tile
	Chosen    float64   `json:"chosen"` // with the one that plans choose
}

// TileTimes are those of all convolutions of a training step.
type TileTimes struct {
	Tiles []string   `json:"tiles"`
	Times []TileTime `json:"times"`
}

// tileTimes measures every convolution of a network with every tile, alone.
func (l *layer) tileTimes(s subject) func(context.Context) (any, error) {
	return func(ctx context.Context) (any, error) {
		return l.on(func(dev *gpu.Device, _ driver.Driver) (any, error) {
			programs, err := convolutions(dev, s)
			if err != nil {
				return nil, err
			}
			t := TileTimes{Tiles: dev.Tiles()}
			for _, p := range programs {
				row := TileTime{Operation: describe(p)}
				for i := range t.Tiles {
					dev.OnlyTile(i)
					speed, err := timeOf(ctx, dev, p)
					if err != nil {
						return t, err
					}
					row.GFLOPS = append(row.GFLOPS, speed)
				}
				dev.OnlyTile(-1)
				if row.Chosen, err = timeOf(ctx, dev, p); err != nil {
					return t, err
				}
				t.Times = append(t.Times, row)
			}
			return t, nil
		})
	}
}

// convolutions returns a program for each different convolution of a training step, whose operands are state.
func convolutions(dev device.Device, s subject) ([]*device.Program, error) {
	n, err := s.build()
	if err != nil {
		return nil, err
	}
	m, err := bench.Compile(dev, n, n.Start(), bench.Train, s.batch)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	from := m.Program()
	seen := map[string]bool{}
	var list []*device.Program
	for _, step := range from.Steps {
		switch step.Op.(type) {
		case ops.Conv2D, ops.Conv2DGradInput, ops.Conv2DGradWeights:
		default:
			continue
		}
		p := &device.Program{Steps: []device.Step{{Op: step.Op, In: []int{0, 1}, Out: 2}}}
		for _, v := range append(slices.Clone(step.In), step.Out) {
			p.Values = append(p.Values, device.Value{Name: from.Values[v].Name, Shape: from.Values[v].Shape})
		}
		if what := describe(p); seen[what] {
			continue
		} else {
			seen[what] = true
		}
		for i := range p.Steps[0].In {
			v := &p.Values[i]
			if v.State, err = dev.NewTensor(v.Shape); err != nil {
				return nil, err
			}
			random := make([]float32, v.Size())
			for j := range random {
				random[j] = float32(j%101-50) / 50
			}
			if err := v.State.Write(random); err != nil {
				return nil, err
			}
		}
		list = append(list, p)
	}
	return list, nil
}

// describe names the one operation of a program.
func describe(p *device.Program) string {
	return fmt.Sprint(ops.Name(p.Steps[0].Op), p.Values[0].Shape, p.Values[1].Shape)
}

// timeOf returns how many GFLOP/s the only work of a program with multiply-adds comes to.
func timeOf(ctx context.Context, dev device.Device, p *device.Program) (float64, error) {
	exe, err := dev.Compile(p)
	if err != nil {
		return 0, err
	}
	defer exe.Close()
	if err := exe.Run(nil); err != nil { // some drivers compile now
		return 0, err
	}
	clocks := exe.(device.Timer)
	clocks.StartClocks()
	start := time.Now()
	for range each {
		if err := cmp.Or(ctx.Err(), exe.Run(nil)); err != nil {
			clocks.StopClocks()
			return 0, err
		}
		if time.Since(start) > time.Second {
			break
		}
	}
	for _, s := range clocks.StopClocks() {
		if s.FLOPs > 0 && s.Time > 0 {
			return 2 * float64(s.FLOPs) / s.Time.Seconds() / 1e9, nil
		}
	}
	return 0, errors.New("no time has passed on the device's clocks")
}

// reference is the device that others are compared with.
func reference() (device.Device, error) { return cpu.New(0) }
