// TAP devices for netstack: opening one, and frames longer than the MTU over it.
//
// The package offers segmentation offload (link/fdbased) only for sockets. A TAP device has it as well, in the same virtio-net
// header, so this endpoint takes everything from fdbased but the way of a frame across the device. Netstack then sends one
// frame of up to 64 KiB where it would send 45, and gets such frames; checksums are left to the kernel both ways.
package main

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/bufferv2"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/rawfile"
	"gvisor.dev/gvisor/pkg/tcpip/link/stopfd"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// Layout of a virtio-net header (OASIS virtio 1.1, 5.1.6) without the count of buffers, as linux/virtio_net.h has it.
const (
	vnetSize = 10

	vnetFlags      = 0
	vnetType       = 1
	vnetHeader     = 2
	vnetSegment    = 4
	vnetSumStart   = 6
	vnetSumOffset  = 8
	vnetNeedsSum   = 1
	vnetSegmentTcp = 1
)

const (
	tunChecksum = 0x01 // TUN_F_CSUM
	tunTcp4     = 0x02 // TUN_F_TSO4

	// Frames up to this length come into the first buffer; what is longer runs on into the second.
	firstBuffer  = 2048
	secondBuffer = 65536
	gsoMax       = 65536
)

func openTap(name string, offload bool) (int, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	var request [40]byte
	copy(request[:unix.IFNAMSIZ-1], name)
	flags := uint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if offload {
		flags |= unix.IFF_VNET_HDR
	}
	binary.LittleEndian.PutUint16(request[unix.IFNAMSIZ:], flags)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TUNSETIFF, uintptr(unsafe.Pointer(&request))); errno != 0 {
		return -1, errno
	}
	if offload {
		if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, tunChecksum|tunTcp4); err != nil {
			return -1, err
		}
	}
	return fd, nil
}

// cuttingEndpoint is the package's endpoint with segmentation by netstack itself, which fdbased also offers only for sockets.
type cuttingEndpoint struct{ stack.LinkEndpoint }

func (*cuttingEndpoint) GSOMaxSize() uint32 { return gsoMax }

func (*cuttingEndpoint) SupportedGSO() stack.SupportedGSO { return stack.GvisorGSOSupported }

// offloadEndpoint leaves segmentation, merging and checksums to the kernel.
type offloadEndpoint struct {
	stack.LinkEndpoint
	fd   int
	stop stopfd.StopFD
}

var (
	_ stack.GSOEndpoint = (*cuttingEndpoint)(nil)
	_ stack.GSOEndpoint = (*offloadEndpoint)(nil)
)

func newOffloadEndpoint(inner stack.LinkEndpoint, fd int) stack.LinkEndpoint {
	stop, err := stopfd.New()
	if err != nil {
		fail("stopfd", err)
	}
	return &offloadEndpoint{LinkEndpoint: inner, fd: fd, stop: stop}
}

func (*offloadEndpoint) GSOMaxSize() uint32 { return gsoMax }

func (*offloadEndpoint) SupportedGSO() stack.SupportedGSO { return stack.HostGSOSupported }

func (e *offloadEndpoint) Attach(dispatcher stack.NetworkDispatcher) { go e.receive(dispatcher) }

func (e *offloadEndpoint) WritePackets(packets stack.PacketBufferList) (int, tcpip.Error) {
	written := 0
	for _, packet := range packets.AsSlice() {
		if err := e.write(packet); err != nil {
			return written, err
		}
		written++
	}
	return written, nil
}

func (e *offloadEndpoint) write(packet stack.PacketBufferPtr) tcpip.Error {
	var vnet [vnetSize]byte
	if gso := packet.GSOOptions; gso.Type != stack.GSONone {
		if gso.NeedsCsum {
			vnet[vnetFlags] = vnetNeedsSum
			binary.LittleEndian.PutUint16(vnet[vnetSumStart:], header.EthernetMinimumSize+gso.L3HdrLen)
			binary.LittleEndian.PutUint16(vnet[vnetSumOffset:], gso.CsumOffset)
		}
		if packet.Data().Size() > int(gso.MSS) {
			vnet[vnetType] = vnetSegmentTcp
			binary.LittleEndian.PutUint16(vnet[vnetHeader:], uint16(packet.HeaderSize()))
			binary.LittleEndian.PutUint16(vnet[vnetSegment:], gso.MSS)
		}
	}
	var room [8]unix.Iovec
	vectors := rawfile.AppendIovecFromBytes(room[:0], vnet[:], rawfile.MaxIovs)
	for _, view := range packet.AsSlices() {
		vectors = rawfile.AppendIovecFromBytes(vectors, view, rawfile.MaxIovs)
	}
	return rawfile.NonBlockingWriteIovec(e.fd, vectors)
}

// receive reads frame after frame; buffers that a frame did not reach serve the next one.
func (e *offloadEndpoint) receive(dispatcher stack.NetworkDispatcher) {
	var vnet [vnetSize]byte
	var first, second *bufferv2.View
	vectors := []unix.Iovec{rawfile.IovecFromBytes(vnet[:]), {}, {}}
	for {
		if first == nil {
			first = bufferv2.NewViewSize(firstBuffer)
			vectors[1] = rawfile.IovecFromBytes(first.AsSlice())
		}
		if second == nil {
			second = bufferv2.NewViewSize(secondBuffer)
			vectors[2] = rawfile.IovecFromBytes(second.AsSlice())
		}
		n, err := rawfile.BlockingReadvUntilStopped(e.stop.EFD, e.fd, vectors)
		if n < vnetSize+header.EthernetMinimumSize || err != nil {
			return
		}
		n -= vnetSize
		var frame bufferv2.Buffer
		if n <= firstBuffer {
			first.CapLength(n)
			frame.Append(first)
		} else {
			second.CapLength(n - firstBuffer)
			frame.Append(first)
			frame.Append(second)
			second = nil
		}
		first = nil
		packet := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: frame})
		if ethernet, ok := packet.LinkHeader().Consume(header.EthernetMinimumSize); ok {
			dispatcher.DeliverNetworkPacket(header.Ethernet(ethernet).Type(), packet)
		}
		packet.DecRef()
	}
}
