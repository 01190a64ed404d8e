// SPDX-License-Identifier: Apache-2.0

// Package tagrouter leads a call from the tag that it wants to the endpoints
// that may serve it.
//
// The ladder: the tag itself, then each shorter tag (a|b|c, a|b, a), then the
// baseline. It looks at usable endpoints, so that a lane of dead instances falls
// back like an empty one; it never ends in the lane of another tag. A call
// without tag is served by the baseline only. With force there is no fallback.
// If no level has a usable endpoint, the highest level's closing one serves
// until it refuses.
//
// Which instances are in a lane say their own tags and the [Rule] of their
// application; [Rules] holds those in force. See docs/rules.md for the language of
// rules and for what differs from Dubbo Java.
//
// [Build] does all work that depends on the number of endpoints, once per push
// or rule change; [Snapshot.Route] is a lookup in what it made.
//
// Importing the package also registers a dubbo-go router under the name `tag`,
// which replaces dubbo-go's own: that one falls back to the instances of other
// tags, and asks the config centre while it holds the lock that calls need.
package tagrouter
