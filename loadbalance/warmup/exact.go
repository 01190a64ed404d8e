// SPDX-License-Identifier: Apache-2.0

package warmup

import "github.com/graylane/graylane/cluster/endpoint"

// exact maps 64 random bits to an endpoint of a pool that is not empty, with
// probability w f / sum(w f), by looking at all of them. It is what a pick ends
// with that has been refused too often, so that it is not biased by its end.
func exact(p *endpoint.Pool, random uint64) *endpoint.Endpoint {
	list := p.All()
	sum := 0.0
	for _, e := range list {
		sum += e.Weight * p.Factor(e)
	}
	rest := unit(random) * sum
	for _, e := range list {
		if rest -= e.Weight * p.Factor(e); rest < 0 {
			return e
		}
	}
	return p.Draw(random) // none has any weight
}
