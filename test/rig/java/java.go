// SPDX-License-Identifier: Apache-2.0

// Package java makes providers and consumers of Dubbo Java 3.3.6 for tests.
//
// The jars come from Maven's default repository (about 45 MB the first time, then from
// the local one), the two programs in src are compiled with javac: it needs Java 17 or
// newer with its compiler, and Maven 3: see [Missing]. Classes are kept in the user's
// cache folder, by the hash of what they were made from.
//
// [Command] gives the command line of a program; the caller starts it as any other
// process. What a program takes and says stands at the head of its source.
package java

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/graylane/graylane/test/rig/internal/jvm"
)

//go:embed pom.xml
var pom []byte

//go:embed src
var sources embed.FS

// The programs.
const (
	Provider = "rig.Provider"
	Consumer = "rig.Consumer"
)

// Missing says what this machine lacks: "java 17 or newer", "mvn", "javac", or several.
// It is nil when all are there.
func Missing() error {
	err := jvm.Missing()
	if _, no := exec.LookPath("javac"); no != nil {
		err = errors.Join(err, errors.New("rig: javac (of a JDK) not found"))
	}
	return err
}

// Command returns the command line of a program with its settings. The first call of a
// machine asks Maven and compiles; ctx bounds that. It may be called concurrently.
func Command(ctx context.Context, program string, settings map[string]string) ([]string, error) {
	if err := Missing(); err != nil {
		return nil, err
	}
	jars, err := jvm.ClassPath(ctx, "dubbo-java", pom)
	if err != nil {
		return nil, err
	}
	classes, err := compiled(ctx, jars)
	if err != nil {
		return nil, err
	}
	argv := []string{
		"java",
		"-Xms32m", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", // starts fast
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true",
		"-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
		"-cp", classes + string(os.PathListSeparator) + jars, program,
	}
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		argv = append(argv, key+"="+settings[key])
	}
	return argv, nil
}

// compiled returns the folder of the classes, which it makes where it is missing: in a
// folder of its own, renamed when it is whole, so that several processes may try at once.
func compiled(ctx context.Context, jars string) (string, error) {
	h := fnv.New64a()
	_, _ = h.Write(pom) // never fails
	var files []string
	err := fs.WalkDir(sources, "src", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := sources.ReadFile(path)
		_, _ = h.Write([]byte(path)) // never fails
		_, _ = h.Write(text)
		files = append(files, path)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("rig: %w", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	cache = filepath.Join(cache, "graylane")
	dir := filepath.Join(cache, fmt.Sprintf("dubbo-java-%016x.classes", h.Sum64()))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(cache, 0o750); err != nil {
		return "", fmt.Errorf("rig: %w", err)
	}
	work, err := os.MkdirTemp(cache, "javac-")
	if err != nil {
		return "", fmt.Errorf("rig: %w", err)
	}
	defer func() { _ = os.RemoveAll(work) }() // a leftover harms nobody
	if err := os.CopyFS(work, sources); err != nil {
		return "", fmt.Errorf("rig: %w", err)
	}
	out := filepath.Join(work, "classes")
	argv := []string{"-proc:none", "-parameters", "-nowarn", "-cp", jars, "-d", out}
	for _, path := range files {
		argv = append(argv, filepath.Join(work, path))
	}
	cmd := exec.CommandContext(ctx, "javac", argv...)
	cmd.WaitDelay = 5 * time.Second
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("rig: javac: %w\n%s", err, text)
	}
	if err := os.Rename(out, dir); err != nil {
		if _, there := os.Stat(dir); there != nil { // else another process was first
			return "", fmt.Errorf("rig: %w", err)
		}
	}
	return dir, nil
}
