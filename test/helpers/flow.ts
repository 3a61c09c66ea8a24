/**
 * One connection as a packet script sees it: what its numbers are relative to, and what was seen of it so far.
 */
import type { TcpSocket } from "../../src/socket/socket.ts";

/** The port on which the stack listens in scripts. */
export const LISTEN_PORT = 80;

/** Byte number `n` (from 1) of a stream; the two directions differ. */
function patternByte(n: number, fromStack: boolean): number {
	return ((n * 31) ^ (n >>> 8) ^ (fromStack ? 0x55 : 0)) & 255;
}

export function pattern(from: number, length: number, fromStack: boolean): Uint8Array {
	const bytes = new Uint8Array(length);
	for (let i = 0; i < length; i++) bytes[i] = patternByte(from + i, fromStack);
	return bytes;
}

export class Flow {
	readonly name: string;
	localPort = LISTEN_PORT;
	peerPort: number;
	/** Sequence numbers that are called 0. */
	stackBase: number | undefined;
	peerBase: number;
	/** Highest relative numbers so far: where a next incarnation begins, and for checks. */
	peerEnd = 0;
	stackEnd = 0;
	/** Where the peer's FIN ends. */
	peerFin: number | undefined;
	highestAck: number | undefined;
	rightEdge: number | undefined;
	stackScale = 0;
	tsBase: number | undefined;
	lastTsVal = 0;
	autoTs = false;
	/** What the flow sends may be cut on its way: null, or the identification of the last packet. */
	identification: number | null = null;
	window = 65535;
	socket: TcpSocket | undefined;
	events: string[] = [];
	written = 1;
	readCount = 1;

	constructor(name: string, peerPort: number, isn: number) {
		this.name = name;
		this.peerPort = peerPort;
		this.peerBase = isn;
	}

	/** What comes now on these ports is another connection; the peer's ISN is `beyond` the last number that it used. */
	reincarnate(beyond: number): void {
		this.peerBase = (this.peerBase + this.peerEnd + beyond) >>> 0;
		this.peerEnd = 0;
		this.peerFin = undefined;
		this.stackEnd = 0;
		this.stackBase = undefined;
		this.highestAck = undefined;
		this.rightEdge = undefined;
		this.stackScale = 0;
		this.autoTs = false;
		this.written = 1;
		this.readCount = 1;
		this.events = [];
	}
}
