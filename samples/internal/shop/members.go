// SPDX-License-Identifier: Apache-2.0

package shop

// Membership levels.
const (
	Gold   = "gold"
	Silver = "silver"
	None   = "none"
)

// Member is a customer as the user service knows them.
type Member struct {
	Name       string
	Membership string // Gold, Silver or None
}

var members = map[string]Member{
	"alice": {"Alice", Gold},
	"bob":   {"Bob", Silver},
	"carol": {"Carol", Gold},
	"dave":  {"Dave", None},
}

// LookupMember returns who userID is. Everyone may shop: an id that is not on
// file is its own name, without membership.
func LookupMember(userID string) Member {
	if m, ok := members[userID]; ok {
		return m
	}
	return Member{Name: userID, Membership: None}
}
