// SPDX-License-Identifier: Apache-2.0

package endpoint

// Sub builds a pool of some of p's endpoints, with its ramp.
func (p *Pool) Sub(list []*Endpoint) *Pool { return NewPool(list, p.ramp) }
