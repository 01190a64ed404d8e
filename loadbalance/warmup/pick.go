// SPDX-License-Identifier: Apache-2.0

package warmup

import (
	"math/rand/v2"

	"github.com/graylane/graylane/cluster/endpoint"
)

// maxDraws bounds the rejections of one pick, after which all endpoints are looked
// at. With the guard the mean number of draws is at most max-boost.
const maxDraws = 64

// Pick chooses an endpoint of the pool, which must not be empty.
func Pick(p *endpoint.Pool) *endpoint.Endpoint {
	if e, taken := p.Take(rand.Uint64()); taken { // always, where nothing warms up
		return e
	}
	return pick(p, rand.Uint64)
}

func pick(p *endpoint.Pool, random func() uint64) *endpoint.Endpoint {
	for range maxDraws {
		if e, taken := p.Take(random()); taken {
			return e
		}
	}
	return exact(p, random())
}
