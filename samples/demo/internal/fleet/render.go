// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"time"

	"gopkg.in/yaml.v3"
)

// Registry is where the fleet meets.
type Registry struct {
	Protocol string // dubbo-go's name: etcdv3, nacos or zookeeper
	Address  string // host:port
	Level    string // interface or application
}

// Settings are the places in which one instance's dubbogo.yml differs from the
// committed one.
type Settings struct {
	Registry     Registry
	Tag          string
	Port         int           // of the service, 0 for a pure consumer
	ProbePort    int           // of dubbo-go's probe server, 0 for none
	MetadataPort int           // of dubbo-go's metadata service, 0 for none
	Window       time.Duration // of the warm-up
	Timeout      time.Duration // of requests, 0 for the file's
	Private      string        // folder for what registry clients write
}

// Render reads a committed dubbogo.yml and returns it with the settings put in.
// Comments are lost, everything else stays.
func Render(file string, s Settings) ([]byte, error) {
	src, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("fleet: %w", err)
	}
	root := map[string]any{}
	if err := yaml.Unmarshal(src, &root); err != nil {
		return nil, fmt.Errorf("fleet: %s: %w", file, err)
	}
	e := editor{file: file, root: root}
	if s.Tag != "" {
		e.set(s.Tag, "dubbo", "application", "tag")
	}
	if s.MetadataPort != 0 {
		e.set(strconv.Itoa(s.MetadataPort), "dubbo", "application", "metadata-service-port")
	}
	if s.Port != 0 {
		protocol := append([]string{"dubbo", "protocols"}, e.only("tri", "dubbo", "protocols"))
		e.set("127.0.0.1", append(protocol, "ip")...)
		e.set(strconv.Itoa(s.Port), append(protocol, "port")...)
	}
	if s.ProbePort != 0 {
		e.set(true, "dubbo", "metrics", "probe", "enabled")
		e.set(strconv.Itoa(s.ProbePort), "dubbo", "metrics", "probe", "port")
	}
	if s.Window > 0 {
		e.set(s.Window.String(), "dubbo", "custom", "config-map", "graylane", "warmup", "window")
	}
	if s.Timeout > 0 {
		e.set(s.Timeout.String(), "dubbo", "consumer", "request-timeout")
	}
	e.set(registry(s), "dubbo", "registries", e.only("shop", "dubbo", "registries"))
	if e.err != nil {
		return nil, e.err
	}
	return yaml.Marshal(root)
}

func registry(s Settings) map[string]any {
	m := map[string]any{
		"protocol": s.Registry.Protocol,
		"address":  s.Registry.Address,
		"timeout":  "5s",
	}
	// dubbo-go's names of the two levels.
	m["registry-type"] = map[string]string{"interface": "interface", "application": "service"}[s.Registry.Level]
	if s.Registry.Protocol == "nacos" {
		m["params"] = map[string]any{"cacheDir": s.Private, "logDir": s.Private}
	}
	return m
}

// editor changes a tree of maps; the first fault sticks.
type editor struct {
	file string
	root map[string]any
	err  error
}

func (e *editor) at(path ...string) map[string]any {
	m := e.root
	for i, key := range path {
		switch next := m[key].(type) {
		case map[string]any:
			m = next
		case nil:
			sub := map[string]any{}
			m[key] = sub
			m = sub
		default:
			if e.err == nil {
				e.err = fmt.Errorf("fleet: %s: %v: got %T, want a map", e.file, path[:i+1], next)
			}
			return map[string]any{}
		}
	}
	return m
}

func (e *editor) set(v any, path ...string) {
	e.at(path[:len(path)-1]...)[path[len(path)-1]] = v
}

// only returns the one key of the map at path, or name if it has none.
func (e *editor) only(name string, path ...string) string {
	keys := slices.Sorted(maps.Keys(e.at(path...)))
	switch len(keys) {
	case 0:
		return name
	case 1:
		return keys[0]
	}
	if e.err == nil {
		e.err = fmt.Errorf("fleet: %s: %v: got %v, want one entry", e.file, path, keys)
	}
	return keys[0]
}
