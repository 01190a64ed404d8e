// SPDX-License-Identifier: Apache-2.0

package nacos

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/nacos-group/nacos-sdk-go/v2/model"

	"github.com/graylane/graylane/internal/nacoslogin"
)

// Nacos leaves an instance that its operator disabled out of the lists. Where others
// are listed it does not matter why one is missing: it gets no new call. A list that is
// empty does not say whether the last ones left or were disabled, and an empty list is
// otherwise nobody's word: so we ask, which Nacos answers by HTTP only.

// askAtMost is how many instances a list may have had that is asked after. Who
// disables more at once takes a service out of use, and its callers find out.
const askAtMost = 8

// askWhy looks which of the instances that a push no longer lists are there
// nevertheless, and lists those with the weight 0: they get no call. s.mu is held.
func (s *shared) askWhy(c *conn, key serviceKey, t *topic, before *list) {
	if len(t.list.hosts) > 0 || before == nil || before.from != c || len(before.hosts) == 0 || len(before.hosts) > askAtMost {
		return
	}
	empty := t.list
	s.asking.Go(func() {
		var disabled []model.Instance
		for _, host := range before.hosts {
			if there, err := s.there(c, key, host); err == nil && there {
				host.Weight = 0
				disabled = append(disabled, host)
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(disabled) > 0 && t.list == empty && s.now == c {
			t.set(c, disabled)
		}
	})
}

// there asks the server whether it knows an instance, listed or not.
func (s *shared) there(c *conn, key serviceKey, host model.Instance) (bool, error) {
	ctx, cancel := context.WithTimeout(s.ctx, operation)
	defer cancel()
	q := url.Values{
		"namespaceId": {s.address.namespace}, "groupName": {key.group}, "serviceName": {key.name},
		"ip": {host.Ip}, "port": {strconv.FormatUint(host.Port, 10)},
	}
	if host.ClusterName != "" {
		q.Set("cluster", host.ClusterName)
	}
	if token, err := s.token(ctx, c); err != nil {
		return false, err
	} else if token != "" {
		q.Set(tokenHeader, token)
	}
	status, body, err := nacoslogin.Do(ctx, http.MethodGet, "http://"+c.server+s.address.path+"/v1/ns/instance?"+q.Encode(), "")
	if err != nil {
		return false, err
	}
	if status != http.StatusOK && status != http.StatusNotFound {
		return false, fmt.Errorf("%d %s", status, body)
	}
	return status == http.StatusOK, nil
}
