// SPDX-License-Identifier: Apache-2.0

package zookeeper

import (
	"context"
	"encoding/base64"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"

	"github.com/graylane/graylane/internal/center"
)

const (
	// session is what we ask for; the server bounds it. A shorter one finds a dead
	// server sooner, a longer one survives a longer outage without reading again.
	session = 10 * time.Second
	// defaultGiveUp is how long a client may be without a session, or owe an answer,
	// before it is ended and another one made: a server that has lost its data turns
	// away clients that have seen more than it has, for ever and without a word to
	// their watches; one that accepts and does not answer, as ZooKeeper may while it
	// starts, is waited for by the client for 67 s.
	defaultGiveUp = 15 * time.Second
	// java is the group of Dubbo Java and dubbo-admin, and dubbo-go's where no
	// namespace is set.
	java = "dubbo"
)

// rules is a [center.Source] on a session of its own.
type rules struct {
	client
	groups []string
	root   string
	base64 bool
}

var _ center.Source = (*rules)(nil)

// newRules reads what dubbo-go's own config centre reads: address, namespace,
// and the parameters config-center.root-path and base64.
func newRules(u *common.URL) (*rules, error) {
	r := &rules{client: client{session: session, giveUp: defaultGiveUp}, root: "/" + strings.Trim(u.GetParam(constant.ConfigRootPathParamKey, "/dubbo/config"), "/")}
	var err error
	if r.servers, err = serversOf(u.Location); err != nil {
		return nil, err
	}
	if text := u.GetParam("base64", ""); text != "" {
		if r.base64, err = strconv.ParseBool(text); err != nil {
			return nil, fmt.Errorf("params.base64: got %q, want true or false", text)
		}
	}
	// dubbo-go reads rules in the folder of its namespace, whatever the group.
	r.groups = slices.Compact([]string{u.GetParam(constant.ConfigNamespaceKey, java), java})
	return r, nil
}

// Groups implements [center.Source].
func (r *rules) Groups() []string { return r.groups }

// Follow implements [center.Source].
func (r *rules) Follow(ctx context.Context, group, key string, tell func(text string)) {
	node := path.Join(r.root, group, key)
	r.followNode(ctx, node, "the last known rule stays in use", func(raw []byte) { tell(r.decode(raw)) })
}

// decode returns the text of a node. What is not base64 stays as it is: the decoder
// of rules says what is wrong with it.
func (r *rules) decode(raw []byte) string {
	if r.base64 {
		if text, err := base64.StdEncoding.DecodeString(string(raw)); err == nil {
			return string(text)
		}
	}
	return string(raw)
}

// Check implements [center.Source].
func (r *rules) Check(ctx context.Context) error { return r.check(ctx) }

// Close implements [center.Source].
func (r *rules) Close() { r.close() }
