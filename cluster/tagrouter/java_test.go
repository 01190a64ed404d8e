// SPDX-License-Identifier: Apache-2.0

package tagrouter

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/graylane/graylane/internal/testkit/need"
	"github.com/graylane/graylane/test/rig/java"
)

const copyDependencies = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"

// question is one line for testdata/java/Answers.java, with what we say it answers.
type question struct{ name, line, want string }

// TestDubboJava asks Dubbo Java itself, from Maven, for the last column of the
// table, for what compat java gives in random worlds, and for the addresses.
func TestDubboJava(t *testing.T) {
	need.Long(t, "starts Maven and a JVM")
	need.Part(t, java.Missing())
	dir := t.TempDir()
	// Maven without a repository that has Dubbo is a missing part, too.
	need.Part(t, run(t, "mvn", "-q", "-B", "-f", "testdata/java/pom.xml", copyDependencies, "-DoutputDirectory="+filepath.Join(dir, "lib")))
	questions := append(ofTable(), ofAddresses()...)
	seed := rand.Uint64()
	random := ofRandomWorlds(t, seed)
	questions = append(questions, random...)

	lines := make([]string, len(questions))
	for n, q := range questions {
		lines[n] = q.line
	}
	if err := os.WriteFile(filepath.Join(dir, "questions"), []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	lib := filepath.Join(dir, "lib", "*") + string(os.PathListSeparator) + dir
	for _, args := range [][]string{
		{"javac", "-cp", lib, "-d", dir, "testdata/java/Answers.java"},
		{"java", "-cp", lib, "Answers", filepath.Join(dir, "questions"), filepath.Join(dir, "answers")},
	} {
		if err := run(t, args[0], args[1:]...); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "answers"))
	if err != nil {
		t.Fatal(err)
	}
	answers := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(answers) != len(questions) {
		t.Fatalf("%d answers to %d questions", len(answers), len(questions))
	}
	asked := 0
	for n, q := range questions {
		switch answers[n] {
		case q.want:
			asked++
		case "refused": // a tag of v3.0 with neither addresses nor match is a nil pointer there
		default:
			t.Errorf("seed %d: %s: Dubbo Java answers %s, we say %s\n%s", seed, q.name, answers[n], q.want, q.line)
		}
	}
	t.Logf("%d of %d questions agree", asked, len(questions))
	if asked < len(questions)/2 {
		t.Errorf("only %d of %d questions could be asked", asked, len(questions))
	}
}

func run(t *testing.T, name string, args ...string) error {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%.4000s", name, err, out)
	}
	return nil
}

// routing makes the question where a call goes, by the rule of the first instance's
// application.
func routing(rules string, words []member, wanted string, force bool) string {
	text := ""
	for part := range strings.SplitSeq(rules, "||") {
		app, short, ok := strings.Cut(part, ">")
		if !ok {
			app, short = provider, part
		}
		if strings.TrimSpace(app) == words[0].app && strings.TrimSpace(short) != "" {
			text = ruleText(short)
		}
	}
	fields := []string{"route", base64.StdEncoding.EncodeToString([]byte(text)), wanted, strconv.FormatBool(force)}
	for n, m := range words {
		u := "tri://" + address(n) + "/com.shop.Order?application=" + m.app + "&dubbo.tag=" + m.tag
		fields = append(fields, u+"&"+m.query)
	}
	return strings.Join(fields, "\t")
}

func ofTable() (list []question) {
	for _, tc := range table {
		if tc.fleet == "" || tc.opt.UntaggedAny { // a setting of ours
			continue
		}
		var words []member
		for word := range strings.FieldsSeq(tc.fleet) {
			words = append(words, read(word))
		}
		list = append(list, question{tc.name, routing(tc.rules, words, tc.wanted, tc.force), tc.java})
	}
	return list
}

func ofRandomWorlds(t *testing.T, seed uint64) (list []question) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 2))
	for range 300 {
		w, rules := randomWorld(t, r)
		if len(w.words) == 0 {
			continue
		}
		var text []string
		for app, m := range w.rules {
			text = append(text, app+"> "+m.text())
		}
		s := Build(w.list, Options{Ramp: ramp, Rules: rules, Java: true})
		for _, wanted := range append(someTags, "", "c", "a|c", "a|b|c|d", "gray|x") {
			for _, force := range []bool{false, true} {
				want := none
				if d, err := s.Route(wanted, force); err == nil {
					want = served(w.list, d)
				}
				list = append(list, question{w.text, routing(strings.Join(text, "||"), w.words, wanted, force), want})
			}
		}
	}
	return list
}

// ofAddresses are the rows whose instance has an IP address: names would be asked
// of DNS.
func ofAddresses() (list []question) {
	for _, tc := range addressTable {
		at, err := netip.ParseAddrPort(tc.instance)
		if err != nil {
			continue
		}
		line := strings.Join([]string{"address", tc.expression, at.Addr().String(), strconv.Itoa(int(at.Port()))}, "\t")
		list = append(list, question{tc.expression, line, strconv.FormatBool(tc.want != (tc.java != ""))})
	}
	return list
}
