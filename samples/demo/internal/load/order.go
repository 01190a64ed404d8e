// SPDX-License-Identifier: Apache-2.0

package load

import "fmt"

// LaneHeader is the header by which the gateway's committed rules colour.
const LaneHeader = "x-lane"

var (
	// users are on none of the gateway's lists: the header alone colours.
	users = [...]string{"demo-1", "demo-2", "demo-3", "demo-4", "demo-5"} //nolint:gochecknoglobals // constants
	skus  = [...]string{"apple", "bread", "coffee", "pear", "tea"}        //nolint:gochecknoglobals // constants
)

// Body returns the n-th order as JSON.
func Body(id string, n int64) []byte {
	return fmt.Appendf(nil, `{"request_id":%q,"user_id":%q,"items":[{"sku":%q,"quantity":%d},{"sku":%q,"quantity":1}]}`,
		id, users[n%5], skus[n%5], 1+n%3, skus[(n+2)%5])
}
