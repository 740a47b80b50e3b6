package config

import "slices"

// nearest returns the candidate with the smallest edit distance to word, if it
// is near enough to be what was meant.
func nearest(word string, candidates []string) (string, bool) {
	best, bestDistance := "", len(word)/2+2
	for _, c := range candidates {
		if d := editDistance(word, c); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best, best != ""
}

// editDistance counts the insertions, deletions, replacements and swaps of
// neighbours, in bytes, that make b of a.
func editDistance(a, b string) int {
	const longest = 100 // bytes; no key of ours comes near
	if len(a) > longest || len(b) > longest {
		return max(len(a), len(b))
	}
	var before, above []int // the rows i-2 and i-1
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, above, row = above, row, make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(above[j]+1, row[j-1]+1, above[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}

func contains(list []string, s string) bool { return slices.Contains(list, s) }

func sorted(list []string) []string {
	out := slices.Clone(list)
	slices.Sort(out)
	return out
}
