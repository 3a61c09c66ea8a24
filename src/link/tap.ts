/**
 * Link to the kernel of this machine: a TAP device, with the kernel on its other side.
 *
 * Hides the life of the device: making it or attaching to it, addressing the kernel's side, waiting for frames, putting
 * everything back. How frames cross is in tap-queue.ts.
 *
 * Waiting: the poll handle stays armed. After a read that found nothing, `receive` answers 0 without a system call until the
 * handle has said that there is something again; the handle is level-triggered and looked at in every turn of the event loop,
 * so nothing is missed. (Disarming it while a burst is worked off would cost more than the callbacks it saves: see sys/poll.ts.)
 *
 * Arrival times: the kernel does not say when it queued a frame. What is known best is when the event loop noticed, so
 * frames get the time of the wake-up, not of `receive`, unless something was sent in between: no answer may be stamped
 * earlier than its question.
 */
import { networkInterfaces } from "node:os";
import { MillraceError } from "../errors.ts";
import type { Batch } from "../memory/batch.ts";
import { type InterfaceAddress, NetworkInterface, validInterfaceName } from "../sys/interface.ts";
import { libc } from "../sys/libc.ts";
import { Poll } from "../sys/poll.ts";
import { IFF_VNET_HDR, openTap, setTapOffload, type Tap } from "../sys/tun.ts";
import type { Alarm } from "../time/clock.ts";
import { formatIpv4, mask4, parseCidr, parseIpv4, parseMac } from "../wire/address.ts";
import { FRAME_ROOM, frameLimit } from "./frames.ts";
import { type Link, type LinkContext, type LinkOffload, SEGMENTATION_MAX } from "./link.ts";
import { OffloadTapQueue } from "./tap-offload.ts";
import { DRAINED, GONE, PlainTapQueue, READY, STARVED, TapCounters, type TapQueue } from "./tap-queue.ts";

export { tapAvailable } from "../sys/tun.ts";

/** How long to wait before trying again when no page was free or the device took no frame, in microseconds. */
const RETRY = 1000;
/** Bytes of an Ethernet header, without and with a VLAN tag. */
const ETHERNET = 14;
const ETHERNET_TAGGED = 18;

/** Options of `tapLink`. */
export interface TapOptions {
	/**
	 * Name of the interface, at most 15 bytes; `%d` in it stands for the first free number. Default "mr%d". A persistent TAP
	 * device of that name is attached to, and keeps its address, MTU and queue where these options do not say otherwise.
	 */
	name?: string;
	/** IPv4 address and prefix of the kernel's side, or null for none. Default "10.77.0.1/24". */
	kernelAddress?: string | null;
	/** Largest IP packet in bytes, 68 to 1968, with offload to 65521. Default 1500. */
	mtu?: number;
	/** The stack's own hardware address: "02:00:00:00:00:01" or 6 bytes. Default: random, locally administered. */
	mac?: string | Uint8Array;
	/** Frames that the kernel queues towards the stack before it drops, 1 to 65535. Default 4096: 50 ms of full frames at 1 Gbit/s. */
	queueLength?: number;
	/**
	 * Leave checksums and cutting into segments to the kernel, both ways: frames of up to 64 KiB may then be sent, and come while there
	 * are bulk data (see tap-offload.ts), for which 33 pages are held. Default true. No effect under a wrapper that needs frames
	 * as on a wire.
	 */
	offload?: boolean;
}

const OFFLOAD: LinkOffload = { checksum: true, segmentation: SEGMENTATION_MAX };

/** What an attached device was like, in the order in which it is put back. */
type Undo = () => void;

/** A TAP device with the kernel on its other side. Made by `tapLink`; members as in `Link`. */
export class TapLink implements Link {
	readonly medium = "ethernet";
	/** The stack's own hardware address, 6 bytes (the kernel's side has another one). */
	readonly mac: Uint8Array;
	readonly #offload: boolean;
	readonly #mtuMax: number;
	#name: string;
	#mtu: number;
	readonly #options: Readonly<TapOptions>;
	readonly #kernelAddress: InterfaceAddress | null;
	readonly #counters = new TapCounters();
	readonly #undo: Undo[] = [];
	#tap: Tap | null = null;
	#queue: TapQueue | null = null;
	#poll: Poll | null = null;
	#context: LinkContext | null = null;
	#retry: Alarm | null = null;
	#readable = false;
	/** Time of the wake-up, where it still stands for the frames to be read. */
	#noticed = 0;
	#noticedValid = false;
	#failed = false;

	constructor(options: TapOptions = {}) {
		const { name = "mr%d", kernelAddress = "10.77.0.1/24", mtu = 1500, mac, queueLength = 4096, offload = true } = options;
		this.#offload = offload;
		this.#mtuMax = offload ? 65535 - ETHERNET : FRAME_ROOM - ETHERNET_TAGGED;
		if (!validInterfaceName(name))
			throw new MillraceError(
				"MILLRACE_OPTION",
				`bad name of a TAP device: "${name}". Give 1 to 15 letters, digits or dashes, such as mr0`,
			);
		integer("mtu", mtu, 68, this.#mtuMax);
		integer("queueLength", queueLength, 1, 65535);
		this.#options = options;
		this.#name = name;
		this.#mtu = mtu;
		this.#kernelAddress = kernelAddress === null ? null : parseKernelAddress(kernelAddress);
		this.mac = mac === undefined ? randomMac() : stationMac(typeof mac === "string" ? parseMac(mac) : mac);
	}

	/** `tap:` and the name of the interface. */
	get name(): string {
		return `tap:${this.#name}`;
	}

	/** The name of the interface: before `open` as it was asked for, after as it is. */
	get interfaceName(): string {
		return this.#name;
	}

	/** Largest IP packet, in bytes; for a device that was attached to, valid after `open`. */
	get mtu(): number {
		return this.#mtu;
	}

	/** Checksums and segmentation, if `offload` was asked for and the link was not opened for plain frames. */
	get offload(): LinkOffload | undefined {
		return this.#offload && this.#queue !== null && this.#context?.plain !== true ? OFFLOAD : undefined;
	}

	/** Makes the device and brings it up. Throws MillraceError: EPERM, EACCES, EBUSY, ENOENT, EINVAL, EADDRINUSE, MILLRACE_KOFFI, MILLRACE_PLATFORM. */
	open(context: LinkContext): void {
		if (this.#context !== null)
			throw new MillraceError("MILLRACE_LINK", `link ${this.name} was opened before; make a new one for each host`);
		const tap = openTap(this.#name, this.#offload ? IFF_VNET_HDR : 0);
		const plain = context.plain === true;
		this.#context = context;
		this.#tap = tap;
		this.#name = tap.name;
		try {
			this.#configure(tap);
			const limit = frameLimit(this);
			this.#queue = this.#offload
				? new OffloadTapQueue(tap, limit, plain, context.pool, this.#counters)
				: new PlainTapQueue(tap.fd, limit, context.pool, this.#counters);
			this.#retry = context.runtime.alarm(() => this.#again());
			this.#poll = new Poll(
				tap.fd,
				() => this.#notice(),
				() => this.#fail(),
			);
		} catch (error) {
			this.close();
			throw error;
		}
	}

	receive(batch: Batch): number {
		const queue = this.#queue;
		if (queue === null || !this.#readable) return 0;
		const time = this.#noticedValid ? this.#noticed : this.#context!.runtime.clock.now() | 0;
		this.#noticedValid = false;
		const frames = queue.receive(batch, time);
		if (queue.state !== READY) this.#pause(queue.state);
		return frames;
	}

	transmit(batch: Batch): number {
		const queue = this.#queue;
		if (queue === null || batch.count === 0) return 0;
		this.#noticedValid = false;
		const frames = queue.transmit(batch);
		if (queue.stalled) this.#retrySoon();
		else if (queue.state === GONE) this.#fail();
		return frames;
	}

	/** Nothing to do: each frame left with its own system call. */
	flush(): void {}

	ref(): void {
		this.#poll?.ref();
	}

	unref(): void {
		this.#poll?.unref();
	}

	close(): void {
		this.#poll?.close();
		this.#poll = null;
		this.#retry?.clear();
		this.#retry = null;
		this.#queue?.close();
		this.#queue = null;
		for (let undo = this.#undo.pop(); undo !== undefined; undo = this.#undo.pop()) {
			try {
				undo();
			} catch {
				// The device is gone, or no longer ours to change: there is nothing to put back.
			}
		}
		if (this.#tap !== null) libc().close(this.#tap.fd);
		this.#tap = null;
	}

	counters(): Readonly<Record<string, number>> {
		return { ...this.#counters };
	}

	/** Sets what was asked for. Of an attached device only that, and only what differs, remembering how it was. */
	#configure(tap: Tap): void {
		const kernel = new NetworkInterface(tap.name);
		this.#undo.push(() => kernel.close());
		const { mtu, queueLength, kernelAddress } = this.#options;
		const before = { mtu: kernel.mtu, queueLength: kernel.queueLength, address: kernel.address, up: kernel.up };
		const set = <K extends "mtu" | "queueLength" | "address" | "up">(what: K, value: NetworkInterface[K]): void => {
			kernel[what] = value;
			if (!tap.attached) return;
			this.#undo.push(() => {
				kernel[what] = before[what] as NetworkInterface[K];
			});
		};
		if (!tap.attached || mtu !== undefined) {
			if (before.mtu !== this.#mtu) set("mtu", this.#mtu);
		} else if (before.mtu <= this.#mtuMax) {
			this.#mtu = before.mtu;
		} else {
			throw new MillraceError(
				"MILLRACE_OPTION",
				`TAP device "${tap.name}" has an MTU of ${before.mtu} bytes, more than a page holds. Give the mtu option, at most ${this.#mtuMax}`,
			);
		}
		if (!tap.attached || queueLength !== undefined) set("queueLength", queueLength ?? 4096);
		if (!tap.attached || kernelAddress !== undefined || before.address === null) {
			const { address } = before;
			if (this.#kernelAddress !== null) refuseTaken(this.#kernelAddress, tap.name);
			if (address?.word !== this.#kernelAddress?.word || address?.prefix !== this.#kernelAddress?.prefix)
				set("address", this.#kernelAddress);
		}
		if (tap.attached) {
			// Whoever had the device before may have been killed before it could put this back.
			setTapOffload(tap, 0);
			this.#undo.push(() => setTapOffload(tap, 0));
		}
		if (!before.up) set("up", true);
	}

	#notice(): void {
		if (!this.#noticedValid) {
			this.#noticed = this.#context!.runtime.clock.now() | 0;
			this.#noticedValid = true;
		}
		this.#readable = true;
		this.#context!.wake();
	}

	/** There is nothing to be read for now. */
	#pause(state: number): void {
		if (state === DRAINED) {
			this.#readable = false;
			this.#poll?.resume();
		} else if (state === STARVED) {
			// Frames wait, so the handle would call back in every turn for nothing.
			this.#poll?.pause();
			this.#retrySoon();
		} else {
			this.#fail();
		}
	}

	#retrySoon(): void {
		const { clock } = this.#context!.runtime;
		this.#retry?.set(clock.now() + RETRY);
	}

	#again(): void {
		this.#poll?.resume();
		this.#context!.wake();
	}

	#fail(): void {
		if (this.#failed) return;
		this.#failed = true;
		this.#readable = false;
		const { runtime, failed } = this.#context!;
		const error = new MillraceError("ENODEV", `TAP device "${this.#name}" was removed. Restart, or open a new link`);
		// Later: `failed` may well close the link, which is in the middle of something.
		runtime.defer(() => {
			if (this.#tap !== null) failed.call(this.#context, error);
		});
	}
}

/** A link to the kernel of this machine, by a TAP device that vanishes when the link is closed or the process ends. */
export function tapLink(options: TapOptions = {}): TapLink {
	return new TapLink(options);
}

function integer(name: string, value: number, min: number, max: number): void {
	if (!Number.isInteger(value) || value < min || value > max)
		throw new MillraceError("MILLRACE_OPTION", `bad ${name}: ${value}. Give a whole number from ${min} to ${max}`);
}

function parseKernelAddress(text: string): InterfaceAddress {
	const { version, words, prefix } = parseCidr(text);
	if (version !== 4)
		throw new MillraceError(
			"MILLRACE_OPTION",
			`bad kernelAddress: "${text}". Give an IPv4 address with its prefix length, such as 10.77.0.1/24`,
		);
	return { word: words[3]!, prefix };
}

/** Refuses an address whose network is on another interface already: the kernel would take it, and send its packets there. */
function refuseTaken(wanted: InterfaceAddress, self: string): void {
	const mask = mask4(wanted.prefix);
	for (const [name, addresses] of Object.entries(networkInterfaces())) {
		for (const { family, address, cidr } of addresses ?? []) {
			if (name === self || family !== "IPv4" || cidr === null || parseCidr(cidr).prefix < wanted.prefix) continue;
			if (((parseIpv4(address) ^ wanted.word) & mask) === 0)
				throw new MillraceError(
					"EADDRINUSE",
					`the kernel has ${cidr} on interface "${name}" already, in the network of ${formatIpv4(wanted.word)}/${wanted.prefix}. Choose another network (kernelAddress)`,
				);
		}
	}
}

function stationMac(mac: Uint8Array): Uint8Array {
	if (mac.length !== 6 || (mac[0]! & 1) !== 0)
		throw new MillraceError("MILLRACE_OPTION", `bad mac: ${mac}. Give six bytes of a single station, such as 02:00:00:00:00:01`);
	return mac.slice();
}

function randomMac(): Uint8Array {
	const mac = crypto.getRandomValues(new Uint8Array(6));
	mac[0] = (mac[0]! & 0xfc) | 0x02; // locally administered, one station
	return mac;
}
