// Package results turns the records of finished cells into frames, figures and a report.
//
// A cell is one (network, dataset, method, budget, seed) of an experiment. Its record is the only truth; everything
// else is derived from the records, holds no number of its own and can be thrown away and made again: records become
// gota frames ([Frame], [Layers], [Timing]), and statistics, figures and report are computed from the frames
// ([WriteAll]).
package results
