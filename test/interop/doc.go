// SPDX-License-Identifier: Apache-2.0

// Package interop tests Graylane beside Dubbo Java 3.3.6: providers and consumers of
// both kinds of one service, on a real ZooKeeper at application level, over Triple and
// over dubbo.
//
// Every peer is a process: the Java ones of test/rig/java, the Go ones the test binary
// itself, told by an environment variable what to be. All of them speak the same lines:
// a provider says each execution, a consumer each call. Nobody retries, so that what is
// lost shows, and what runs twice, too.
package interop
