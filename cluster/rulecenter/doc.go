// SPDX-License-Identifier: Apache-2.0

// Package rulecenter brings tag rules from the config centre of dubbogo.yml, and
// from its router section, to [tagrouter.Rules].
//
// The rule of a provider application is the text {application}.tag-router in the
// centre's own group (DEFAULT_GROUP on Nacos where dubbogo.yml names none), else in
// group dubbo, where Dubbo Java and dubbo-admin write. Only applications that
// somebody calls are followed. A changed text is in force as soon as the centre
// tells of it; a deleted or emptied one is gone at once. A text with a fault is
// reported in one log line with key and line, and the last good one stays.
//
// Where the centre has no rule for an application, the static one holds.
//
// All I/O is on goroutines of this package. A centre that is slow, dead, or down
// at the start blocks neither calls nor pushes; what was known last stays, and the
// centre is asked again until it answers. See docs/config-center.md.
//
// dubbo-go's own tag router asks the centre while it holds the lock that calls
// need, ignores a delete on Nacos, and looks in one group only.
package rulecenter
