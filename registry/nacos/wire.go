// SPDX-License-Identifier: Apache-2.0

package nacos

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	wire "github.com/nacos-group/nacos-sdk-go/v2/api/grpc"
	"github.com/nacos-group/nacos-sdk-go/v2/common/remote/rpc/rpc_request"
	"github.com/nacos-group/nacos-sdk-go/v2/common/remote/rpc/rpc_response"
	"github.com/nacos-group/nacos-sdk-go/v2/model"
	"github.com/nacos-group/nacos-sdk-go/v2/util"
	"google.golang.org/protobuf/types/known/anypb"
)

// Codes of Nacos that are no verdict on the request itself.
const (
	codeNotReady     = 300 // up to 399: the server is starting
	codeUnregistered = 301 // the server does not know this connection (yet, or any more)
	codeForbidden    = 403
)

// clientVersion is what the SDK says of itself; the server knows by it what a
// client can do.
const clientVersion = "Nacos-Go-Client:v2.2.5"

// answer is any answer of Nacos: the union of the fields that we read.
type answer struct {
	rpc_response.Response
	ServiceInfo  model.Service `json:"serviceInfo"`
	Count        int           `json:"count"`
	ServiceNames []string      `json:"serviceNames"`
}

// refusal is a request that Nacos answered and did not carry out.
type refusal struct {
	request string
	code    int
	message string
}

func (e *refusal) Error() string {
	return fmt.Sprintf("%s refused: %d %s", e.request, e.code, e.message)
}

// localIP is what clients tell the server about themselves.
var localIP = sync.OnceValue(util.LocalIP) //nolint:gochecknoglobals // the SDK's has no lock

func payload(kind string, headers map[string]string, body any) (*wire.Payload, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	return &wire.Payload{
		Metadata: &wire.Metadata{Type: kind, Headers: headers, ClientIp: localIP()},
		Body:     &anypb.Any{Value: text},
	}, nil
}

// call sends one request and returns the answer, or why there is none: a *refusal
// where Nacos gave the reason.
func call(ctx context.Context, to wire.RequestClient, r rpc_request.IRequest) (*answer, error) {
	kind := r.GetRequestType()
	p, err := payload(kind, r.GetHeaders(), r)
	if err != nil {
		return nil, err
	}
	got, err := to.Request(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	a := &answer{}
	if err := json.Unmarshal(got.GetBody().GetValue(), a); err != nil {
		return nil, fmt.Errorf("%s: answer: %w", kind, err)
	}
	if !a.IsSuccess() {
		return nil, &refusal{request: kind, code: a.ErrorCode, message: a.Message}
	}
	return a, nil
}
