// SPDX-License-Identifier: Apache-2.0

package books

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// Execution is one row that an order process wrote when its handler ran.
type Execution struct {
	RequestID string
	Process   string // which incarnation's table it was found in
	At        time.Time
}

// ReadExecutions reads the table of one order process. It may still be writing,
// or dead by kill -9: rows are read from the write-ahead log as well. A process
// that never got as far as making its file has no rows.
func ReadExecutions(ctx context.Context, process, file string) ([]Execution, error) {
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	db, err := sql.Open("sqlite", dsn(file))
	if err != nil {
		return nil, fmt.Errorf("books: %s: %w", file, err)
	}
	defer db.Close() //nolint:errcheck // nothing was written
	rows, err := db.QueryContext(ctx, "SELECT request_id, at FROM executions")
	if err != nil {
		return nil, fmt.Errorf("books: %s: %w", file, err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err is asked below
	var out []Execution
	for rows.Next() {
		e := Execution{Process: process}
		var at any
		if err := rows.Scan(&e.RequestID, &at); err != nil {
			return nil, fmt.Errorf("books: %s: %w", file, err)
		}
		if e.At, err = moment(at); err != nil {
			return nil, fmt.Errorf("books: %s: request %s: at: %w", file, e.RequestID, err)
		}
		out = append(out, e)
	}
	return out, rows.Err()
}

// dsn names the file to the driver; the path may hold any character.
func dsn(file string) string {
	return (&url.URL{Scheme: "file", Opaque: url.PathEscape(file), RawQuery: "_pragma=busy_timeout(5000)"}).String()
}

// moment reads a time column: Unix nanoseconds, or RFC 3339.
func moment(v any) (time.Time, error) {
	switch t := v.(type) {
	case int64:
		return time.Unix(0, t), nil
	case time.Time:
		return t, nil
	case string:
		return time.Parse(time.RFC3339Nano, t)
	}
	return time.Time{}, fmt.Errorf("got %T, want Unix nanoseconds or RFC 3339", v)
}
