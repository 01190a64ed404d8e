// SPDX-License-Identifier: Apache-2.0

// Package propagate carries the tag, and further keys that the settings name,
// from the call a service is answering to the calls it makes meanwhile.
//
// It has two parts, both registered as "graylane-propagate" when the package is
// imported. The provider filter [Filter] takes the tag out of the attachments
// and puts it into the context that the handler gets. The cluster interceptor
// [Interceptor] runs before routing: it writes the context's tag into the
// invocation, as lower-case strings, and takes out what belongs to the inbound
// call only.
//
// The difference from dubbo-go: there, a handler that passes its context on
// sends all attachments of the inbound call to the next hop, group, timeout and
// user agent among them, and one that does not sends none. dubbo-go has no part
// that carries a chosen few.
//
// The wanted tag of an outgoing call is, in this order: the attachment dubbo.tag
// that the code making the call set itself, the tag of the context
// ([tag.FromContext]), none. Which further keys travel is said by
// propagate.keys; the default is none.
//
// With mode off both parts do nothing. With mode observe the interceptor only
// adds graylane-tag, which dubbo-go does not look at: the tag travels, and each
// call goes as dubbo-go would send it.
//
// In a filter list, graylane-propagate stands after graylane-shutdown.
// All of it is safe for concurrent use, and keeps nothing between calls.
package propagate
