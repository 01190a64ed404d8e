// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"gopkg.in/yaml.v3"
)

// settings are the gateway's own, from gateway.yml.
type settings struct {
	// Timeout bounds a whole request. Above 0; default 1s.
	Timeout time.Duration `yaml:"timeout"`
	Ingress yaml.Node     `yaml:"ingress"`
}

func readSettings(path string) (settings, error) {
	s := settings{Timeout: time.Second}
	src, err := os.ReadFile(path) //nolint:gosec // the user names the file
	if err != nil {
		return s, fmt.Errorf("configuration: %w", err)
	}
	dec := yaml.NewDecoder(bytes.NewReader(src))
	dec.KnownFields(true)
	if err := dec.Decode(&s); err != nil {
		return s, fmt.Errorf("configuration %s: %w", path, err)
	}
	if s.Timeout <= 0 {
		return s, fmt.Errorf("configuration %s: timeout: got %s, want above 0s", path, s.Timeout)
	}
	return s, nil
}

func (s settings) colour() (func(http.Handler) http.Handler, error) {
	return func(h http.Handler) http.Handler { return h }, nil
}

func lanePath(context.Context) string { return "gateway" }
