// SPDX-License-Identifier: Apache-2.0

package nacos

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/metadata/info"

	"github.com/graylane/graylane/internal/testkit/need"
	rig "github.com/graylane/graylane/test/rig/nacos"
)

// folderEnv makes the test binary a process that uses all there is of Nacos, at the
// address that it holds.
const folderEnv = "GRAYLANE_NACOS_FOLDERS"

// useAll registers, publishes metadata and reads settings, says so, and stays until
// its input is closed.
func useAll(address string) {
	check := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
	}
	enable()
	r, err := extension.GetRegistry(Name, registryURL(address))
	check(err)
	check(r.Register(provider("com.shop.Folders", "tri", os.Getpid())))
	metadata := extension.GetMetadataReportFactory(Name).CreateMetadataReport(registryURL(address, constant.ClientNameKey, "report"))
	check(metadata.PublishAppMetadata("folders", strconv.Itoa(os.Getpid()), info.NewMetadataInfo("folders", "")))
	centers, err := extension.GetConfigCenterFactory(Name)
	check(err)
	center, err := centers.GetDynamicConfiguration(registryURL(address, constant.ClientNameKey, "center"))
	check(err)
	check(center.PublishConfig("folders", "dubbo", "a: b"))
	for err = fs.ErrNotExist; err != nil; time.Sleep(20 * time.Millisecond) { // the server takes a moment; the test gives up first
		_, err = center.GetProperties("folders")
	}
	_, err = fmt.Fprintln(os.Stdout, "up")
	check(err)
	_, err = io.Copy(io.Discard, os.Stdin)
	check(err)
}

// testFolders: two processes run in one working folder.
//  1. Both use the registry, the metadata report and the config centre.
//  2. Nothing is in the working folder, or beside the executable, where dubbo-go and
//     the SDK would write.
//  3. Each has its folder among the temporary files; nobody else has one.
func testFolders(t *testing.T, s *rig.Server) { //nolint:thelper // TestNacos lists it: it is the test itself
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin, work, tmp := t.TempDir(), t.TempDir(), t.TempDir()
	exe := filepath.Join(bin, "program") // beside it nobody else writes
	need.Part(t, os.Symlink(self, exe))  // not every system lets everybody make links
	// 1
	var owners []string
	for range 2 {
		cmd := exec.Command(exe)
		cmd.Dir, cmd.Stderr = work, os.Stderr
		cmd.Env = append(os.Environ(), folderEnv+"="+s.Address(), "TMPDIR="+tmp)
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() {
			_ = in.Close() // that ends it
			_ = cmd.Wait()
		}()
		said := ""
		for lines := bufio.NewScanner(out); said != "up" && lines.Scan(); {
			said = lines.Text()
		}
		if said != "up" {
			t.Fatalf("a process said %q in the end, want up", said)
		}
		owners = append(owners, strconv.Itoa(cmd.Process.Pid))
	}
	// 2
	for dir, want := range map[string][]string{work: nil, bin: {"program"}} {
		if got := files(t, dir); !slices.Equal(got, want) {
			t.Errorf("in %s: %q, want %q", dir, got, want)
		}
	}
	// 3
	of := map[string]int{}
	for _, f := range files(t, tmp) {
		parts := strings.Split(f, string(filepath.Separator))
		if parts[0] != "graylane-nacos-"+strconv.Itoa(os.Getuid()) || len(parts) < 3 || !slices.Contains(owners, parts[1]) {
			t.Errorf("%s: nobody's folder", f)
			continue
		}
		of[parts[1]]++
	}
	for _, pid := range owners {
		if of[pid] == 0 {
			t.Errorf("process %s wrote nothing into its folder: %v", pid, of)
		}
	}
}

// files lists what lies in a folder and below, without the folders.
func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		names = append(names, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
