/**
 * Segments: the wires and switches of a simulated network.
 *
 * Hides where frames go between one host's link and another's. Each host is plugged in by a memory link, impaired on the host's side
 * (so that delayed frames still hold the host's own pages, as frames in a device's queue do); the other ends meet in a switch. The
 * switch sends a frame to where its destination was last seen, or everywhere else; it takes no time of its own and loses nothing:
 * what a network does to frames is said by the impairments, by partitions and by `filter`.
 *
 * Invariant: frames go out in the order in which they came in; ports are served in the order in which they were plugged in.
 */
import { MillraceError } from "../errors.ts";
import { checkImpairOptions, type ImpairOptions, impairLink } from "../link/impair.ts";
import { bad } from "../link/known-options.ts";
import type { Link } from "../link/link.ts";
import { memoryLinkPair } from "../link/memory.ts";
import { Arena } from "../memory/arena.ts";
import { Batch } from "../memory/batch.ts";
import { PAGE_SIZE, PagePool } from "../memory/pages.ts";
import { ETHERNET_HEADER } from "../wire/ethernet.ts";
import type { VirtualRuntime } from "./runtime.ts";
import { type FrameListener, type Trace, TracedLink } from "./trace.ts";

/**
 * Options of a segment. Impairments hold for every host on it, each way: with a delay of 10000 (microseconds, 10 ms), a round trip
 * takes 40 ms, because a frame leaves one host and arrives at another. Use `out` (or `in`) alone to count each frame once.
 */
export interface SegmentOptions extends Omit<ImpairOptions, "seed" | "drop"> {
	/** "ip" (default): frames are IP packets, and hosts need not resolve addresses. "ethernet": as on a network card. */
	readonly medium?: "ethernet" | "ip";
	/** Largest IP packet, in bytes: 68 to 65535, default 1500. */
	readonly mtu?: number;
	/** Pages that may wait in each direction between a host and the switch, default 1024. */
	readonly capacity?: number;
}

/** True lets the frame pass from one host to another. `frame` is valid only during the call. */
export type FrameFilter = (frame: Uint8Array, from: string, to: string) => boolean;

/** Pages of a switch: a frame is in it for no time, so a batch per port is enough. */
const SWITCH_PAGES = 4096;

interface Port {
	readonly name: string;
	readonly link: Link;
	/** Frames to this port, on their way out. */
	readonly leaving: Batch;
	/** Where the frames of this port came from last: its hardware address in two words. */
	macHigh: number;
	macLow: number;
	/** Ports talk within their group. */
	group: number;
}

/** A wire or switch. Made by `Simulation.segment`. */
export class Segment {
	/** As it is called in messages. */
	readonly name: string;
	/** Decides for each frame whether it passes; may be changed at any time. */
	filter: FrameFilter | undefined;
	/** Frames that did not pass, for a partition or the filter. */
	blocked = 0;
	readonly #options: SegmentOptions;
	readonly #runtime: VirtualRuntime;
	readonly #ports: Port[] = [];
	readonly #pool: PagePool;
	readonly #arriving: Batch;
	#awake = false;

	/** @internal Made by `Simulation.segment`. */
	constructor(options: SegmentOptions, runtime: VirtualRuntime, name: string) {
		if (typeof options !== "object" || options === null) throw bad(`${name} needs an object of options, or none`);
		const { medium, mtu, capacity, ...impairments } = options;
		checkImpairOptions(impairments);
		this.name = name;
		this.#options = options;
		this.#runtime = runtime;
		this.#pool = new PagePool(new Arena(SWITCH_PAGES * (PAGE_SIZE + 64)), SWITCH_PAGES);
		this.#arriving = new Batch(this.#pool);
	}

	/** @internal The link for a new host. */
	plug(name: string, trace: Trace, onFrame: FrameListener | undefined): Link {
		const { medium = "ip", mtu = 1500, capacity = 1024, ...impairments } = this.#options;
		const [near, far] = memoryLinkPair({ medium, mtu, capacity, name: `${this.name}:${name}` });
		far.open({ pool: this.#pool, runtime: this.#runtime, wake: () => this.#wake(), failed() {} });
		this.#ports.push({ name, link: far, leaving: new Batch(this.#pool), macHigh: -1, macLow: -1, group: 0 });
		const impaired = Object.keys(impairments).length === 0 ? near : impairLink(near, impairments);
		const link = new TracedLink(impaired, name, this.#ports.length, trace, onFrame);
		if (medium === "ethernet") link.mac = Uint8Array.of(2, 0, 0, 0, this.#ports.length >> 8, this.#ports.length);
		return link;
	}

	/** Cuts the segment: hosts talk only within their group. Hosts that are in none make up one more group. */
	partition(...groups: readonly (readonly string[])[]): void {
		for (const names of groups)
			if (!Array.isArray(names))
				throw bad(`${String(names)} is no group of hosts of ${this.name}: give a list of names such as ["a", "b"]`);
		this.heal();
		groups.forEach((names, index) => {
			for (const name of names) this.#port(name).group = index + 1;
		});
	}

	/** Joins what was cut. */
	heal(): void {
		for (const port of this.#ports) port.group = 0;
	}

	#port(name: string): Port {
		const port = this.#ports.find((candidate) => candidate.name === name);
		if (port === undefined) throw new MillraceError("MILLRACE_SIM_NAME", `host "${name}" is not on this segment: plug it in first`);
		return port;
	}

	#wake(): void {
		if (this.#awake) return;
		this.#awake = true;
		this.#runtime.defer(() => this.#turn());
	}

	/** One batch from each port; more next time. */
	#turn(): void {
		this.#awake = false;
		const arriving = this.#arriving;
		for (const port of this.#ports) {
			if (port.link.receive(arriving) === 0) continue;
			for (let i = 0; i < arriving.count; i++) this.#forward(port, i);
			arriving.drop(arriving.count);
			this.#wake();
		}
		for (const port of this.#ports) {
			this.#deliver(port);
			port.link.flush();
		}
	}

	/** Puts entry `i` into the batches of the ports that it goes to. */
	#forward(from: Port, i: number): void {
		const arriving = this.#arriving;
		const frame = arriving.frame(i);
		let target: Port | undefined;
		if (this.#options.medium === "ethernet" && frame.length >= ETHERNET_HEADER) {
			from.macHigh = macHigh(frame, 6);
			from.macLow = macLow(frame, 6);
			const high = macHigh(frame, 0);
			const low = macLow(frame, 0);
			if ((frame[0]! & 1) === 0) target = this.#ports.find((port) => port.macLow === low && port.macHigh === high);
		}
		for (const port of this.#ports) {
			if (port === from || (target !== undefined && port !== target)) continue;
			if (port.group !== from.group || this.filter?.(frame, from.name, port.name) === false) {
				this.blocked++;
				continue;
			}
			if (port.leaving.count === port.leaving.capacity) this.#deliver(port);
			this.#pool.retain(arriving.page[i]!);
			port.leaving.push(arriving.page[i]!, arriving.start[i]!, arriving.length[i]!, 0, arriving.flags[i]!);
		}
	}

	/** A memory link takes all there is; what does not fit the other end's queue is lost there, and counted. */
	#deliver(port: Port): void {
		port.link.transmit(port.leaving);
	}
}

function macHigh(frame: Uint8Array, at: number): number {
	return (frame[at]! << 16) | (frame[at + 1]! << 8) | frame[at + 2]!;
}

function macLow(frame: Uint8Array, at: number): number {
	return (frame[at + 3]! << 16) | (frame[at + 4]! << 8) | frame[at + 5]!;
}
