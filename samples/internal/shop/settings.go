// SPDX-License-Identifier: Apache-2.0

package shop

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"gopkg.in/yaml.v3"
)

// Settings are the few values of a dubbogo.yml that a program itself needs.
type Settings struct {
	Path string // the file they come from
	App  string // dubbo.application.name
	Port string // dubbo.protocols.tri.port, "" without

	// Timeout is dubbo.consumer.request-timeout, above 0; 0 without. The gateway
	// gives that much to a whole request.
	Timeout time.Duration
}

// ConfPath returns flagValue, or else the committed file conf/name of the
// program, so that `go run ./samples/user` works at the top of the repository
// and `go run .` in samples/user.
func ConfPath(program, name, flagValue string) string {
	if flagValue != "" {
		return flagValue
	}
	path := filepath.Join("samples", program, "conf", name)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	return filepath.Join("conf", name)
}

// ReadSettings reads a dubbogo.yml. It reports a missing file, YAML that does
// not parse (with its line), an application without a name and a timeout that
// is none; the meaning of all other keys is Dubbo's and Graylane's business.
func ReadSettings(path string) (Settings, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return Settings{}, fmt.Errorf("configuration: %w", err)
	}
	var conf struct {
		Dubbo struct {
			Application struct {
				Name string `yaml:"name"`
			} `yaml:"application"`
			Protocols map[string]struct {
				Port string `yaml:"port"`
			} `yaml:"protocols"`
			Consumer struct {
				Timeout *time.Duration `yaml:"request-timeout"`
			} `yaml:"consumer"`
		} `yaml:"dubbo"`
	}
	if err := yaml.Unmarshal(src, &conf); err != nil {
		return Settings{}, fmt.Errorf("configuration %s: %w", path, oneLine(err))
	}
	s := Settings{Path: path, App: conf.Dubbo.Application.Name, Port: conf.Dubbo.Protocols["tri"].Port}
	if s.App == "" {
		return Settings{}, fmt.Errorf("configuration %s: dubbo.application.name: got none, want the service's name", path)
	}
	if t := conf.Dubbo.Consumer.Timeout; t != nil {
		if *t <= 0 {
			return Settings{}, fmt.Errorf("configuration %s: dubbo.consumer.request-timeout: got %s, want above 0s", path, *t)
		}
		s.Timeout = *t
	}
	return s, nil
}

// oneLine shortens yaml's list of type errors to its first, which is enough
// to find the place.
func oneLine(err error) error {
	var te *yaml.TypeError
	if errors.As(err, &te) && len(te.Errors) > 0 {
		return errors.New("yaml: " + te.Errors[0])
	}
	return err
}
