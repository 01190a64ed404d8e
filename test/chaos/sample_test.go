// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// signalSample asks a child what it holds; by default the system ignores it.
const signalSample = syscall.SIGWINCH

// saySample is its answer, a sample in JSON.
const saySample = "CHAOS SAMPLE "

// sample is what a process holds at a moment, after a collection. Linux only.
type sample struct {
	At          time.Time
	Goroutines  int
	Workers     int   // of these, idle ones of getty's pool
	Heap        int64 // bytes of live objects
	Private     int64 // bytes of memory that no file stands behind: heap, stacks, the runtime's own
	Descriptors int
	Connections []connection
}

// connection is a TCP socket with a peer.
type connection struct {
	Local, Remote int // ports
	Open          bool
}

// sampleOnSignal answers signalSample as long as the process lives.
func sampleOnSignal() {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, signalSample)
	go func() {
		for range asked {
			s, err := takeSample()
			fail(err)
			s.Workers, err = writeStacks()
			fail(err)
			b, err := json.Marshal(s)
			fail(err)
			say(saySample + string(b))
		}
	}()
}

// stacksName is the file in a child's folder that tells, by the last sample, where its
// goroutines are.
const stacksName = "goroutines.txt"

// writeStacks writes that, and returns how many of them are idle workers.
func writeStacks() (workers int, err error) {
	var b bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&b, 1); err != nil {
		return 0, err
	}
	for group := range strings.SplitSeq(b.String(), "\n\n") { // "37 @ 0x… 0x…", then a line a frame, the innermost first
		count, frames, ok := strings.Cut(group, " @ ")
		if _, first, _ := strings.Cut(frames, "\n"); ok && strings.Contains(firstLine(first), "(*taskPoolSimple).worker") {
			count = count[strings.LastIndexByte(count, '\n')+1:] // the first group has a title
			n, err := strconv.Atoi(count)
			if err != nil {
				return 0, err
			}
			workers += n
		}
	}
	return workers, os.WriteFile(stacksName, b.Bytes(), 0o600)
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

func takeSample() (s sample, err error) {
	s.At = time.Now()
	runtime.GC() // empties pools
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s.Heap, s.Goroutines = int64(m.HeapAlloc), runtime.NumGoroutine()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return s, err
	}
	_, rest, _ := strings.Cut(string(status), "RssAnon:")
	if _, err := fmt.Sscanf(rest, "%d", &s.Private); err != nil {
		return s, fmt.Errorf("status: RssAnon: %w", err)
	}
	s.Private <<= 10 // it is in KiB
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return s, err
	}
	s.Descriptors = len(files)
	sockets := map[string]bool{}
	for _, f := range files {
		if target, err := os.Readlink(filepath.Join("/proc/self/fd", f.Name())); err == nil {
			sockets[strings.TrimSuffix(strings.TrimPrefix(target, "socket:["), "]")] = true
		}
	}
	for _, table := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		text, err := os.ReadFile(table)
		if err != nil {
			return s, err
		}
		for _, line := range strings.Split(string(text), "\n")[1:] {
			if c, inode, ok := parseConnection(line); ok && sockets[inode] {
				s.Connections = append(s.Connections, c)
			}
		}
	}
	return s, nil
}

// parseConnection reads a line of /proc/net/tcp; ok is false for a listener.
func parseConnection(line string) (c connection, inode string, ok bool) {
	const established, listening = "01", "0A"
	f := strings.Fields(line)
	if len(f) < 10 || f[3] == listening {
		return c, "", false
	}
	return connection{port(f[1]), port(f[2]), f[3] == established}, f[9], true
}

// port is that of 0100007F:1F90.
func port(address string) int {
	_, hex, _ := strings.Cut(address, ":")
	n, err := strconv.ParseUint(hex, 16, 16)
	fail(err)
	return int(n)
}
