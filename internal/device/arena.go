package device

import (
	"cmp"
	"slices"
)

// Block is a piece of memory that is needed from step First to step Last.
type Block struct{ Size, First, Last int }

// PlanArena places blocks in one arena so that blocks whose lifetimes overlap do not overlap in memory, and returns
// their offsets and the arena's size. Large blocks are placed first, each in the lowest gap that holds it, which comes
// close to the largest sum of blocks alive at one step, the least that is possible.
func PlanArena(blocks []Block) (offsets []int, total int) {
	order := make([]int, len(blocks))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(blocks[b].Size, blocks[a].Size) })
	offsets = make([]int, len(blocks))
	var placed []int // by offset
	for _, i := range order {
		b, at := blocks[i], 0
		for _, j := range placed {
			other := blocks[j]
			if other.Last < b.First || b.Last < other.First {
				continue
			}
			if offsets[j] >= at+b.Size {
				break
			}
			at = max(at, offsets[j]+other.Size)
		}
		offsets[i] = at
		total = max(total, at+b.Size)
		at, _ = slices.BinarySearchFunc(placed, i, func(j, i int) int { return cmp.Compare(offsets[j], offsets[i]) })
		placed = slices.Insert(placed, at, i)
	}
	return offsets, total
}
