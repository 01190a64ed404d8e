// SPDX-License-Identifier: Apache-2.0

package lateanswer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"dubbo.apache.org/dubbo-go/v3/remoting"
)

// panicking decodes as dubbo-go does where it finds no call; the real one is tested in
// test/wire.
type panicking struct{}

var errEncode = errors.New("not here")

func (panicking) EncodeRequest(*remoting.Request) (*bytes.Buffer, error)   { return nil, errEncode }
func (panicking) EncodeResponse(*remoting.Response) (*bytes.Buffer, error) { return nil, errEncode }
func (panicking) Decode([]byte) (*remoting.DecodeResult, int, error)       { panic("nil pointer") }

func frame(flags byte, id int64, body int) []byte {
	b := make([]byte, headerLength+body)
	b[flagsAt] = flags
	binary.BigEndian.PutUint64(b[idAt:], uint64(id))
	binary.BigEndian.PutUint32(b[lengthAt:], uint32(body))
	return b
}

// TestDecode: only an answer that nobody waits for is dropped, whole; any other panic
// goes on.
func TestDecode(t *testing.T) {
	const waiting = 1 << 40
	remoting.AddPendingResponse(remoting.NewPendingResponse(waiting))
	defer remoting.RemovePendingResponse(waiting)
	for _, tc := range []struct {
		name    string
		data    []byte
		dropped int // bytes, 0: it panics
	}{
		{"late answer", frame(0x02, waiting+1, 7), headerLength + 7},
		{"answer that somebody waits for", frame(0x02, waiting, 7), 0},
		{"request", frame(0x82|0x40, waiting+1, 7), 0},
		{"too short", make([]byte, headerLength-1), 0},
	} {
		func() {
			defer func() {
				if r := recover(); (r != nil) != (tc.dropped == 0) {
					t.Errorf("%s: panic %v", tc.name, r)
				}
			}()
			res, n, err := codec{panicking{}}.Decode(tc.data)
			if err != nil || n != tc.dropped {
				t.Errorf("%s: %d bytes, %v; want %d", tc.name, n, err, tc.dropped)
			}
			if r, ok := res.Result.(*remoting.Response); !ok || !r.Event || res.IsRequest {
				t.Errorf("%s: %+v is nothing that dubbo-go ignores", tc.name, res.Result)
			}
		}()
	}
}

// TestInstall wraps once.
func TestInstall(t *testing.T) {
	const protocol = "test-late"
	Install(protocol) // nobody registered one
	if remoting.GetCodec(protocol) != nil {
		t.Fatal("a codec out of nothing")
	}
	remoting.RegistryCodec(protocol, panicking{})
	Install(protocol)
	Install(protocol)
	if got := remoting.GetCodec(protocol); got != (codec{panicking{}}) {
		t.Errorf("codec %#v", got)
	}
}
