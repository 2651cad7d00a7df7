package device

import "time"

// Timer is an Executable that can tell what its runs spend their time on.
type Timer interface {
	// StartClocks measures the runs from now on. Clocks cost a little; without them runs are as fast as ever.
	StartClocks()
	// StopClocks ends that and returns the time since StartClocks by kind of work, waiting included.
	StopClocks() []Spent
}

// Spent is the time that runs spent on one kind of work.
type Spent struct {
	Work  string
	Time  time.Duration // of all threads together
	FLOPs int64         // multiply-adds of that work for all its images, of shapes without padding; 0 if none are counted
}
