// SPDX-License-Identifier: Apache-2.0

package imports

import (
	"dubbo.apache.org/dubbo-go/v3/remoting/getty"

	"github.com/graylane/graylane/internal/conf"
)

// wait is what makes getty wait for one second when it closes a connection whose last
// bytes nobody has acknowledged. dubbo-go's default says "1s" and means that, but getty
// takes the number of nanoseconds for seconds: close then blocks a goroutine and a
// thread of the system for each connection, for as long as the kernel tries, which is
// 15 minutes for a node that is lost and for ever for a process that hangs.
const wait = "1ns"

// init bounds the wait of both sides of the protocol dubbo. What `protocols.params` says
// comes later, and counts.
func init() {
	if conf.Current().Mode == conf.Off {
		return
	}
	client := *getty.GetDefaultClientConfig()
	client.GettySessionParam.WaitTimeout = wait
	getty.SetClientConf(client)
	server := getty.GetServerConfig()
	server.GettySessionParam.WaitTimeout = wait
	getty.SetServerConfig(server)
}
