// SPDX-License-Identifier: Apache-2.0

package shop

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// childDB, if set, makes the test binary a writer that is to be killed.
const childDB = "SHOP_TEST_CHILD_DB"

func TestMain(m *testing.M) {
	if path := os.Getenv(childDB); path != "" {
		writeForEver(path)
	}
	os.Exit(m.Run())
}

// writeForEver records one row after the other and says so on stdout after
// each.
func writeForEver(path string) {
	e, err := OpenExecutions(context.Background(), path)
	if err != nil {
		panic(err)
	}
	for i := 0; ; i++ {
		if err := e.Record(context.Background(), fmt.Sprintf("r%d", i), "order-1", time.Now()); err != nil {
			panic(err)
		}
		fmt.Println(i)
	}
}

type row struct {
	request, instance string
	at                int64
}

// rows reads a file as a stranger would: by a connection of its own.
func rows(t *testing.T, path string) []row {
	t.Helper()
	db, err := sql.Open("sqlite", dsn(path))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	rs, err := db.QueryContext(t.Context(), `SELECT request_id, instance, at FROM executions ORDER BY rowid`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rs.Close() }()
	var out []row
	for rs.Next() {
		var r row
		if err := rs.Scan(&r.request, &r.instance, &r.at); err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	if err := rs.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func open(t *testing.T, path string) *Executions {
	t.Helper()
	e, err := OpenExecutions(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestExecutionsShowDuplicates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b?.db") // a name that a URL would misread
	e := open(t, path)
	at := time.Unix(1, 5)
	for range 2 {
		if err := e.Record(t.Context(), "r1", "order-1", at); err != nil {
			t.Fatal(err)
		}
	}
	want := row{"r1", "order-1", 1_000_000_005}
	if got := rows(t, path); len(got) != 2 || got[0] != want || got[1] != want {
		t.Errorf("rows = %v, want %v twice", got, want)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}

	// A second process start on the same file appends.
	e = open(t, path)
	defer func() { _ = e.Close() }()
	if err := e.Record(t.Context(), "r2", "order-1", at); err != nil {
		t.Fatal(err)
	}
	if got := rows(t, path); len(got) != 3 || got[2].request != "r2" {
		t.Errorf("rows after a restart = %v, want r1, r1, r2", got)
	}
}

func TestExecutionsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "o.db")
	e := open(t, path)
	defer func() { _ = e.Close() }()
	var mode string
	if err := e.db.QueryRowContext(t.Context(), `PRAGMA journal_mode`).Scan(&mode); err != nil || mode != "wal" {
		t.Errorf("journal_mode = %q, %v, want wal", mode, err)
	}
	var sync int
	if err := e.db.QueryRowContext(t.Context(), `PRAGMA synchronous`).Scan(&sync); err != nil || sync != 1 {
		t.Errorf("synchronous = %d, %v, want 1 (NORMAL)", sync, err)
	}
	var indexes int
	if err := e.db.QueryRowContext(t.Context(), `SELECT count(*) FROM sqlite_master WHERE type = 'index'`).Scan(&indexes); err != nil || indexes != 0 {
		t.Errorf("indexes = %d, %v, want none", indexes, err)
	}
}

func TestRecordFinishesAfterItsContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "o.db")
	e := open(t, path)
	defer func() { _ = e.Close() }()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.Record(ctx, "r1", "order-1", time.Now()); err != nil {
		t.Fatal(err)
	}
	if got := rows(t, path); len(got) != 1 {
		t.Errorf("rows = %v, want one", got)
	}
}

func TestRecordConcurrently(t *testing.T) {
	path := filepath.Join(t.TempDir(), "o.db")
	e := open(t, path)
	defer func() { _ = e.Close() }()
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			if err := e.Record(t.Context(), fmt.Sprintf("r%d", i), "order-1", time.Now()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	for _, r := range rows(t, path) {
		seen[r.request] = true
	}
	if len(seen) != 100 {
		t.Errorf("got %d requests, want 100", len(seen))
	}
}

// A row that Record has returned for is there after kill -9.
func TestKillLosesNoRow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "o.db")
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childDB+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	const kill = 300
	said := 0
	for lines := bufio.NewScanner(out); lines.Scan(); said++ {
		if said == kill {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the child ended by itself, want killed")
	}
	if said <= kill {
		t.Fatalf("the child said %d rows, want more than %d", said, kill)
	}
	// One more may have been committed and not said.
	if got := len(rows(t, path)); got < said || got > said+1 {
		t.Errorf("%d rows in the file, %d were reported as written", got, said)
	}
}

func TestOpenExecutionsFails(t *testing.T) {
	if _, err := OpenExecutions(t.Context(), filepath.Join(t.TempDir(), "none", "o.db")); err == nil {
		t.Error("a file in a folder that does not exist was opened")
	}
}
