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
 *
 * Queues: a device may have several (tap-round.ts). The kernel chooses the queue of a frame, or a program with a table of flow
 * groups does (flow-steering.ts). The table may change at any time; frames that are queued stay where they are, so a flow that is
 * moved may be seen out of order once. A device of one queue has a second one where it can, for what is not to wait behind bulk data (express-lane.ts).
 */
import { factOf, MillraceError } from "../errors.ts";
import type { Batch } from "../memory/batch.ts";
import { type InterfaceAddress, NetworkInterface } from "../sys/interface.ts";
import { addAddress, interfaceAddresses, kernelAddresses } from "../sys/kernel-addresses.ts";
import { Poll } from "../sys/poll.ts";
import { idleSeconds, threadSeconds } from "../sys/processors.ts";
import { removeQdisc } from "../sys/qdisc.ts";
import { receiveUnsteered, steerReceive } from "../sys/rps.ts";
import {
	closeTap,
	endTapSteering,
	IFF_VNET_HDR,
	openTap,
	setTapHeader,
	setTapOffload,
	setTapSteering,
	type Tap,
	tapExists,
} from "../sys/tun.ts";
import type { Alarm } from "../time/clock.ts";
import { formatIpv4, mask4, parseIpv4 } from "../wire/address.ts";
import { ExpressLane, LANE_QUEUE } from "./express-lane.ts";
import { FlowSteering, flowGroup } from "./flow-steering.ts";
import { frameLimit } from "./frames.ts";
import { wholeNumber } from "./known-options.ts";
import { type Link, type LinkContext, type LinkOffload, SEGMENTATION_MAX } from "./link.ts";
import { DRAINED, GONE, READY, STARVED } from "./queue-state.ts";
import { SpareProcessor } from "./spare-processor.ts";
import { OffloadTapQueue } from "./tap-offload.ts";
import { type TapOptions, type TapSettings, tapSettings } from "./tap-options.ts";
import { PlainTapQueue, TapCounters, type TapQueue } from "./tap-queue.ts";
import { TapPolls, type TapQueueFigures, TapRound } from "./tap-round.ts";
import { VNET_HEADER } from "./vnet.ts";

export { tapAvailable, tapQueuesAvailable } from "../sys/tun.ts";
export { uringAvailable } from "../sys/uring.ts";
export type { TapOptions } from "./tap-options.ts";
export type { TapQueueFigures } from "./tap-round.ts";

/** How long to wait before trying again when no page was free or the device took no frame, in microseconds. */
const RETRY = 1000;

const OFFLOAD: LinkOffload = { checksum: true, segmentation: SEGMENTATION_MAX, longPieces: true };

/** What an attached device was like, in the order in which it is put back. */
type Undo = () => void;

/** A TAP device with the kernel on its other side. Made by `tapLink`; members as in `Link`. */
export class TapLink implements Link {
	readonly medium = "ethernet";
	/** The stack's own hardware address, 6 bytes (the kernel's side has another one). */
	readonly mac: Uint8Array;
	#name: string;
	#mtu: number;
	/** As given, for what was not asked for stays as it is in an attached device; and complete. */
	readonly #options: Readonly<TapOptions>;
	readonly #settings: TapSettings;
	readonly #counters = new TapCounters();
	readonly #undo: Undo[] = [];
	#tap: Tap | null = null;
	#queue: TapQueue | TapRound | null = null;
	#poll: Poll | TapPolls | null = null;
	#steering: FlowSteering | null = null;
	#spare: SpareProcessor | null = null;
	#context: LinkContext | null = null;
	#retry: Alarm | null = null;
	#readable = false;
	/** Time of the wake-up, where it still stands for the frames to be read. */
	#noticed = 0;
	#noticedValid = false;
	#failed = false;

	constructor(options: TapOptions = {}) {
		this.#options = options;
		this.#settings = tapSettings(options);
		this.#name = this.#settings.name;
		this.#mtu = this.#settings.mtu;
		this.mac = this.#settings.mac;
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
		return this.#settings.offload && this.#queue !== null && this.#context?.plain !== true ? OFFLOAD : undefined;
	}

	/** Queues of the device. */
	get queues(): number {
		return this.#settings.queues;
	}

	/** Frames of each queue since the link was opened. */
	queueFigures(): TapQueueFigures[] {
		if (this.#queue instanceof TapRound && this.queues > 1) return this.#queue.figures();
		return [{ rxFrames: this.#counters.rxFrames, txFrames: this.#counters.txFrames }];
	}

	/**
	 * The flow group of TCP or UDP packets between two ends, given in either order; with ports 0, of all else between the two
	 * addresses, fragments included. What is not IP is of group 0, and so is everything where the kernel steers.
	 */
	flowGroup(address: string, port: number, otherAddress: string, otherPort: number): number {
		return flowGroup(address, port, otherAddress, otherPort, Math.max(this.#settings.flowGroups, 1));
	}

	/** The queue of each flow group, a copy; empty where the kernel steers. To be asked while the link is open. */
	get reta(): number[] {
		return this.#steering?.reta ?? new Array<number>(this.#settings.flowGroups).fill(0);
	}

	/** Has the frames of a flow group come by another queue, from the kernel's next one on. Throws MILLRACE_BAD_OPTION, MILLRACE_LINK. */
	setReta(group: number, queue: number): void {
		const { flowGroups, queues } = this.#settings;
		if (flowGroups === 0 || this.#tap === null) {
			const why = flowGroups > 0 ? "is not open" : 'is steered by the kernel: make it with steering "flow-group"';
			throw new MillraceError("MILLRACE_LINK", `flow groups of link ${this.name} cannot be moved: it ${why}`);
		}
		wholeNumber("flow group", group, 0, flowGroups - 1);
		wholeNumber("queue", queue, 0, queues - 1);
		this.#steering?.steer(group, queue);
	}

	/** Makes the device and brings it up. Throws MillraceError: EPERM, EACCES, EBUSY, ENOENT, EINVAL, EADDRINUSE, MILLRACE_KOFFI, MILLRACE_PLATFORM. */
	open(context: LinkContext): void {
		if (this.#context !== null)
			throw new MillraceError("MILLRACE_LINK_USED", `link ${this.name} was opened before: a link serves one host, once; make another`);
		const lane = this.#expressLane();
		try {
			this.#openWith(context, lane);
		} finally {
			// The device holds what it was given.
			lane?.close();
		}
	}

	#openWith(context: LinkContext, lane: ExpressLane | null): void {
		const { landing, offload, pageOrder } = this.#settings;
		const queues = lane === null ? this.#settings.queues : 2;
		const tap = openTap(this.#name, offload ? IFF_VNET_HDR : 0, queues);
		const plain = context.plain === true;
		this.#context = context;
		this.#tap = tap;
		this.#name = tap.name;
		try {
			if (lane !== null) setTapSteering(tap, lane.program);
			else if (queues > 1) this.#steer(tap);
			const queueFrames = this.#configure(tap) * queues;
			const limit = frameLimit(this);
			const queue = offload
				? new OffloadTapQueue(tap, limit, plain, landing && context.landings === true, pageOrder, queueFrames, context.pool, this.#counters)
				: new PlainTapQueue(tap.fds, limit, context.pool, this.#counters);
			if (this.#settings.ioUring) useUring(queue);
			this.#retry = context.runtime.alarm(() => this.#again());
			const failed = (): void => this.#fail();
			if (queues === 1) {
				this.#queue = queue;
				this.#poll = new Poll(tap.fd, () => this.#notice(), failed);
				return;
			}
			const round = new TapRound(queue, queues, this.#counters, lane === null && this.#steering === null, lane === null ? -1 : LANE_QUEUE);
			this.#queue = round;
			this.#poll = new TapPolls(
				tap.fds,
				(i) => {
					round.notice(i);
					this.#notice();
				},
				failed,
			);
		} catch (error) {
			this.close();
			throw error;
		}
	}

	get waiting(): boolean {
		const state = this.#queue?.state;
		return state === READY || state === STARVED;
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

	look(): number {
		if (this.#queue instanceof TapRound) this.#queue.noticeAll();
		this.#readable = !this.#failed;
		return 0;
	}

	transmit(batch: Batch): number {
		const queue = this.#queue;
		if (queue === null || batch.count === 0) return 0;
		this.#noticedValid = false;
		const frames = queue.transmit(batch);
		this.#spare?.sent();
		if (queue.stalled) this.#retrySoon();
		else if (queue.state === GONE) this.#fail();
		return frames;
	}

	/** Nothing to do: frames leave with `transmit`. */
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
		this.#steering?.close();
		this.#steering = null;
		if (this.#tap !== null) closeTap(this.#tap);
		this.#tap = null;
	}

	counters(): Readonly<Record<string, number>> {
		return { ...this.#counters };
	}

	/** A lane for a device that is to be made, where the kernel permits one: without, frames wait for each other, as ever. */
	#expressLane(): ExpressLane | null {
		const { expressLane, queues, flowGroups } = this.#settings;
		if (!expressLane || queues > 1 || flowGroups > 0 || tapExists(this.#name)) return null;
		try {
			return new ExpressLane();
		} catch {
			return null;
		}
	}

	/** Says who chooses queues, before the first frame does. */
	#steer(tap: Tap): void {
		const { flowGroups, queues } = this.#settings;
		if (flowGroups > 0) {
			this.#steering = new FlowSteering(flowGroups);
			this.#steering.spread(queues);
			setTapSteering(tap, this.#steering.program);
			if (tap.attached) this.#undo.push(() => endTapSteering(tap));
		} else if (tap.attached) {
			// A program may have been left by somebody who was killed, as with offloads.
			endTapSteering(tap);
		}
	}

	/** Sets what was asked for. Of an attached device only that, and only what differs, remembering how it was. Returns the frames that a queue holds. */
	#configure(tap: Tap): number {
		const kernel = new NetworkInterface(tap.name);
		this.#undo.push(() => kernel.close());
		const { mtu, queueLength, kernelAddress } = this.#options;
		const { mtuMax, kernelAddress: wanted } = this.#settings;
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
		} else if (before.mtu <= mtuMax) {
			this.#mtu = before.mtu;
		} else {
			throw new MillraceError(
				"MILLRACE_BAD_OPTION",
				`TAP device "${tap.name}" has an MTU of ${before.mtu} bytes, more than a page holds. Give the mtu option, at most ${mtuMax}`,
			);
		}
		if (!tap.attached || queueLength !== undefined) set("queueLength", this.#settings.queueLength);
		if (!tap.attached || kernelAddress !== undefined || before.address === null) {
			const { address } = before;
			if (wanted !== null) refuseTaken(wanted, tap.name);
			if (tap.attached && wanted !== null && address !== null) this.#addAddress(tap.name, kernel.index, wanted);
			else if (address?.word !== wanted?.word || address?.prefix !== wanted?.prefix) set("address", wanted);
		}
		if (tap.attached) {
			// Whoever had the device before may have been killed before it could put this back.
			setTapOffload(tap, 0);
			this.#undo.push(() => setTapOffload(tap, 0));
			if (this.#settings.offload) {
				const header = setTapHeader(tap, VNET_HEADER);
				this.#undo.push(() => setTapHeader(tap, header));
			}
		}
		if (!before.up) set("up", true);
		// Where the kernel refuses, it keeps the one that it likes best, and all is a little slower.
		if (!tap.attached && this.#settings.qdiscBypass) removeQdisc(kernel.index);
		const { rps } = this.#settings;
		if (rps === "auto") {
			// Of an attached device the owner decides, of another one whoever was told of it by the kernel and was quicker.
			if (!tap.attached && receiveUnsteered(tap.name, kernel.mac)) this.#spare = this.#lookForHelp(tap.name, kernel.mac);
		} else if (rps.length > 0) {
			const back = steerReceive(tap.name, kernel.mac, rps);
			if (tap.attached) this.#undo.push(back);
		}
		return kernel.queueLength;
	}

	/** Gives an attached device the address beside those that it has: to set the first one takes the others away, and routes with them, which nobody would put back. */
	#addAddress(name: string, index: number, wanted: InterfaceAddress): void {
		const text = `${formatIpv4(wanted.word)}/${wanted.prefix}`;
		if (interfaceAddresses(name).includes(text)) return;
		const back = addAddress(index, wanted);
		if (back === null)
			throw new MillraceError(
				"EADDRNOTAVAIL",
				`the kernel does not give ${text} to TAP device "${name}". Choose another address (kernelAddress)`,
			);
		this.#undo.push(back);
	}

	#lookForHelp(name: string, hardware: Uint8Array): SpareProcessor {
		const counters = this.#counters;
		let back: Undo = () => {};
		return new SpareProcessor(this.#context!.runtime.clock, counters, { idleSeconds, threadSeconds }, (processor) => {
			if (processor === null) {
				back();
				counters.rpsOff++;
			} else {
				back = steerReceive(name, hardware, [processor]);
				counters.rpsOn++;
			}
		});
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

/** Batches of calls where the kernel has them: without, each frame is a call of its own. */
function useUring(queue: TapQueue): void {
	try {
		queue.useUring();
	} catch {
		// Missing or forbidden: nothing but speed is lost, and `rxBatchCalls` in the counters stays 0.
	}
}

/** A link to the kernel of this machine, by a TAP device that vanishes when the link is closed or the process ends. */
export function tapLink(options: TapOptions = {}): TapLink {
	return new TapLink(options);
}

/** Whether flows can be steered by flow group here, and if not, why, in a few words. Touches no device. */
export function tapSteeringAvailable(): { ok: boolean; reason: string } {
	try {
		new FlowSteering(1).close();
		return { ok: true, reason: "permitted" };
	} catch (error) {
		return { ok: false, reason: factOf(error) };
	}
}

/** Whether a device may have an express lane here, and if not, why, in a few words. Touches no device. */
export function expressLaneAvailable(): { ok: boolean; reason: string } {
	try {
		new ExpressLane().close();
		return { ok: true, reason: "permitted" };
	} catch (error) {
		return { ok: false, reason: factOf(error) };
	}
}

/** Refuses an address whose network is on another interface already: the kernel would take it, and send its packets there. */
function refuseTaken(wanted: InterfaceAddress, self: string): void {
	const mask = mask4(wanted.prefix);
	for (const { interface: name, address, prefix } of kernelAddresses()) {
		if (name === self || prefix < wanted.prefix || ((parseIpv4(address) ^ wanted.word) & mask) !== 0) continue;
		throw new MillraceError(
			"EADDRINUSE",
			`the kernel has ${address}/${prefix} on interface "${name}" already, in the network of ${formatIpv4(wanted.word)}/${wanted.prefix}. Choose another network (kernelAddress)`,
		);
	}
}
