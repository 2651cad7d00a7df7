package device

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPlanArena(t *testing.T) {
	// A chain a -> b -> c needs two blocks at a time; c takes the place of a.
	offsets, total := PlanArena([]Block{{10, 0, 1}, {10, 1, 2}, {10, 2, 3}})
	if diff := cmp.Diff([]int{0, 10, 0}, offsets); diff != "" || total != 20 {
		t.Errorf("offsets %v in %d, want [0 10 0] in 20", offsets, total)
	}
	if _, total := PlanArena(nil); total != 0 {
		t.Errorf("no blocks take %d", total)
	}
}

// TestPlanArenaRandom checks random plans: nothing that is alive at the same time overlaps, and the arena is at most half
// as large again as what is alive at once.
func TestPlanArenaRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		blocks := make([]Block, 1+r.IntN(60))
		for i := range blocks {
			first := r.IntN(40)
			blocks[i] = Block{Size: 1 + r.IntN(1000), First: first, Last: first + r.IntN(20)}
		}
		offsets, total := PlanArena(blocks)
		peak := 0
		for step := range 60 {
			alive := 0
			for i, a := range blocks {
				if step < a.First || step > a.Last {
					continue
				}
				alive += a.Size
				for j, b := range blocks[:i] {
					if step >= b.First && step <= b.Last && offsets[i] < offsets[j]+b.Size && offsets[j] < offsets[i]+a.Size {
						t.Fatalf("blocks %d and %d overlap: %+v at %d, %+v at %d", i, j, a, offsets[i], b, offsets[j])
					}
				}
			}
			peak = max(peak, alive)
		}
		if total < peak || total > peak*3/2 {
			t.Errorf("arena of %d for at most %d alive at once", total, peak)
		}
	}
}
