// SPDX-License-Identifier: Apache-2.0

// Package graylane lets dubbo-go services be released in the daytime, losing no
// request and leaking none: full-link gray lanes, loss-free start, loss-free stop.
//
// Import it beside the parts of dubbo-go that a program uses, and keep the
// program's dubbogo.yml:
//
//	import _ "github.com/graylane/graylane"
//
// Package imports adds everything, as dubbo-go's own imports does. This package
// is the core: it brings no registry SDK with it.
//
// Settings are optional; they stand in dubbogo.yml below
// dubbo.custom.config-map.graylane, or are given to [Configure] by programs that
// have no such file. The environment wins: GRAYLANE_MODE (enforce, observe, off)
// and GRAYLANE_TAG (the instance's tag).
//
// Everything gets in by dubbo-go's public extension points: a configuration
// post-processor names our cluster and filters, and the protocol "registry" is
// ours, which hands exports to dubbo-go's with a registry of ours in between.
package graylane
