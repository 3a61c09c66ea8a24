/**
 * Node's sockets as pipes for `streamLink`: TCP and UNIX sockets (or any duplex stream) for frames behind lengths, UDP for one frame
 * a datagram.
 *
 * Hides events and back-pressure of Node's streams; the link itself decides what is dropped when `pending` grows.
 */
import type { Socket as DatagramSocket, RemoteInfo } from "node:dgram";
import type { Duplex } from "node:stream";
import { bad, inRange, refuseUnknown, withMethods } from "../link/known-options.ts";
import type { Pipe } from "../link/stream.ts";

/** A duplex stream as a pipe; `net.Socket` also keeps the process alive, or not, as the host asks. For `-netdev stream` of QEMU. */
export function socketPipe(socket: Duplex & { ref?(): unknown; unref?(): unknown }): Pipe {
	withMethods("the socket of a pipe", socket, ["on", "write", "destroy"], "a socket of node:net, or another duplex stream");
	return {
		start(events) {
			let failure: Error | undefined;
			socket.on("data", (bytes: Uint8Array) => events.arrived(bytes));
			socket.on("error", (error) => {
				failure = error;
			});
			socket.on("end", () => socket.destroy());
			socket.on("close", () => events.closed(failure));
			// Its last event was before this: nothing would ever tell. Not from within `start`, which is part of the link's `open`.
			if (socket.closed) queueMicrotask(() => events.closed(socket.errored ?? undefined));
		},
		write: (bytes) => void socket.write(bytes),
		get pending() {
			return socket.writableLength;
		},
		ref: () => void socket.ref?.(),
		unref: () => void socket.unref?.(),
		close: () => void socket.destroy(),
	};
}

/**
 * A bound UDP socket that sends to one peer, and takes datagrams from that peer only. For `-netdev dgram` of QEMU.
 *
 * Node looks up even an address, on a later turn: what is sent right before `close` is lost, such as the end of connections, unless
 * the socket was made with a look-up of its own: `createSocket({ type: "udp4", lookup: (address, _, done) => done(null, address, 4) })`.
 */
export function datagramPipe(socket: DatagramSocket, peer: { readonly address: string; readonly port: number }): Pipe {
	withMethods("the socket of a pipe", socket, ["on", "send", "close"], "a socket of node:dgram");
	refuseUnknown("the peer of a pipe", peer, ["address", "port", "family", "size"]);
	if (typeof peer.address !== "string") throw bad(`address ${String(peer.address)} of the peer of a pipe: give a text`);
	inRange("the peer of a pipe", "port", peer.port, 1, 65535);
	let closed = false;
	let pending = 0;
	let strangers = 0;
	let failures = 0;
	return {
		start(events) {
			socket.on("message", (bytes: Uint8Array, from: RemoteInfo) => {
				if (from.port === peer.port && from.address === peer.address) events.arrived(bytes);
				else strangers++;
			});
			socket.on("error", (error) => events.closed(error));
			socket.on("close", () => {
				closed = true;
				events.closed();
			});
			if (isClosed(socket)) queueMicrotask(() => events.closed());
		},
		write(bytes) {
			if (closed) return;
			try {
				// An error here is a lost datagram, such as a peer that is not there yet: nothing that a network would report.
				socket.send(bytes, peer.port, peer.address, (error) => {
					pending -= bytes.length;
					if (error) failures++;
				});
				pending += bytes.length;
			} catch {
				// Somebody else has closed it, and the event is yet to come.
				failures++;
			}
		},
		get pending() {
			return pending;
		},
		counters: () => ({ rxDropStranger: strangers, txDropSocket: failures }),
		ref: () => void socket.ref(),
		unref: () => void socket.unref(),
		close() {
			if (!closed && !isClosed(socket)) socket.close();
			closed = true;
		},
	};
}

/** Whether somebody has closed a UDP socket; Node says so only by what it throws. One that is not bound yet throws something else. */
function isClosed(socket: DatagramSocket): boolean {
	try {
		socket.address();
		return false;
	} catch (error) {
		return (error as NodeJS.ErrnoException).code === "ERR_SOCKET_DGRAM_NOT_RUNNING";
	}
}
