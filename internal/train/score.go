package train

import (
	"context"

	"netadjust/internal/data"
)

// Logits runs all images through the network and returns what it gives each class, [images, classes].
func (e *Evaluator) Logits(ctx context.Context) ([]float32, error) {
	clear(e.rates)
	var all []float32
	err := e.each(ctx, 0, e.asTheyAre, nil, func(p *pass) error {
		if err := p.machine.RunAll(); err != nil {
			return err
		}
		if err := p.machine.Read(p.graph.Logits, p.logits); err != nil {
			return err
		}
		all = append(all, p.logits...)
		return nil
	})
	return all, err
}

// Score is an evaluation by class.
type Score struct {
	Evaluation
	Top5    float64 // share of images whose class is among the five with the largest logits
	Classes []ClassScore
}

// ClassScore is the part of a score that comes from the images of one class.
type ClassScore struct {
	Images int
	Top1   float64 // 0 if there are no images
}

// ScoreOf scores the logits of images. Of equal logits the first counts as the largest.
func ScoreOf(logits []float32, images *data.Images) Score {
	n := images.Len()
	s := Score{Evaluation: Evaluation{Images: n}, Classes: make([]ClassScore, len(logits)/n)}
	top1, top5 := make([]int, len(s.Classes)), 0
	for i, label := range images.Labels {
		row := logits[i*len(s.Classes):][:len(s.Classes)]
		s.Loss += crossEntropy(row, uint32(label)) / float64(n)
		s.Classes[label].Images++
		before := rank(row, int(label))
		if before == 0 {
			top1[label]++
		}
		if before < 5 {
			top5++
		}
	}
	correct := 0
	for c := range s.Classes {
		correct += top1[c]
		if of := s.Classes[c].Images; of > 0 {
			s.Classes[c].Top1 = float64(top1[c]) / float64(of)
		}
	}
	s.Top1, s.Top5 = float64(correct)/float64(n), float64(top5)/float64(n)
	return s
}

// rank counts the classes that come before the label: those with a larger logit, and the first ones of equal logits.
func rank(logits []float32, label int) int {
	before := 0
	for j, z := range logits {
		if z > logits[label] || z == logits[label] && j < label {
			before++
		}
	}
	return before
}
