// SPDX-License-Identifier: Apache-2.0

package tag

import (
	"errors"
	"fmt"
	"strings"
)

// Limits of a tag. They bound what is stored per call and what is looked up.
const (
	MaxBytes  = 128 // length of the whole tag, separators included
	MaxLevels = 8   // levels, so at most 7 separators
	separator = '|'
)

// ErrInvalid reports that a string is no tag. [Parse] wraps it with the reason;
// a caller that got the string from a peer goes on without a tag.
var ErrInvalid = errors.New("tag: invalid")

// Tag names a lane. The zero value is no tag, the baseline. Any other value
// came from [Parse], or is a constant that Parse would take.
type Tag string

// Parse checks s: 1 to [MaxBytes] bytes, 1 to [MaxLevels] levels joined by '|',
// each of ASCII letters, digits, '-', '_' and '.', and not empty. It trims and
// folds nothing, as tags are compared byte by byte everywhere else. The error
// wraps [ErrInvalid].
func Parse(s string) (Tag, error) {
	if s == "" || len(s) > MaxBytes {
		return "", fmt.Errorf("%w: length: got %d bytes, want 1 to %d", ErrInvalid, len(s), MaxBytes)
	}
	levels, last := 1, -1
	for i := range len(s) {
		switch {
		case isLevelByte(s[i]):
		case s[i] != separator:
			return "", fmt.Errorf("%w: byte %d of %q: got %q, want letters, digits, '-', '_', '.' or '|'", ErrInvalid, i, s, s[i])
		case i == last+1:
			return "", fmt.Errorf("%w: level %d of %q: got none, want at least one letter", ErrInvalid, levels, s)
		default:
			levels++
			last = i
		}
	}
	if last == len(s)-1 {
		return "", fmt.Errorf("%w: level %d of %q: got none, want at least one letter", ErrInvalid, levels, s)
	}
	if levels > MaxLevels {
		return "", fmt.Errorf("%w: levels of %q: got %d, want 1 to %d", ErrInvalid, s, levels, MaxLevels)
	}
	return Tag(s), nil
}

func isLevelByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.'
}

// String returns the tag as it goes over the wire, "" for none.
func (t Tag) String() string { return string(t) }

// Parent returns the tag without its last level, "" when there is only one.
func (t Tag) Parent() Tag {
	return t[:max(strings.LastIndexByte(string(t), separator), 0)]
}
