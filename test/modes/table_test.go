// SPDX-License-Identifier: Apache-2.0

package modes

import (
	"os"
	"strings"
	"testing"
)

// cell is what the table says, by protocol where they differ: "yes", or
// "yes (tri), no (dubbo)".
type cell string

func (c cell) of(protocol string) string {
	for part := range strings.SplitSeq(string(c), ", ") {
		if word, ok := strings.CutSuffix(part, " ("+protocol+")"); ok {
			return word
		}
	}
	return string(c)
}

// readTable reads the first table of docs/modes.md: its columns, and the cells by
// row and column.
func readTable(t *testing.T) (columns []string, rows map[string]map[string]cell) {
	t.Helper()
	text, err := os.ReadFile("../../docs/modes.md")
	if err != nil {
		t.Fatal(err)
	}
	rows = make(map[string]map[string]cell)
	for line := range strings.SplitSeq(string(text), "\n") {
		if !strings.HasPrefix(line, "|") {
			if len(rows) > 0 {
				break
			}
			continue
		}
		parts := strings.Split(strings.Trim(line, "|"), "|")
		for n := range parts {
			parts[n] = strings.TrimSpace(parts[n])
		}
		switch {
		case columns == nil:
			columns = parts[1:]
		case strings.HasPrefix(parts[0], "---"):
		default:
			row := make(map[string]cell)
			for n, column := range columns {
				row[column] = cell(parts[n+1])
			}
			rows[parts[0]] = row
		}
	}
	return columns, rows
}
