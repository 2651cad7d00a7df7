package harness

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"netadjust/experiments"
	"netadjust/internal/device"
	"netadjust/internal/host"
	"netadjust/internal/progress"
)

// A run whose computation takes less than so many FLOPs on each core, some minutes, is not worth a measurement.
const worthMeasuring = 20e12

// better is by how much fewer jobs with more threads have to be faster: more jobs end more evenly.
const better = 1.05

// chooseJobs chooses how many cells run at a time where the user has not: as many as there are cores, as a job of one
// thread waits for nobody; unless fewer with more threads compute the longest cell faster, since they share the cache
// and the memory better, or there is not the memory.
func (r *run) chooseJobs(ctx context.Context) error {
	if r.Jobs > 0 || len(r.queue) == 0 {
		return nil
	}
	jobs, err := fastestJobs(ctx, r.queue, r.account.total, r.Device)
	if err != nil || jobs == r.jobs {
		return err
	}
	r.jobs, r.threads = jobs, threadsOf(jobs)
	r.print(progress.Event{Kind: progress.Note, Message: fmt.Sprintf(
		"%d cells at a time with %d threads each, which is faster here than one for each core, or all there is memory for",
		r.jobs, r.threads)})
	return nil
}

// fastestJobs is the number of jobs that run cells, which take so many FLOPs, the fastest.
func fastestJobs(ctx context.Context, cells []*cell, flops int64, open func(threads int) (device.Device, error)) (int, error) {
	cores := runtime.GOMAXPROCS(0)
	most := max(min(cores, len(cells)), 1)
	if most == 1 || float64(flops) < worthMeasuring*float64(cores) {
		return most, nil
	}
	longest := cells[0]
	for _, c := range cells {
		if c.planned() > longest.planned() {
			longest = c
		}
	}
	need := memories{}.of(longest)
	m, known := host.ReadMemory()
	best, rate := 1, 0.0
	for jobs := 1; ; jobs = min(2*jobs, most) {
		if jobs > 1 && known && float64(need)*float64(jobs) > usable*float64(m.Free) {
			break
		}
		s, err := measure(ctx, longest, jobs, open)
		if err != nil {
			return 0, err
		}
		if now := float64(jobs) / s.training; now*better > rate {
			best, rate = jobs, max(now, rate)
		}
		if jobs == most {
			break
		}
	}
	return best, nil
}

// Jobs is how many cells of an experiment run at the same time if the user does not say.
func Jobs(ctx context.Context, e *experiments.Experiment, open func(threads int) (device.Device, error)) (int, error) {
	cells, err := prepareAll(e)
	if err != nil {
		return 0, err
	}
	var flops int64
	for _, c := range cells {
		flops += c.planned()
	}
	return fastestJobs(ctx, cells, flops, open)
}

// measuredTime is about how long a step may take that is measured, at a usual speed.
const measuredTime = time.Second

// usualSpeed is that of a core, in FLOPs a second.
const usualSpeed = 30e9

// batchToMeasure is the cell's own, or less where a step would take long.
func batchToMeasure(c *cell, flops float64) int {
	most := int(measuredTime.Seconds() * usualSpeed / (trainingPasses * flops))
	return max(min(c.Train.Batch, most), min(c.Train.Batch, 8))
}

// timesToMeasure is how often something of so many FLOPs is measured: often where it is short, as a processor that has
// rested is faster for a moment.
func timesToMeasure(flops float64) int {
	return int(min(max(measuredTime.Seconds()*usualSpeed/4/flops, 3), 50))
}
