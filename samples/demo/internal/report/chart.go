// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/guptarohit/asciigraph"
	"github.com/olekukonko/tablewriter"

	"github.com/graylane/graylane/internal/testkit/ramp"
)

// Terminal reports that w is a screen, which takes colours and lines that are rewritten.
func Terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// Ramp draws the share of a newcomer against its curve and lists the slices.
func Ramp(w io.Writer, name string, slices []ramp.Slice) error {
	expected, observed := make([]float64, len(slices)), make([]float64, len(slices))
	for i, s := range slices {
		expected[i], observed[i] = 100*s.P, 100*s.Share()
	}
	const columns = 5 // of the chart for each slice
	options := []asciigraph.Option{
		asciigraph.Height(8), asciigraph.Width(min(columns*len(slices), 100)), asciigraph.LowerBound(0), asciigraph.Precision(0),
		asciigraph.SeriesChars(asciigraph.CreateCharSet("·"), asciigraph.DefaultCharSet),
		asciigraph.Caption(fmt.Sprintf("share of %s in percent over its first %.0f s: expected (dots), observed (line)", name, slices[len(slices)-1].To.Seconds())),
	}
	if Terminal(w) {
		options = append(options, asciigraph.SeriesColors(asciigraph.Default, asciigraph.Green))
	}
	if _, err := fmt.Fprintln(w, asciigraph.PlotMany([][]float64{expected, observed}, options...)); err != nil {
		return err
	}
	t := tablewriter.NewTable(w, layout())
	t.Header("age", "calls", "expected", "observed", "expected %", "observed %", "z")
	for _, s := range slices {
		err := t.Append(
			fmt.Sprintf("%.3g-%.3g s", s.From.Seconds(), s.To.Seconds()), strconv.Itoa(s.N),
			fmt.Sprintf("%.1f", float64(s.N)*s.P), strconv.Itoa(s.Observed),
			fmt.Sprintf("%.1f", 100*s.P), fmt.Sprintf("%.1f", 100*s.Share()), fmt.Sprintf("%+.2f", s.Z))
		if err != nil {
			return err
		}
	}
	return t.Render()
}
