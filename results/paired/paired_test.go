package paired

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// near compares with a relative tolerance.
func near(got, want, tolerance float64) bool { return math.Abs(got-want) <= tolerance*math.Abs(want) }

// fixture holds what SciPy and statsmodels give; testdata/scipy_numbers.py makes it.
type fixture struct {
	Samples []struct {
		Name             string
		Differences      Sample
		P                float64
		StdDev           float64 `json:"std_dev"`
		Effect           float64
		Intervals, Wider [][2]float64
	}
	Holm   struct{ P, Adjusted []float64 }
	Needed []struct {
		Effect float64
		Pairs  int
	}
}

func readFixture(t *testing.T) fixture {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "scipy.json"))
	if err != nil {
		t.Fatal(err)
	}
	var f fixture
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	if len(f.Samples) == 0 || len(f.Needed) == 0 || len(f.Holm.P) == 0 {
		t.Fatal("the fixture is empty")
	}
	return f
}

func TestAgainstSciPy(t *testing.T) {
	f := readFixture(t)
	for _, s := range f.Samples {
		if got := s.Differences.SignFlip(); !near(got, s.P, 1e-12) {
			t.Errorf("%s: p = %g, SciPy has %g", s.Name, got, s.P)
		}
		if got := s.Differences.StdDev(); !near(got, s.StdDev, 1e-12) {
			t.Errorf("%s: standard deviation %g, NumPy has %g", s.Name, got, s.StdDev)
		}
		if got := s.Differences.Effect(); !near(got, s.Effect, 1e-12) {
			t.Errorf("%s: effect %g, NumPy has %g", s.Name, got, s.Effect)
		}
		for i, d := range s.Differences {
			for level, want := range map[float64][2]float64{0.95: s.Intervals[i], 0.99: s.Wider[i]} {
				if low, high := Interval(d, level); !near(low, want[0], 1e-8) || !near(high, want[1], 1e-8) {
					t.Errorf("%s: interval %d at %g is %g to %g, SciPy has %v", s.Name, i, level, low, high, want)
				}
			}
		}
	}
	for i, got := range Holm(f.Holm.P) {
		if !near(got, f.Holm.Adjusted[i], 1e-12) {
			t.Errorf("Holm's p-value %d is %g, statsmodels has %g", i, got, f.Holm.Adjusted[i])
		}
	}
	for _, n := range f.Needed {
		apart := math.Sqrt(0.5)
		got := Sample{{n.Effect - apart, n.Effect + apart}}.PairsNeeded(0.05)
		if got < n.Pairs-1 || got > n.Pairs+1 {
			t.Errorf("effect %g needs %d pairs, by the noncentral t distribution %d", n.Effect, got, n.Pairs)
		}
	}
}

// The sums of halves give what counting all assignments one by one gives, whatever the number of pairs.
func TestSignFlipCountsAll(t *testing.T) {
	d := []float64{0.5, -0.25, 0.75, 1, 0, 0.5, -1.5, 2, 0.25, 0.125, -0.5}
	for n := 1; n <= len(d); n++ {
		observed := 0.0
		for _, v := range d[:n] {
			observed += v
		}
		count := 0
		for signs := range 1 << n {
			sum := 0.0
			for i, v := range d[:n] {
				if signs>>i&1 == 1 {
					v = -v
				}
				sum += v
			}
			if math.Abs(sum) >= math.Abs(observed) {
				count++
			}
		}
		if got, want := (Sample{d[:n]}).SignFlip(), float64(count)/math.Exp2(float64(n)); got != want {
			t.Errorf("%d pairs: p = %g, want %g", n, got, want)
		}
	}
}

// Beyond what is counted, p is drawn: close to the count, the same every time, and never 0.
func TestSignFlipDraws(t *testing.T) {
	d := slices.Repeat([]float64{0.5, -0.25, 0.75, -1, 0.125}, 4)
	least := 1.0
	exact, drawn := 2*exactShare(d, least), drawnShare(d, least)
	if math.Abs(exact-drawn) > 0.002 || drawn != drawnShare(d, least) {
		t.Errorf("drawn %g, counted %g", drawn, exact)
	}
	same := Sample{slices.Repeat([]float64{1}, mostExact+1)}
	if got, want := same.SignFlip(), SmallestP(mostExact+1); got != want {
		t.Errorf("p = %g for %d differences of 1, want %g", got, mostExact+1, want)
	}
}

func TestSmallestP(t *testing.T) {
	for _, n := range []int{1, 2, 5, 15} {
		if got, want := (Sample{slices.Repeat([]float64{0.5}, n)}).SignFlip(), SmallestP(n); got != want {
			t.Errorf("%d pairs: p = %g, the smallest is %g", n, got, want)
		}
	}
	if got := SmallestP(15); math.Abs(got-6.1e-5) > 1e-6 {
		t.Errorf("smallest p of three budgets with five seeds is %g, want 6.1e-5", got)
	}
}

// As many seeds as are needed show the difference in about 80 % of cases, also where budgets differ more than seeds do and
// where the test is one of many.
func TestPairsNeeded(t *testing.T) {
	for _, c := range []struct {
		means []float64 // of the budgets; seeds spread by 1
		level float64
	}{
		{[]float64{1}, 0.05},
		{[]float64{0, 4, 5}, 0.05 / 21},
		{[]float64{0.5, 1.5, 2.5}, 0.05 / 21},
	} {
		apart := math.Sqrt(0.5)
		var known Sample
		for _, mean := range c.means {
			known = append(known, []float64{mean - apart, mean + apart})
		}
		pairs := known.PairsNeeded(c.level)
		random := rand.New(rand.NewPCG(1, 2))
		const trials = 2000
		found := 0
		for range trials {
			drawn := make(Sample, len(c.means))
			for i := range pairs {
				b := i % len(c.means)
				drawn[b] = append(drawn[b], c.means[b]+random.NormFloat64())
			}
			if drawn.SignFlip() <= c.level {
				found++
			}
		}
		if share := float64(found) / trials; share < 0.7 || share > 0.93 {
			t.Errorf("means %v at the level %.4f: %d pairs show the difference in %.0f %% of cases, want about 80 %%",
				c.means, c.level, pairs, 100*share)
		}
	}
}

func TestLittleData(t *testing.T) {
	one := Sample{{0.5}, {}}
	low, high := Interval(one[0], 0.95)
	if !math.IsNaN(one.StdDev()) || !math.IsNaN(low) || !math.IsNaN(high) || one.SignFlip() != 1 || one.Pairs() != 1 {
		t.Errorf("one pair: deviation %g, interval %g to %g, p %g", one.StdDev(), low, high, one.SignFlip())
	}
	same := Sample{{0, 0, 0}}
	if same.SignFlip() != 1 || same.PairsNeeded(0.05) != 0 {
		t.Errorf("no difference: p %g, %d pairs needed", same.SignFlip(), same.PairsNeeded(0.05))
	}
	if n := (Sample{{1e-12 - 1, 1e-12 + 1}}).PairsNeeded(0.05); n != 0 {
		t.Errorf("hardly a difference: %d pairs needed", n)
	}
	if p := (Sample{}).SignFlip(); p != 1 {
		t.Errorf("no pair: p %g", p)
	}
}
