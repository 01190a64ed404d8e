// SPDX-License-Identifier: Apache-2.0

package shop

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite", in pure Go
)

// Executions is an append-only list of handler starts in a SQLite file: one
// row per start, in the table
//
//	executions(request_id TEXT, instance TEXT, at INTEGER)
//
// with at in Unix nanoseconds. There is no unique index: a request that was
// executed twice must show as two rows. Each process writes its own file.
//
// A row is committed before Record returns. The file is in WAL mode with
// synchronous=NORMAL: a commit is one write to the WAL, which the kernel keeps
// when the process is killed (kill -9 loses no row), and costs no fsync; only
// a power failure could lose the latest rows, and never damage the file.
//
// An Executions is safe for concurrent use; one connection writes.
type Executions struct {
	db     *sql.DB
	insert *sql.Stmt
}

// OpenExecutions opens the file at path and makes it where there is none.
func OpenExecutions(ctx context.Context, path string) (*Executions, error) {
	db, err := sql.Open("sqlite", dsn(path, "journal_mode(WAL)", "synchronous(NORMAL)", "busy_timeout(2000)"))
	if err != nil {
		return nil, fmt.Errorf("shop: executions %s: %w", path, err)
	}
	db.SetMaxOpenConns(1)
	e := &Executions{db: db}
	const table = `CREATE TABLE IF NOT EXISTS executions (request_id TEXT NOT NULL, instance TEXT NOT NULL, at INTEGER NOT NULL)`
	if _, err = db.ExecContext(ctx, table); err == nil {
		e.insert, err = db.PrepareContext(ctx, `INSERT INTO executions (request_id, instance, at) VALUES (?, ?, ?)`)
	}
	if err != nil {
		db.Close() //nolint:errcheck // the first error is the one to report
		return nil, fmt.Errorf("shop: executions %s: %w", path, err)
	}
	return e, nil
}

// dsn names the file at path to the driver, which takes a bare path for part
// of a URL.
func dsn(path string, pragmas ...string) string {
	u := url.URL{Scheme: "file", Opaque: url.PathEscape(path), RawQuery: url.Values{"_pragma": pragmas}.Encode()}
	return u.String()
}

// Record notes that instance began to execute a request. It finishes even if
// ctx has ended: the handler has started, so the row must be there.
func (e *Executions) Record(ctx context.Context, requestID, instance string, at time.Time) error {
	if _, err := e.insert.ExecContext(context.WithoutCancel(ctx), requestID, instance, at.UnixNano()); err != nil {
		return fmt.Errorf("shop: record execution of %q: %w", requestID, err)
	}
	return nil
}

// Close closes the file.
func (e *Executions) Close() error { return e.db.Close() }
