// SPDX-License-Identifier: Apache-2.0

// Package lateanswer keeps a connection of the dubbo protocol alive when an answer
// arrives for a call that has timed out.
//
// dubbo-go's decoder looks such an answer's call up, finds none, and panics; getty
// then closes the connection, and all other calls on it wait for their timeouts. With
// timeouts that hold, late answers are an everyday thing. The codec of this package
// drops them.
package lateanswer

import (
	"encoding/binary"

	"dubbo.apache.org/dubbo-go/v3/remoting"
)

// The header of the dubbo protocol: 16 bytes, the flags in the third, the request's
// number from the fifth on, the body's length in the last four.
const (
	headerLength = 16
	flagsAt      = 2
	idAt         = 4
	lengthAt     = 12
	isRequest    = 0x80
)

// codec is dubbo-go's, without the panic. Its methods are safe for concurrent use if
// those of the inner one are, as dubbo-go's.
type codec struct{ remoting.Codec }

// Install replaces dubbo-go's codec of a protocol, if there is one. It is for the time
// before the first service or reference is made, and does nothing when called again.
func Install(protocol string) {
	inner := remoting.GetCodec(protocol)
	if _, done := inner.(codec); inner == nil || done {
		return
	}
	remoting.RegistryCodec(protocol, codec{inner})
}

// Decode implements dubbo-go's Codec.
func (c codec) Decode(data []byte) (res *remoting.DecodeResult, n int, err error) {
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		if res, n = drop(data); res == nil {
			panic(r) // not for want of a call
		}
	}()
	return c.Codec.Decode(data)
}

// drop turns an answer that nobody waits for into a heartbeat that nobody waits for,
// which dubbo-go ignores. It returns nil for all else.
func drop(data []byte) (*remoting.DecodeResult, int) {
	if len(data) < headerLength || data[flagsAt]&isRequest != 0 {
		return nil, 0
	}
	id := int64(binary.BigEndian.Uint64(data[idAt:]))
	if remoting.GetPendingResponse(remoting.SequenceType(id)) != nil {
		return nil, 0
	}
	n := headerLength + int(binary.BigEndian.Uint32(data[lengthAt:]))
	return &remoting.DecodeResult{Result: &remoting.Response{ID: id, Event: true}}, n
}
