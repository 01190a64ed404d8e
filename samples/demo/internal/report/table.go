// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"io"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/tw"
)

// Table prints rows as they come.
type Table struct{ t *tablewriter.Table }

// Widths of the columns, padding included.
const stepWidth, verdictWidth, factsWidth = 22, 8, 92

// NewTable starts a table with its heading.
func NewTable(w io.Writer) (*Table, error) {
	t := tablewriter.NewTable(w, layout(),
		tablewriter.WithRendition(tw.Rendition{Settings: tw.Settings{Separators: tw.Separators{BetweenRows: tw.On}}}),
		tablewriter.WithStreaming(tw.StreamConfig{Enable: true}),
		tablewriter.WithColumnWidths(tw.NewMapper[int, int]().Set(0, stepWidth).Set(1, verdictWidth).Set(2, factsWidth)))
	if err := t.Start(); err != nil {
		return nil, err
	}
	t.Header("step", "", "what was seen")
	return &Table{t}, nil
}

// Add prints one row.
func (t *Table) Add(r Row) error {
	return t.t.Append(fmt.Sprintf("%d %s", r.Step, r.Name), r.Verdict(), r.text())
}

// Close ends the table.
func (t *Table) Close() error { return t.t.Close() }

func layout() tablewriter.Option {
	return tablewriter.WithConfig(tablewriter.Config{
		Header: tw.CellConfig{
			Formatting: tw.CellFormatting{AutoFormat: tw.Off},
			Alignment:  tw.CellAlignment{Global: tw.AlignLeft},
		},
		Row: tw.CellConfig{
			Formatting: tw.CellFormatting{AutoWrap: tw.WrapNormal, AutoFormat: tw.Off},
			Alignment:  tw.CellAlignment{Global: tw.AlignLeft},
		},
	})
}

// Compare prints the rows of two runs side by side.
func Compare(w io.Writer, plain, ours []Row) error {
	const width = 62
	t := tablewriter.NewTable(w, layout(),
		tablewriter.WithColumnWidths(tw.NewMapper[int, int]().Set(0, stepWidth).Set(1, width).Set(2, width)),
		tablewriter.WithRendition(tw.Rendition{Settings: tw.Settings{Separators: tw.Separators{BetweenRows: tw.On}}}))
	t.Header("step", "plain dubbo-go", "Graylane")
	for i := range max(len(plain), len(ours)) {
		name, left, right := "", "", ""
		if i < len(plain) {
			name, left = plain[i].title(), plain[i].text()
		}
		if i < len(ours) {
			name, right = ours[i].title(), ours[i].Verdict()+"\n"+ours[i].text()
		}
		if err := t.Append(name, left, right); err != nil {
			return err
		}
	}
	return t.Render()
}

func (r Row) title() string { return fmt.Sprintf("%d %s", r.Step, r.Name) }
