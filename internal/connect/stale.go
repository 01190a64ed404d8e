// SPDX-License-Identifier: Apache-2.0

package connect

// Stale is what dubbo-go's client over the dubbo protocol says when it has drawn a
// connection that is closed. It looks before it encodes anything, so that nothing was
// sent, and another draw costs next to nothing.
//
// A connection that ends stays among those that are drawn from until dubbo-getty has made
// as many new ones as there are to be (session.go: stop closes, makes up for what is
// missing with ever longer pauses, and only then says OnClose): half a minute with dubbo-go's
// 16. Where a provider restarts on its address, most of them are closed for that long.
const Stale = "session Already Closed"

// Redraws is how often a call that drew a closed connection draws again: enough where half
// of them are closed. Where 15 of 16 are it finds the last two times out of three, and goes to
// another endpoint else: more draws would cost a process that lost all its connections too much.
const Redraws = 16
