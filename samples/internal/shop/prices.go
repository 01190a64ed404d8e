// SPDX-License-Identifier: Apache-2.0

package shop

import (
	"errors"
	"fmt"
)

// MaxQuantity bounds the quantity of one line.
const MaxQuantity = 1000

// ErrBadCart reports a cart that cannot be priced; the client must change it.
var ErrBadCart = errors.New("shop: bad cart")

// Line is one line of a cart.
type Line struct {
	SKU      string
	Quantity int32 // 1 to MaxQuantity
}

// Total returns the price of a cart in cents, the members' discount taken off
// and rounded down in the customer's favour. An empty cart, an unknown article
// and a quantity out of range are ErrBadCart.
func Total(lines []Line, membership string) (int64, error) {
	if len(lines) == 0 {
		return 0, fmt.Errorf("%w: items: got none, want at least 1", ErrBadCart)
	}
	var sum int64
	for _, l := range lines {
		cents, ok := price(l.SKU)
		switch {
		case !ok:
			return 0, fmt.Errorf("%w: sku: got %q, want an article of the price list", ErrBadCart, l.SKU)
		case l.Quantity < 1 || l.Quantity > MaxQuantity:
			return 0, fmt.Errorf("%w: quantity of %s: got %d, want 1 to %d", ErrBadCart, l.SKU, l.Quantity, MaxQuantity)
		}
		sum += cents * int64(l.Quantity)
	}
	return sum * (100 - discount(membership)) / 100, nil
}

// price returns the list price of an article in cents.
func price(sku string) (cents int64, ok bool) {
	switch sku {
	case "apple":
		return 45, true
	case "bread":
		return 320, true
	case "coffee":
		return 1290, true
	case "pear":
		return 60, true
	case "tea":
		return 780, true
	}
	return 0, false
}

// discount returns what members get off, in percent.
func discount(membership string) int64 {
	switch membership {
	case Gold:
		return 10
	case Silver:
		return 5
	}
	return 0
}
