// SPDX-License-Identifier: Apache-2.0

package jvm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/graylane/graylane/internal/testkit/child"
)

// minJava is the oldest Java release that was tried.
const minJava = 17

// Missing says what this machine lacks to run a server: "java 17 or newer",
// "mvn", or both. It is nil when both are there.
func Missing() error {
	var errs []error
	if err := missingJava(); err != nil {
		errs = append(errs, err)
	}
	if _, err := exec.LookPath("mvn"); err != nil {
		errs = append(errs, errors.New("rig: mvn (Maven 3) not found"))
	}
	return errors.Join(errs...)
}

func missingJava() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "java", "-version").CombinedOutput()
	if err != nil {
		return fmt.Errorf("rig: java %d or newer not found: %w", minJava, err)
	}
	if got := javaRelease(string(out)); got < minJava {
		return fmt.Errorf("rig: java: got release %d, want %d or newer", got, minJava)
	}
	return nil
}

// javaRelease reads the release out of `java -version`: 17 from "17.0.15" and
// from "17-ea", 8 from "1.8.0_402", 0 if there is none.
func javaRelease(version string) int {
	m := regexp.MustCompile(`version "(?:1\.)?(\d+)`).FindStringSubmatch(version)
	if m == nil {
		return 0
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		return 0
	}
	return n
}

// ClassPath returns the class path of a pom's runtime dependencies, in the order
// that Maven gives; the order can matter. name is for the file that keeps it.
//
// The answer is kept in the user's cache folder, by the pom's hash, for as long
// as all jars it names are there: asking Maven costs seconds even when it has
// them. A file lock lets one process ask at a time, for a cold local repository
// is not made for several writers.
func ClassPath(ctx context.Context, name string, pom []byte) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	dir := filepath.Join(cache, "graylane")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return "", fmt.Errorf("rig: %w", err)
	}
	h := fnv.New64a()
	_, _ = h.Write(pom) // never fails
	path := filepath.Join(dir, fmt.Sprintf("%s-%016x.classpath", name, h.Sum64()))

	unlock, err := lockFile(path + ".lock")
	if err != nil {
		return "", fmt.Errorf("rig: %w", err)
	}
	defer unlock()
	if raw, err := os.ReadFile(path); err == nil && complete(string(raw)) {
		return string(raw), nil
	}
	return askMaven(ctx, path, pom)
}

// complete reports whether every jar of a class path exists.
func complete(classpath string) bool {
	if classpath == "" {
		return false
	}
	for _, jar := range filepath.SplitList(classpath) {
		if _, err := os.Stat(jar); err != nil {
			return false
		}
	}
	return true
}

// askMaven resolves the jars into the local repository and writes the class
// path to path.
func askMaven(ctx context.Context, path string, pom []byte) (string, error) {
	work, err := os.MkdirTemp("", "graylane-rig-")
	if err != nil {
		return "", fmt.Errorf("rig: %w", err)
	}
	defer func() { _ = os.RemoveAll(work) }() // a leftover harms nobody
	if err := os.WriteFile(filepath.Join(work, "pom.xml"), pom, 0o600); err != nil {
		return "", fmt.Errorf("rig: %w", err)
	}
	file := filepath.Join(work, "classpath")
	cmd := exec.CommandContext(ctx, "mvn", "-B", "-ntp", "-q", "-f", work,
		"org.apache.maven.plugins:maven-dependency-plugin:3.6.1:build-classpath",
		"-DincludeScope=runtime", "-Dmdep.outputFile="+file)
	cmd.WaitDelay = 5 * time.Second
	cmd.SysProcAttr = child.Attributes()
	cmd.Cancel = func() error { child.KillGroup(cmd.Process); return nil }
	runtime.LockOSThread() // the kernel ends Maven with the thread that started it
	defer runtime.UnlockOSThread()
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("rig: mvn: %w\n%s", err, strings.TrimSpace(string(out)))
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("rig: mvn wrote no class path: %w", err)
	}
	raw = bytes.TrimSpace(raw)
	if !complete(string(raw)) {
		return "", fmt.Errorf("rig: mvn left jars out of the class path: %s", raw)
	}
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		return "", fmt.Errorf("rig: %w", err)
	}
	return string(raw), nil
}
