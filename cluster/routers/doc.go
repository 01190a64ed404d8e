// SPDX-License-Identifier: Apache-2.0

// Package routers runs the routers that are registered with dubbo-go beside the
// router `tag`: condition, affinity and script of dubbo-go, and the user's own.
// They apply in the order of their priority, smaller first, as in dubbo-go's
// chain.
//
// It differs from that chain in three ways. Routers hear of new lists, and of
// rules in the config centre, on a goroutine of the chain's own: dubbo-go's holds
// the lock that every call wants while its routers ask the config centre. The
// routers of dubbo-go run only while they have a rule, so that importing them
// costs a call one atomic load; a router of the user's always runs. And static
// service rules of `routers:` apply to the service that their key names only.
//
// A Chain is safe for concurrent use. Importing the package does nothing.
package routers
