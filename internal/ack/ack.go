// SPDX-License-Identifier: Apache-2.0

// Package ack lets a caller over Triple tell a provider that it has heard of its
// leave, or that it ends itself.
//
// That NOT_SERVING was written to a health Watch proves nothing: the kernel of a caller
// that hangs takes it, too, and the Watch stays open. So the caller answers: a health
// Check with its name and the mark that it heeds, see [From]. To dubbo-go and others it
// is a Check like any.
package ack

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/global"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	dubbotls "dubbo.apache.org/dubbo-go/v3/tls"

	"github.com/graylane/graylane/filter/tag"
)

// path is a health Check, empty the gRPC message without content: it asks for the server
// as a whole.
const (
	path  = "/grpc.health.v1.Health/Check"
	empty = "\x00\x00\x00\x00\x00"
)

// Send says to the provider at u, a URL as references have it, that caller (the value of
// graylane-caller) sends nothing more to the given incarnation: for this has said that it
// leaves ([tag.StateClosing]), or because the caller ends ([tag.StateGone]). It has a
// connection of its own, for dubbo-go lends none, which is closed when Send returns.
func Send(ctx context.Context, u *common.URL, caller, state, incarnation string) error {
	var own lines
	defer own.close()
	scheme, transport := "http", &http.Transport{Protocols: new(http.Protocols), DialContext: own.dial(ctx)}
	config, err := secured(u)
	switch {
	case err != nil:
		return err
	case config != nil:
		scheme, transport.TLSClientConfig = "https", config
		transport.Protocols.SetHTTP2(true)
	default:
		transport.Protocols.SetUnencryptedHTTP2(true)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, scheme+"://"+u.Location+path, bytes.NewReader([]byte(empty)))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/grpc+proto")
	req.Header.Set("TE", "trailers")
	req.Header.Set(tag.KeyCaller, caller)
	req.Header.Set(tag.KeyState, state+";"+incarnation)
	res, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<10))
	err = errors.Join(err, res.Body.Close())
	if res.StatusCode != http.StatusOK {
		err = errors.Join(err, fmt.Errorf("ack: %s", res.Status))
	}
	return err
}

// secured returns the TLS settings of a reference, nil if it has none.
func secured(u *common.URL) (*tls.Config, error) {
	raw, ok := u.GetAttribute(constant.TLSConfigKey)
	if !ok {
		return nil, nil //nolint:nilnil // no TLS
	}
	own, ok := raw.(*global.TLSConfig)
	if !ok || !dubbotls.IsClientTLSValid(own) {
		return nil, nil //nolint:nilnil // as dubbo-go's client sees it
	}
	return dubbotls.GetClientTlSConfig(own)
}

// From returns what a request, such as a health Check, says of its sender: its name and
// [tag.StateClosing] or [tag.StateGone]; both are "" if it says nothing to this incarnation.
func From(inv base.Invocation, incarnation string) (caller, state string) {
	said, ok := inv.GetAttachment(tag.KeyState)
	if !ok {
		return "", ""
	}
	state, to, _ := strings.Cut(said, ";")
	if to != incarnation || state != tag.StateClosing && state != tag.StateGone {
		return "", ""
	}
	caller, _ = inv.GetAttachment(tag.KeyCaller)
	return caller, state
}
