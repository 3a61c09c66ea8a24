/**
 * The packet socket beside the queues of an XDP link: for what AF_XDP sockets do not tell.
 *
 * Hides what one socket is good for, as long as it is open:
 * - It tells that the interface went down (watch.ts). An AF_XDP socket is silent then, and when it is unbound because its interface was
 *   removed, for ever.
 * - With the machine's own address (`ports`) it has a copy of the ARP that goes to the kernel: answers, and questions, for who asks says where it is, and
 *   by that alone a router that has moved is announced. The stack takes a question for an answer, so that it learns and says nothing: the kernel does.
 *   Otherwise no frame reaches it.
 * - It has the interface take frames to a hardware address of the stack's own.
 */
import type { Batch } from "../memory/batch.ts";
import { ENETDOWN } from "../sys/errno.ts";
import { libc } from "../sys/libc.ts";
import { attachFilter, bindPacketSocket, listenToMac, openPacketSocket } from "../sys/packet-socket.ts";
import { ARP_REPLY, ARP_REQUEST } from "../wire/arp.ts";
import { arpHeard, NOTHING } from "./packet-filter.ts";
import type { Watch } from "./watch.ts";
import type { XdpCounters } from "./xdp-queue.ts";

const ETHERTYPE_ARP = 0x0806;
/** The lower byte of ARP's operation, behind an Ethernet header. */
const ARP_OPERATION = 21;
/** For experiments (IEEE 802): only a socket that is bound to some ethertype is told of its interface. */
const ETHERTYPE_ANY = 0x88b5;

export interface XdpBesideOptions {
	readonly interfaceIndex: number;
	/** A hardware address that is not the interface's. */
	readonly mac: Uint8Array | null;
	/** Whether ARP is wanted. */
	readonly arp: boolean;
	readonly counters: XdpCounters;
}

export class XdpBeside {
	readonly #fd: number;
	readonly #counters: XdpCounters;
	readonly #frame = new Uint8Array(new ArrayBuffer(128));
	#readable = false;

	constructor({ interfaceIndex, mac, arp, counters }: XdpBesideOptions) {
		this.#counters = counters;
		this.#fd = openPacketSocket();
		try {
			if (mac !== null) listenToMac(this.#fd, interfaceIndex, mac);
			attachFilter(this.#fd, arp ? arpHeard(interfaceIndex) : NOTHING);
			bindPacketSocket(this.#fd, interfaceIndex, arp ? ETHERTYPE_ARP : ETHERTYPE_ANY);
		} catch (error) {
			this.close();
			throw error;
		}
	}

	watchBy(watch: Watch): void {
		watch.add(this.#fd, () => {
			this.#readable = true;
		});
	}

	/** ARP for the machine, and so for the stack. As `Link.receive`. */
	receive(batch: Batch, time: number, watch: Watch): number {
		if (!this.#readable) return 0;
		const frame = this.#frame;
		let frames = 0;
		while (batch.count < batch.capacity) {
			if (batch.pool.free === 0) {
				this.#counters.rxNoPage++;
				watch.starved();
				break;
			}
			const length = libc().read(this.#fd, frame, frame.length);
			if (length < 0) {
				this.#readable = false;
				// The socket's error is told once: here, or to the event loop.
				if (libc().errno() === ENETDOWN) watch.lost();
				break;
			}
			if (length > ARP_OPERATION && frame[ARP_OPERATION] === ARP_REQUEST) frame[ARP_OPERATION] = ARP_REPLY;
			batch.add(frame.subarray(0, length), time);
			this.#counters.rxFrames++;
			this.#counters.rxBytes += length;
			frames++;
		}
		return frames;
	}

	/** After the watch. */
	close(): void {
		libc().close(this.#fd);
	}
}
