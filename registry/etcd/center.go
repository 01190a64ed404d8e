// SPDX-License-Identifier: Apache-2.0

package etcd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/config_center"
	"dubbo.apache.org/dubbo-go/v3/config_center/parser"
	gxset "github.com/dubbogo/gost/container/set"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// centerGroup is the group of Dubbo Java and dubbo-admin.
const centerGroup = config_center.DefaultGroup

// CenterFactory makes config centres.
type CenterFactory struct{}

var _ config_center.DynamicConfigurationFactory = CenterFactory{}

// GetDynamicConfiguration is [NewCenter].
func (CenterFactory) GetDynamicConfiguration(u *common.URL) (config_center.DynamicConfiguration, error) {
	return NewCenter(u)
}

// Center is a config centre on etcd (config-center: protocol: etcdv3), which
// dubbo-go does not have.
//
// A text is at {root}/{group}/{key}, as in Dubbo's ZooKeeper centre: /dubbo/config
// is the root, or /{namespace}/config where a namespace is set; the group is the
// caller's, else that of dubbogo.yml, else dubbo.
//
// Like the metadata report it has no end in dubbo-go: it holds the shared
// connection only while an operation runs or somebody listens.
type Center struct {
	layout
	url     *common.URL
	timeout time.Duration

	mu        sync.Mutex
	parser    parser.ConfigurationParser
	listeners map[string][]*centerWatch // by etcd key
}

var _ config_center.DynamicConfiguration = (*Center)(nil)

// layout is where the texts of one config centre are.
type layout struct {
	address address
	root    string
	group   string // where the caller names none
}

func layoutOf(u *common.URL) (layout, error) {
	a, err := addressOf(u)
	if err != nil {
		return layout{}, err
	}
	namespace := u.GetParam(constant.ConfigNamespaceKey, "dubbo")
	root := u.GetParam(constant.ConfigRootPathParamKey, namespace+"/config")
	return layout{address: a, root: "/" + strings.Trim(root, "/"), group: u.GetParam(constant.ConfigGroupKey, centerGroup)}, nil
}

func (l layout) path(group, key string) string {
	if group == "" {
		group = l.group
	}
	return l.root + "/" + group + "/" + key
}

// NewCenter returns the config centre of u: Location "host:port[,host:port]",
// parameters config-center.timeout (default 10s), .namespace and .group. It does not
// connect; an error means that u is wrong.
func NewCenter(u *common.URL) (*Center, error) {
	l, errLayout := layoutOf(u)
	timeout, errTimeout := durationOf(u, constant.ConfigTimeoutKey, 2*defaultTimeout)
	if err := errors.Join(errLayout, errTimeout); err != nil {
		return nil, err
	}
	return &Center{
		layout: l, url: u, timeout: timeout,
		parser:    &parser.DefaultConfigurationParser{},
		listeners: make(map[string][]*centerWatch),
	}, nil
}

// GetURL returns the URL that the centre was made of.
func (c *Center) GetURL() *common.URL { return c.url }

// Parser returns the parser of override rules.
func (c *Center) Parser() parser.ConfigurationParser {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.parser
}

// SetParser replaces the parser.
func (c *Center) SetParser(p parser.ConfigurationParser) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.parser = p
}

// do runs one operation on the shared connection, within the centre's timeout.
func (c *Center) do(operation func(context.Context, *clientv3.Client) error) error {
	s := acquire(c.address)
	defer s.release()
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	client, err := s.client(ctx)
	if err == nil {
		err = operation(ctx, client)
	}
	if err != nil {
		return fmt.Errorf("etcd: config centre %s: %w", c.address.endpoints, s.explain(err))
	}
	return nil
}

func optionGroup(opts []config_center.Option) string {
	return config_center.NewOptions(opts...).Center.Group
}

// GetProperties returns a text, "" if there is none. An empty key, which is what a
// dubbogo.yml without data-id asks for, has none and is not asked for.
func (c *Center) GetProperties(key string, opts ...config_center.Option) (string, error) {
	if key == "" {
		return "", nil
	}
	path := c.path(optionGroup(opts), key)
	var text string
	err := c.do(func(ctx context.Context, client *clientv3.Client) error {
		got, err := client.Get(ctx, path)
		if err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		if len(got.Kvs) > 0 {
			text = string(got.Kvs[0].Value)
		}
		return nil
	})
	return text, err
}

// GetRule is [Center.GetProperties].
func (c *Center) GetRule(key string, opts ...config_center.Option) (string, error) {
	return c.GetProperties(key, opts...)
}

// GetInternalProperty is [Center.GetProperties].
func (c *Center) GetInternalProperty(key string, opts ...config_center.Option) (string, error) {
	return c.GetProperties(key, opts...)
}

// PublishConfig writes a text; an empty group is the centre's own.
func (c *Center) PublishConfig(key, group, text string) error {
	path := c.path(group, key)
	return c.do(func(ctx context.Context, client *clientv3.Client) error {
		if _, err := client.Put(ctx, path, text); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
		return nil
	})
}

// RemoveConfig deletes a text; one that is not there is not an error.
func (c *Center) RemoveConfig(key, group string) error {
	path := c.path(group, key)
	return c.do(func(ctx context.Context, client *clientv3.Client) error {
		if _, err := client.Delete(ctx, path); err != nil {
			return fmt.Errorf("delete %s: %w", path, err)
		}
		return nil
	})
}

// GetConfigKeysByGroup returns the keys of a group, an empty set if there are none.
func (c *Center) GetConfigKeysByGroup(group string) (*gxset.HashSet, error) {
	prefix := c.path(group, "")
	keys := gxset.NewSet()
	err := c.do(func(ctx context.Context, client *clientv3.Client) error {
		got, err := client.Get(ctx, prefix, withPrefix, clientv3.WithKeysOnly())
		if err != nil {
			return fmt.Errorf("read %s: %w", prefix, err)
		}
		for _, kv := range got.Kvs {
			keys.Add(strings.TrimPrefix(string(kv.Key), prefix))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return keys, nil
}
