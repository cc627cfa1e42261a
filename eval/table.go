package eval

import (
	"strings"
	"unicode/utf8"
)

// Table is text in rows, all of the same number of cells, the first of them the heading.
type Table struct {
	Cells [][]string

	// Names is the number of columns, from the left, that hold names; the others hold numbers and
	// are aligned at their right.
	Names int
}

// Text returns the table as lines of aligned columns.
func (t Table) Text() string {
	widths := columnWidths(t.Cells)
	var out strings.Builder
	for _, row := range t.Cells {
		var line strings.Builder
		for c, cell := range row {
			if c > 0 {
				line.WriteString("  ")
			}
			line.WriteString(pad(cell, widths[c], c >= t.Names))
		}
		out.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return out.String()
}

// Markdown returns the table in Markdown.
func (t Table) Markdown() string {
	cells := make([][]string, len(t.Cells))
	for i, row := range t.Cells {
		for _, cell := range row {
			cells[i] = append(cells[i], strings.ReplaceAll(cell, "|", `\|`))
		}
	}
	widths := columnWidths(cells)
	var out strings.Builder
	for i, row := range cells {
		for c, cell := range row {
			out.WriteString("| " + pad(cell, widths[c], c >= t.Names) + " ")
		}
		out.WriteString("|\n")
		if i > 0 {
			continue
		}
		for c, width := range widths {
			if c < t.Names {
				out.WriteString("|:" + strings.Repeat("-", width+1))
			} else {
				out.WriteString("|" + strings.Repeat("-", width+1) + ":")
			}
		}
		out.WriteString("|\n")
	}
	return out.String()
}

// columnWidths returns the length in characters of the longest cell of each column.
func columnWidths(cells [][]string) []int {
	widths := make([]int, len(cells[0]))
	for _, row := range cells {
		for c, cell := range row {
			widths[c] = max(widths[c], utf8.RuneCountInString(cell))
		}
	}
	return widths
}

// pad returns cell filled with spaces to width characters, at its left where it is to stand at the right.
func pad(cell string, width int, right bool) string {
	fill := strings.Repeat(" ", width-utf8.RuneCountInString(cell))
	if right {
		return fill + cell
	}
	return cell + fill
}
