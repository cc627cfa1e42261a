package main

import "slices"

// nearest returns the known name that differs from another by the fewest letters, "" where none is like it.
func nearest(name string, known map[string]bool) string {
	best, least := "", 1+max(1, len(name)/3)
	for k, is := range known {
		if d := distance(name, k); is && (d < least || d == least && best != "" && k < best) {
			best, least = k, d
		}
	}
	return best
}

// distance is the number of letters to be inserted, left out or replaced between two names (Levenshtein 1966).
func distance(a, b string) int {
	row := make([]int, len(b)+1) // distances of a[:i] from b[:j]
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := slices.Clone(row)
		row[0] = i + 1
		for j := range len(b) {
			replaced := before[j]
			if a[i] != b[j] {
				replaced++
			}
			row[j+1] = min(before[j+1]+1, row[j]+1, replaced)
		}
	}
	return row[len(b)]
}
