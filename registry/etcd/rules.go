// SPDX-License-Identifier: Apache-2.0

package etcd

import (
	"context"
	"slices"

	"dubbo.apache.org/dubbo-go/v3/common"

	"github.com/graylane/graylane/internal/center"
)

// ruleSource follows rules where a [Center] of the same URL has them.
type ruleSource struct{ layout }

var _ center.Source = ruleSource{}

func newRuleSource(u *common.URL) (center.Source, error) {
	l, err := layoutOf(u)
	if err != nil {
		return nil, err
	}
	return ruleSource{l}, nil
}

// Groups implements [center.Source].
func (s ruleSource) Groups() []string { return slices.Compact([]string{s.group, centerGroup}) }

// Follow implements [center.Source].
func (s ruleSource) Follow(ctx context.Context, group, key string, tell func(text string)) {
	followText(ctx, s.address, s.path(group, key), tell)
}

// Check implements [center.Source].
func (s ruleSource) Check(ctx context.Context) error {
	return check(ctx, "config centre", s.address.endpoints)
}

// Close implements [center.Source].
func (s ruleSource) Close() {}
