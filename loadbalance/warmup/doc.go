// SPDX-License-Identifier: Apache-2.0

// Package warmup chooses an endpoint by weight and age: a provider that has just
// started gets a growing part of its share until its warm-up window is over.
//
// The share of endpoint i is P(i) = w·f / sum(w·f), with f = 1 once its age has
// reached its window and max(floor, (age/window)^p) before. [Pick] draws by the
// static weights from an alias table that was built when the list changed, and
// accepts the drawn endpoint with probability f: exact at every instant, and the
// clock is read only for an endpoint that still warms up. The guard max-boost
// keeps a fleet of newcomers from overloading the few warm ones.
//
// [PickBy] ramps the choices of other balancers, dubbo-go's or a user's, which keep
// their policy; what each can promise is in docs/warmup.md.
//
// Age starts at the metadata StartTime and lasts WarmupTime (both in ms);
// [github.com/graylane/graylane/internal/meta] has the fallbacks for Java and for
// dubbo-go without Graylane.
//
// dubbo-go's own balancers mean to do this and do not: they read the consumer's
// timestamp, in seconds where Java writes milliseconds, so that a fresh instance
// gets its full share at once.
//
// Importing the package registers the balancer [Name]; nothing else happens.
// Everything is safe for concurrent use; Pick takes no lock and does not allocate.
package warmup
