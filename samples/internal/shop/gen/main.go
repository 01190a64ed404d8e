// SPDX-License-Identifier: Apache-2.0

// Command gen turns .proto files into Go without protoc: the files are
// compiled by github.com/bufbuild/protocompile, messages are written by
// protoc-gen-go, services by the small Triple generator in this folder.
//
// All three come from modules pinned in go.mod, so the same input gives the
// same bytes on every machine. Output goes beside each .proto file.
//
// Usage, from the module root or below:
//
//	go run ./samples/internal/shop/gen path/to/file.proto ...
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(files []string) error {
	if len(files) == 0 {
		return errors.New("usage: gen file.proto")
	}
	for _, f := range files {
		dir, name := filepath.Split(f)
		req, err := request(dir, name)
		if err != nil {
			return err
		}
		messages, err := protocGenGo(req)
		if err != nil {
			return err
		}
		services, err := triple(req)
		if err != nil {
			return err
		}
		for _, resp := range []*pluginpb.CodeGeneratorResponse{messages, services} {
			if err := write(dir, resp); err != nil {
				return err
			}
		}
	}
	return nil
}

// request compiles one file and wraps it as protoc would for its plugins.
func request(dir, name string) (*pluginpb.CodeGeneratorRequest, error) {
	c := protocompile.Compiler{
		Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{dir}}),
		// Comments of the .proto file become comments of the Go code.
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	compiled, err := c.Compile(context.Background(), name)
	if err != nil {
		return nil, err
	}
	fd := compiled.FindFileByPath(name)
	if fd.Imports().Len() > 0 {
		return nil, fmt.Errorf("%s: imports are not supported", name)
	}
	return &pluginpb.CodeGeneratorRequest{
		FileToGenerate: []string{name},
		Parameter:      proto.String("paths=source_relative"),
		ProtoFile:      []*descriptorpb.FileDescriptorProto{protodesc.ToFileDescriptorProto(fd)},
	}, nil
}

// protocGenGo runs the plugin of the google.golang.org/protobuf version in go.mod.
func protocGenGo(req *pluginpb.CodeGeneratorRequest) (*pluginpb.CodeGeneratorResponse, error) {
	in, err := proto.Marshal(req)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("go", "run", "google.golang.org/protobuf/cmd/protoc-gen-go")
	cmd.Stdin = bytes.NewReader(in)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("protoc-gen-go: %w", err)
	}
	resp := new(pluginpb.CodeGeneratorResponse)
	return resp, proto.Unmarshal(out, resp)
}

// triple runs the service generator of this folder.
func triple(req *pluginpb.CodeGeneratorRequest) (*pluginpb.CodeGeneratorResponse, error) {
	plugin, err := protogen.Options{}.New(req)
	if err != nil {
		return nil, err
	}
	for _, f := range plugin.Files {
		if f.Generate && len(f.Services) > 0 {
			if err := generateTriple(plugin, f); err != nil {
				return nil, err
			}
		}
	}
	return plugin.Response(), nil
}

func write(dir string, resp *pluginpb.CodeGeneratorResponse) error {
	if resp.Error != nil {
		return errors.New(resp.GetError())
	}
	for _, f := range resp.File {
		path := filepath.Join(dir, filepath.Base(f.GetName()))
		if err := os.WriteFile(path, []byte(f.GetContent()), 0o644); err != nil {
			return err
		}
	}
	return nil
}
