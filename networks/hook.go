package networks

// Hook takes part in a training: pruners use it to penalize or to mask parameters. It must depend on nothing but the
// state that Epoch or Resume has shown it, so that a training that goes on after an interruption gives the same network.
type Hook interface {
	// Epoch is called before each epoch e = 0, 1, … and once more, with their number, after the last.
	Epoch(e int, s State) error
	// Resume is called instead where a training goes on within an epoch.
	Resume(s State) error
	// Step is called after each step with its learning rate.
	Step(s State, rate float64) error
}

// State is the parameters of a network and their velocities while it is trained, by the names of Tensors.
type State interface {
	Load(name string, dst []float32) error
	Write(name string, src []float32) error
}
