package harness

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// pause is the time between two looks at a full disk, or at cells that another process runs.
const pause = 2 * time.Second

// patiently calls write, again and again as long as it fails because the disk is full, which the user can change.
func patiently(ctx context.Context, warn func(error), write func() error) error {
	for warned := false; ; warned = true {
		err := write()
		if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
			return err
		}
		if !warned {
			warn(fmt.Errorf("%w; waiting until there is space", err))
		}
		if !wait(ctx) {
			return err
		}
	}
}

// wait waits for space, and tells whether it did so to the end. It is a variable for tests.
var wait = func(ctx context.Context) bool { return sleep(ctx, pause) }

// sleep waits, and tells whether it did so to the end.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
