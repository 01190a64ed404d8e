// SPDX-License-Identifier: Apache-2.0

package tag

// Keys of attachments and headers. All are lower case, since Triple lower-cases
// header names and dubbo-go looks attachments up case-sensitively.
const (
	KeyTag     = "dubbo.tag"        // request: the wanted tag; Dubbo's own key
	KeyForce   = "dubbo.force.tag"  // request: no fallback; Dubbo's own key
	KeyShadow  = "graylane-tag"     // request: the same tag, under a key that a plain Java hop passes on
	KeyCaller  = "graylane-caller"  // request: "<caller id>;<incarnation addressed>"
	KeyState   = "graylane-state"   // answer: "closing;<incarnation>" or "warming;<age ms>"; of a caller: "closing;<incarnation>" heard, or "gone;<incarnation>"
	KeyRefused = "graylane-refused" // answer: why the handler never ran
	KeyPath    = "graylane-path"    // request: "1" or "1;<reason>"; answer: the way so far
)

// Baggage is the W3C header, BaggageMember the member of it that holds the tag.
const (
	Baggage       = "baggage"
	BaggageMember = KeyTag
)

// Keys of instance metadata and of URL parameters. Times are in ms.
const (
	MetaStartTime   = "StartTime"
	MetaWarmupTime  = "WarmupTime"
	MetaIncarnation = "graylane-incarnation"
)

// Values of [KeyRefused] and the first words of [KeyState]. No provider of this version
// refuses with RefusedNotReady: before its handler is exported no filter of ours runs, and
// dubbo-go answers by itself (docs/reroute.md). Callers take it for any other refusal: the
// call is sent to another endpoint.
const (
	RefusedClosing    = "closing"
	RefusedNotReady   = "not-ready"
	RefusedOverloaded = "overloaded"
	StateClosing      = "closing"
	StateWarming      = "warming"
	StateGone         = "gone" // said by a caller that ends, to each incarnation that knows it
)

// RefusedClass is the hessian2 exception class of a refusal over the dubbo
// protocol, whose error answers carry no attachments.
const RefusedClass = "graylane.NotExecuted"
