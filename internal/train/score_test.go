package train

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netadjust/internal/data"
)

// TestScoreOf checks what is worked out by hand: six classes, of which the fourth has no image. Of equal logits the
// first counts as the largest.
func TestScoreOf(t *testing.T) {
	logits := []float32{
		9, 1, 2, 3, 4, 5, // class 0: the largest
		9, 1, 2, 3, 4, 5, // class 1: the last of six
		0, 5, 5, 1, 1, 1, // class 2: second, behind an equal one
		0, 0, 0, 0, 0, 0, // class 5: the last of equal ones
		0, 0, 0, 0, 0, 0, // class 4: the fifth of equal ones
		7, 6, 5, 4, 3, 2, // class 0
	}
	got := ScoreOf(logits, &data.Images{Labels: []int32{0, 1, 2, 5, 4, 0}})
	loss := 0.
	for i, label := range []int{0, 1, 2, 5, 4, 0} {
		sum := 0.
		for _, z := range logits[6*i : 6*i+6] {
			sum += math.Exp(float64(z) - float64(logits[6*i+label]))
		}
		loss += math.Log(sum) / 6
	}
	if math.Abs(got.Loss-loss) > 1e-12 {
		t.Errorf("loss %v, want %v", got.Loss, loss)
	}
	got.Loss = 0
	want := Score{
		Evaluation: Evaluation{Top1: 2. / 6, Images: 6}, Top5: 4. / 6,
		Classes: []ClassScore{{2, 1}, {1, 0}, {1, 0}, {0, 0}, {1, 0}, {1, 0}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("score (-want +got):\n%s", diff)
	}
}

// TestLogits checks that the logits of all batches are those that an evaluation scores.
func TestLogits(t *testing.T) {
	images := digits(t, 0, 131)
	e := evaluatorOf(t, 2, images, true)
	logits, err := e.Logits(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	checkClose(t, "score of the logits", ScoreOf(logits, images).Evaluation, evaluate(t, e))
}
