// The peers bench's servers on gVisor's netstack: the package's stack and its net-like listener, one goroutine per connection.
//
//	gvisor MODE DEVICE ADDRESS PORT plain|offload     ADDRESS is that of the stack, in a /24
//
// MODE is keep-alive, close, source or sink. The program makes its TAP device and prints "ready"; the kernel's side is the
// caller's to address. "plain" is the package's own device code (link/fdbased), "offload" is device.go. What the settings are
// and why is in ../README.md.
package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"

	"gvisor.dev/gvisor/pkg/log"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/link/fdbased"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

const (
	nic    = 1
	mtu    = 1500
	prefix = 24
	block  = 65536
	// How long netstack may hold a segment for the next one: the best of 0, 20 us, 100 us, 250 us and 1 ms for bulk data.
	// It made no difference to short connections and requests, and wakes an idle server, so they go without.
	groTimeout = 100 * time.Microsecond
)

const head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n"

var (
	blankLine = []byte("\r\n\r\n")
	answers   = map[string][]byte{
		"keep-alive": []byte(head + "\r\nHello, world\n"),
		"close":      []byte(head + "Connection: close\r\n\r\nHello, world\n"),
	}
)

func fail(what string, err any) {
	fmt.Fprintf(os.Stderr, "gvisor: %s: %v\n", what, err)
	os.Exit(1)
}

// option sets one option of TCP for the whole stack.
func option(s *stack.Stack, value tcpip.SettableTransportProtocolOption) {
	if err := s.SetTransportProtocolOption(tcp.ProtocolNumber, value); err != nil {
		fail(fmt.Sprintf("option %T", value), err)
	}
}

func openStack(device string, address net.IP, offload, bulk bool) *stack.Stack {
	fd, err := openTap(device, offload)
	if err != nil {
		fail("TAP device "+device, err)
	}
	endpoint, err := fdbased.New(&fdbased.Options{
		FDs:            []int{fd},
		MTU:            mtu,
		EthernetHeader: true,
		Address:        "\x02\x00\x00\x00\x00\x01",
		// The kernel is on the other side of the device: nothing can have been garbled on the way.
		RXChecksumOffload: true,
	})
	if err != nil {
		fail("fdbased", err)
	}
	gro := time.Duration(0)
	if offload {
		endpoint = newOffloadEndpoint(endpoint, fd)
	} else {
		// Without help from the device netstack cuts long segments and merges short ones itself.
		endpoint = &cuttingEndpoint{endpoint}
		if bulk {
			gro = groTimeout
		}
	}
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, icmp.NewProtocol4},
	})
	sack := tcpip.TCPSACKEnabled(true)
	option(s, &sack)
	cubic := tcpip.CongestionControlOption("cubic")
	option(s, &cubic)
	moderate := tcpip.TCPModerateReceiveBufferOption(true)
	option(s, &moderate)
	option(s, &tcpip.TCPReceiveBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: 1 << 20, Max: 8 << 20})
	option(s, &tcpip.TCPSendBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: 1 << 20, Max: 8 << 20})
	wait := tcpip.TCPTimeWaitTimeoutOption(time.Second)
	option(s, &wait)
	if err := s.CreateNICWithOptions(nic, endpoint, stack.NICOptions{GROTimeout: gro}); err != nil {
		fail("NIC", err)
	}
	local := tcpip.Address(address.To4())
	protocolAddress := tcpip.ProtocolAddress{
		Protocol:          ipv4.ProtocolNumber,
		AddressWithPrefix: tcpip.AddressWithPrefix{Address: local, PrefixLen: prefix},
	}
	if err := s.AddProtocolAddress(nic, protocolAddress, stack.AddressProperties{}); err != nil {
		fail("address", err)
	}
	s.SetRouteTable([]tcpip.Route{{Destination: protocolAddress.AddressWithPrefix.Subnet(), NIC: nic}})
	return s
}

// answer is the small HTTP server, with connections kept open or one request each.
func answer(conn net.Conn, text []byte, once bool) {
	defer conn.Close()
	request := make([]byte, 4096)
	for {
		n, err := conn.Read(request)
		if err != nil {
			return
		}
		if !bytes.Contains(request[:n], blankLine) {
			continue
		}
		if _, err := conn.Write(text); err != nil || once {
			return
		}
	}
}

// source sends as fast as the connection takes it, until the client closes.
func source(conn net.Conn) {
	defer conn.Close()
	data := bytes.Repeat([]byte("millrace"), block/8)
	for {
		if _, err := conn.Write(data); err != nil {
			return
		}
	}
}

// sink reads everything and forgets it.
func sink(conn net.Conn) {
	defer conn.Close()
	data := make([]byte, 4*block)
	for {
		if _, err := conn.Read(data); err != nil {
			return
		}
	}
}

func main() {
	if len(os.Args) != 6 {
		fail("usage", "gvisor MODE DEVICE ADDRESS PORT plain|offload")
	}
	mode, device, address, offload := os.Args[1], os.Args[2], net.ParseIP(os.Args[3]), os.Args[5] == "offload"
	port, err := strconv.ParseUint(os.Args[4], 10, 16)
	if err != nil || address.To4() == nil {
		fail("address and port", os.Args[3:5])
	}
	// One core, as all servers have.
	runtime.GOMAXPROCS(1)
	// Fewer collections, for more memory.
	debug.SetGCPercent(400)
	// The adapter warns of each connection that has been reset.
	log.SetTarget(log.GoogleEmitter{Writer: &log.Writer{Next: io.Discard}})
	s := openStack(device, address, offload, mode == "source" || mode == "sink")
	listener, err := gonet.ListenTCP(s, tcpip.FullAddress{NIC: nic, Port: uint16(port)}, ipv4.ProtocolNumber)
	if err != nil {
		fail("listen", err)
	}
	fmt.Println("ready")
	for {
		conn, err := listener.Accept()
		if err != nil {
			fail("accept", err)
		}
		switch mode {
		case "source":
			go source(conn)
		case "sink":
			go sink(conn)
		default:
			go answer(conn, answers[mode], mode == "close")
		}
	}
}
