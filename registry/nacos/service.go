// SPDX-License-Identifier: Apache-2.0

package nacos

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"reflect"
	"slices"
	"strconv"

	"github.com/nacos-group/nacos-sdk-go/v2/common/remote/rpc/rpc_request"
	"github.com/nacos-group/nacos-sdk-go/v2/model"

	"github.com/graylane/graylane/internal/shell"
)

// service is what this process registers under one service name: Nacos keeps one
// publication per service and connection, a single instance or a batch, and each
// replaces the one before. So all instances are published together, and one is
// taken out by publishing the others.
type service struct {
	want map[string]published // by host:port: what shall be there
	has  map[string]published // what the server holds by its last answer
	on   *conn                // the connection that has is about
	done bool                 // has is certain: the last request was answered
}

// published is one instance, and the object that registered it.
type published struct {
	owner    any
	instance model.Instance
}

func place(i model.Instance) string { return net.JoinHostPort(i.Ip, strconv.FormatUint(i.Port, 10)) }

// settled reports whether the server holds over c what is wanted.
func (v *service) settled(c *conn) bool {
	return v.on == c && v.done && maps.EqualFunc(v.want, v.has, func(a, b published) bool {
		return reflect.DeepEqual(a.instance, b.instance)
	})
}

// put registers an instance and keeps it registered. If that cannot be done before
// ctx ends, the error says why and the former state is wanted again.
func (s *shared) put(ctx context.Context, owner any, key serviceKey, i model.Instance) error {
	at := place(i)
	s.mu.Lock()
	if s.ctx.Err() != nil {
		s.mu.Unlock()
		return shell.ErrDestroyed
	}
	v := s.services[key]
	if v == nil {
		v = &service{want: make(map[string]published), has: make(map[string]published)}
		s.services[key] = v
	}
	before, had := v.want[at]
	v.want[at] = published{owner, i}
	s.start()
	s.mu.Unlock()
	s.wake()

	err := s.wait(ctx, func() bool {
		got, ok := v.has[at]
		return ok && v.on == s.now && s.now != nil && v.done && reflect.DeepEqual(got.instance, i)
	})
	if err == nil {
		return nil
	}
	s.mu.Lock()
	if p := v.want[at]; p.owner == owner && reflect.DeepEqual(p.instance, i) {
		if had {
			v.want[at] = before
		} else {
			delete(v.want, at) // the request may have been executed although nobody answered
		}
	}
	s.mu.Unlock()
	s.wake()
	return err
}

// remove takes an instance of owner out and returns when it is gone. If that cannot
// be told before ctx ends, the error says why; it goes on in the background. While
// there is no connection nothing is registered: Nacos forgets with the connection.
func (s *shared) remove(ctx context.Context, owner any, key serviceKey, at string) error {
	s.mu.Lock()
	v := s.services[key]
	if v == nil || v.want[at].owner != owner || s.ctx.Err() != nil {
		s.mu.Unlock()
		return nil
	}
	delete(v.want, at)
	s.mu.Unlock()
	s.wake()
	return s.wait(ctx, func() bool {
		_, there := v.has[at]
		return s.now == nil || v.on != s.now || v.done && !there
	})
}

// removeAll takes everything of owner out.
func (s *shared) removeAll(ctx context.Context, owner any) error {
	type entry struct {
		key serviceKey
		at  string
	}
	var mine []entry
	s.mu.Lock()
	for key, v := range s.services {
		for at, p := range v.want {
			if p.owner == owner {
				mine = append(mine, entry{key, at})
				delete(v.want, at)
			}
		}
	}
	s.mu.Unlock()
	if len(mine) == 0 {
		return nil
	}
	s.wake()
	return s.wait(ctx, func() bool {
		for _, e := range mine {
			v := s.services[e.key]
			if v == nil || s.now == nil || v.on != s.now {
				continue
			}
			if _, there := v.has[e.at]; there || !v.done {
				return false
			}
		}
		return true
	})
}

// publish makes the server hold what is wanted of one service. Only the keeper calls it.
func (s *shared) publish(ctx context.Context, c *conn, key serviceKey, v *service) error {
	s.mu.Lock()
	want := maps.Clone(v.want)
	if v.on != c {
		v.on, v.done = c, true
		clear(v.has)
	}
	last := maps.Clone(v.has)
	v.done = false
	s.mu.Unlock()

	list := make([]model.Instance, 0, len(want))
	for _, at := range slices.Sorted(maps.Keys(want)) {
		list = append(list, want[at].instance)
	}
	var r rpc_request.IRequest
	switch len(list) {
	case 0:
		gone := model.Instance{Ephemeral: true}
		for _, p := range last {
			gone = p.instance
		}
		r = rpc_request.NewInstanceRequest(s.address.namespace, key.name, key.group, "deregisterInstance", gone)
	case 1: // as any client would; servers before 2.1 know no batch
		r = rpc_request.NewInstanceRequest(s.address.namespace, key.name, key.group, "registerInstance", list[0])
	default:
		r = rpc_request.NewBatchInstanceRequest(s.address.namespace, key.name, key.group, "batchRegisterInstance", list)
	}
	_, err := s.send(ctx, c, r)

	s.mu.Lock()
	defer s.mu.Unlock()
	var no *refusal
	switch {
	case err == nil:
		v.has, v.done = want, true
		return nil
	case errors.As(err, &no):
		v.done = true // the server did nothing: it still holds what it held
	default:
		maps.Copy(v.has, want) // perhaps
	}
	return fmt.Errorf("register %d instances of %s: %w", len(list), key, err)
}
