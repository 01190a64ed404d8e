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

// LookupMember returns who userID is. Everyone may shop: an id that is not on
// file is its own name, without membership.
func LookupMember(userID string) Member {
	switch userID {
	case "alice":
		return Member{"Alice", Gold}
	case "bob":
		return Member{"Bob", Silver}
	case "carol":
		return Member{"Carol", Gold}
	case "dave":
		return Member{"Dave", None}
	}
	return Member{userID, None}
}
