package kernel

import "time"

// Peak measures the multiply-add throughput of one core with the instructions of the set, in GFLOP/s: a loop on
// registers only, the best of short runs that take about the given time together.
func (s *Set) Peak(seconds float64) float64 {
	const rounds = 20000
	var best float64
	for start := time.Now(); best == 0 || time.Since(start).Seconds() < seconds; {
		t := time.Now()
		s.peak(rounds)
		best = max(best, rounds*s.peakFLOPs/1e9/time.Since(t).Seconds())
	}
	return best
}
