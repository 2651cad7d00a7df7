package adjustment

import (
	"fmt"
	"math"
	"slices"

	"netadjust/internal/search"
)

// ended returns why a search has nothing more to find after update u, which follows those before it, and "" if it has:
//
//   - The ratios of all pairs of layers that are to move differ by no more than their standard errors, so the update
//     would follow noise. It is taken back.
//   - The widths are those of an earlier network: from there the search goes on as it has before, but for the random
//     numbers of its trainings.
//
// The paper makes a fixed number of updates.
func ended(u *search.Update, before []search.Update) string {
	if withinErrors(u) {
		u.Grown, u.Shrunk, u.Next = nil, nil, u.Channels
		return fmt.Sprintf("the ratios of update %d differ by no more than their standard errors", len(before)+1)
	}
	if slices.Equal(u.Next, u.Channels) {
		return fmt.Sprintf("update %d leaves the widths as they are", len(before)+1)
	}
	for k, b := range before {
		if slices.Equal(u.Next, b.Channels) {
			return fmt.Sprintf("update %d leads back to the widths before update %d", len(before)+1, k+1)
		}
	}
	return ""
}

// withinErrors tells whether every layer that grows has a ratio that is no more above that of the layer that shrinks
// with it than the standard error of their difference. The errors over the images count, which hold those over the
// repeats.
func withinErrors(u *search.Update) bool {
	pairs := min(len(u.Grown), len(u.Shrunk))
	if pairs == 0 || u.FURImageStdErr == nil {
		return false
	}
	for j := range pairs {
		up, down := u.Grown[j], u.Shrunk[j]
		if u.FUR[up]-u.FUR[down] > math.Hypot(u.FURImageStdErr[up], u.FURImageStdErr[down]) {
			return false
		}
	}
	return true
}
