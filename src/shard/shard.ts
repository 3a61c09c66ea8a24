/**
 * A shard: one core's slice of the stack, from the link to the ready list, and the loop that drives it.
 *
 * Hides cores and turns. A turn has two halves, with the application's reactions between them: first a batch is received,
 * taken in, timers fire, SYNs are answered, and what is ready is handed to the application; then, after all that the application set off
 * (promises included), each connection that wants to send sends once, and the link gets the frames with one kick. So data,
 * ACK and FIN that one request causes share segments. Both halves are deferred tasks queued together, so nothing runs inside
 * a caller of `wake`, and a blocked application blocks its stack and nobody else's.
 *
 * Work per turn is bounded: a batch in (more behind a turn that has sent much), what was queued out; what is left keeps the loop going. With no frames and no
 * timers due nothing runs at all.
 */
import { MillraceError } from "../errors.ts";
import { Icmp } from "../icmp/icmp.ts";
import { IpLayer, type Outbox } from "../ip/ip.ts";
import type { RouteOption } from "../ip/routes.ts";
import { type Link, SEGMENTATION_MAX } from "../link/link.ts";
import { ARENA_MAX, Arena } from "../memory/arena.ts";
import { BATCH_CAPACITY, Batch } from "../memory/batch.ts";
import { PagePool, SLAB_SIZE } from "../memory/pages.ts";
import { Tcp, type Upper } from "../tcp/engine.ts";
import type { TcpOptions } from "../tcp/options.ts";
import type { Alarm, Clock, Random, Runtime } from "../time/clock.ts";
import { sumByVectors } from "../wire/checksum.ts";
import { PROTOCOL_TCP } from "../wire/tcp.ts";
import { arenaBytes, LANDINGS, mostMemory, pagesOf } from "./room.ts";
import { Spin } from "./spin.ts";

export interface ShardOptions {
	link: Link;
	runtime: Runtime;
	/** CIDR addresses of the host. */
	addresses: readonly string[];
	routes: readonly RouteOption[];
	/** Take packets to any address (gateways). */
	acceptAny: boolean;
	/** Bytes for pages. */
	memory: number;
	/** Sum checksums by vectors, where the engine has them. */
	simd: boolean;
	/** Ask the runtime for large pages under records and pages. */
	largePages: boolean;
	/** Longest time to go on turning after the last frame, in microseconds; 0: sleep at once. */
	spin: number;
	tcp: Readonly<TcpOptions>;
	upper: Upper;
	/** The link is gone for good. */
	failed(error: Error): void;
}

/** What a shard counts of its loop. */
export class ShardCounters {
	turns = 0;
	/** Turns whose receive batch was full: there was more. */
	fullBatches = 0;
	framesIn = 0;
	framesOut = 0;
	/** Frames that the link did not take; TCP sends them again. */
	transmitDropped = 0;
	/** Spins that found frames: a sleep and a wake-up saved; those that found none; and microseconds spent in both. */
	spinHits = 0;
	spinMisses = 0;
	spinTime = 0;
	/** Longest time from when a turn was due until its answers left, microseconds: how long the application held the thread. */
	longestGap = 0;
}

/** A turn that comes later than this, in microseconds, is worth a word: the shortest retransmission time-out of common stacks. */
const LATE = 200_000;

/** A locally administered unicast address (IEEE 802), for Ethernet links that leave the choice to the host. */
function randomMac(random: Random): Uint8Array {
	const high = random.int32();
	const low = random.int32();
	return Uint8Array.of(0x02, high >>> 24, high >>> 16, high >>> 8, low >>> 8, low);
}

/**
 * Frames taken in a turn at most. A batch is enough where each frame is answered by one. But a turn that sends to many connections sends far more than a
 * batch, and if it took no more ACKs than that, they would queue up, with all that comes behind them; so it takes as many as the turn before has sent.
 */
const TAKE_MAX = 1024;
/** So many frames sent are more than answers to a batch are: short connections have three each. */
const TAKE_MORE = 4 * BATCH_CAPACITY;

/** Full batches in a row after which timers are looked at all the same. */
const TIMER_PATIENCE = 8;

export class Shard implements Outbox {
	readonly arena: Arena;
	readonly pool: PagePool;
	readonly tcp: Tcp;
	readonly ip: IpLayer;
	readonly icmp: Icmp;
	readonly link: Link;
	readonly clock: Clock;
	/** Bytes of the arena under which large pages may come. */
	readonly largePages: number;
	readonly counters: ShardCounters = new ShardCounters();
	/** Called when a turn came later than any before, by more than 200 ms. @param gap Microseconds. */
	onLate: ((gap: number) => void) | null = null;
	readonly #runtime: Runtime;
	readonly #rx: Batch;
	readonly #tx: Batch;
	readonly #alarm: Alarm;
	readonly #turnIn = (): void => this.#in();
	readonly #turnOut = (): void => this.#out();
	readonly #spin: Spin | null;
	readonly #turnSpin = (): void => {
		this.#spinQueued = false;
		this.#look();
	};
	/** Something of this host keeps the process alive anyway. Without, the loop never turns for nothing. */
	held = false;
	#spinQueued = false;
	#inQueued = false;
	#outsQueued = 0;
	#wokenAt = Number.POSITIVE_INFINITY;
	#dueSince = Number.POSITIVE_INFINITY;
	#patience = 0;
	/** Frames that had left when frames were taken in last. */
	#sentBefore = 0;
	#alarmAt = Number.POSITIVE_INFINITY;
	#open = false;
	#closed = false;

	constructor(options: ShardOptions) {
		const { link, runtime } = options;
		this.link = link;
		this.clock = runtime.clock;
		this.#runtime = runtime;
		this.#spin = options.spin > 0 ? new Spin(options.spin, this.counters) : null;
		const limits = options.tcp;
		const { pages, slabs } = pagesOf(options.memory);
		const bytes = arenaBytes(options.memory, limits);
		if (!(bytes <= ARENA_MAX)) {
			const most = mostMemory(limits);
			throw new MillraceError(
				"MILLRACE_BAD_OPTION",
				most > 0
					? `memory of ${options.memory} bytes: at most ${most} can be had beside the tables. Give less, or fewer tcp.maxConnections or tcp.maxTimeWait`
					: "the tables leave no memory: give fewer tcp.maxConnections or tcp.maxTimeWait",
			);
		}
		const shared = link.arenaBytes ?? 0;
		this.arena = new Arena(bytes + shared <= ARENA_MAX ? bytes + shared : bytes);
		if (options.simd) sumByVectors(this.arena);
		this.pool = new PagePool(this.arena, pages, LANDINGS, slabs);
		this.#rx = new Batch(this.pool, BATCH_CAPACITY);
		this.#tx = new Batch(this.pool, BATCH_CAPACITY);
		this.ip = new IpLayer({
			pool: this.pool,
			runtime,
			medium: link.medium,
			mtu: link.mtu,
			...(link.medium === "ethernet" ? { mac: link.mac ?? randomMac(runtime.random) } : {}),
			loopbackLink: link.loopback === true,
			addresses: options.addresses,
			routes: options.routes,
			acceptAny: options.acceptAny,
			out: this,
		});
		this.tcp = new Tcp(this.arena, this.pool, runtime, this.ip, options.upper, link.mtu, limits);
		this.tcp.onWork = () => this.#wantOut();
		this.tcp.between = runtime.settle?.bind(runtime) ?? null;
		this.ip.onWork = () => this.wake();
		this.ip.register(PROTOCOL_TCP, this.tcp);
		this.icmp = new Icmp({ ip: this.ip, pool: this.pool, runtime });
		this.#alarm = runtime.alarm(() => {
			// The turn is due since then, not since the alarm was heard.
			const due = this.#alarmAt;
			this.#alarmAt = Number.POSITIVE_INFINITY;
			if (!this.#inQueued) {
				this.wake();
				this.#wokenAt = Math.min(this.#wokenAt, due);
			}
		});
		// Everything that is touched from its front on as it is used: tables, descriptors, pages. What the link reserves from here on may be the kernel's.
		this.largePages = options.largePages ? (runtime.largePages?.(this.arena.u8.subarray(0, this.arena.used)) ?? 0) : 0;
		link.open({
			pool: this.pool,
			runtime,
			landings: true,
			wake: () => this.wake(),
			failed: (error) => options.failed(error),
		});
		this.#open = true;
		try {
			// A device that was there before has one of its own.
			this.ip.setMtu(link.mtu);
		} catch (error) {
			// Nobody has a host yet that could be closed.
			this.close();
			throw error;
		}
		this.tcp.setMtu(link.mtu);
		this.tcp.checksumOffload = link.offload?.checksum === true;
		this.tcp.segmentation = this.tcp.checksumOffload ? Math.min(link.offload?.segmentation ?? 0, SEGMENTATION_MAX) : 0;
		// A frame should hold most of a slab.
		this.tcp.longPieces = limits.slabs && this.tcp.segmentation >= SLAB_SIZE >> 1 && link.offload?.longPieces === true;
		this.wake();
	}

	/** Asks for a whole turn. Cheap; may be called at any time. */
	wake(): void {
		if (this.#inQueued || this.#closed) return;
		this.#inQueued = true;
		if (this.#wokenAt === Number.POSITIVE_INFINITY) this.#wokenAt = this.#runtime.clock.now();
		this.#runtime.defer(this.#turnIn);
		// Always a second half of its own: one that is queued already runs before this first half.
		this.#outsQueued++;
		this.#runtime.defer(this.#turnOut);
	}

	#wantOut(): void {
		if (this.#outsQueued > 0 || this.#closed) return;
		this.#outsQueued++;
		this.#runtime.defer(this.#turnOut);
	}

	#in(): void {
		this.#inQueued = false;
		if (this.#closed) return;
		if (this.#wokenAt < this.#dueSince) this.#dueSince = this.#wokenAt;
		this.#wokenAt = Number.POSITIVE_INFINITY;
		const now = this.#runtime.clock.now();
		this.counters.turns++;
		this.tcp.setTime(now);
		const rx = this.#rx;
		const sent = this.counters.framesOut - this.#sentBefore;
		this.#sentBefore = this.counters.framesOut;
		const most = sent < TAKE_MORE ? 0 : Math.min(sent, TAKE_MAX);
		let received = 0;
		let full = true;
		do {
			const count = this.link.receive(rx);
			received += count;
			full = count >= rx.capacity;
			if (rx.count > 0) this.ip.input(rx);
		} while (full && received < most);
		this.counters.framesIn += received;
		if (this.tcp.options.holdWindows) this.tcp.standing.look(this.tcp, this.link.waiting ?? full);
		const looped = this.ip.pump();
		if (full) {
			this.counters.fullBatches++;
			this.#patience++;
		}
		// ACKs that wait in the link would make timers look due that are not; but a flood must not stop time.
		if (!full || this.#patience >= TIMER_PATIENCE) {
			this.#patience = 0;
			this.tcp.advance();
		}
		if (this.tcp.greet()) {
			this.#transmit();
			this.link.flush();
		}
		try {
			this.tcp.deliver();
		} finally {
			// Also when the application threw: what it was not told yet, and what the link still has, comes with the next turn.
			if (received > 0) this.#spin?.arrived(now);
			if (full || looped > 0 || received > 0) this.wake();
			else if (this.#spin !== null) this.#look();
		}
	}

	/** Nothing is left to do: turns on where that is likely to pay. In each turn the event loop looks at the link, as at all else. */
	#look(): void {
		// A turn that is queued will say more: whether frames came.
		if (this.#spinQueued || this.#inQueued || this.#closed) return;
		if (!this.#spin!.lookOn(this.#runtime.clock.now(), this.held)) return;
		this.#spinQueued = true;
		this.#runtime.defer(this.#turnSpin);
	}

	#out(): void {
		this.#outsQueued--;
		if (this.#closed) return;
		const now = this.#runtime.clock.now();
		this.tcp.setTime(now);
		this.tcp.flush();
		this.#transmit();
		this.link.flush();
		if (this.#dueSince !== Number.POSITIVE_INFINITY) this.#measure(now);
		this.#arm();
		// Something was left over (a connection's turn was up, or the ready list was long): go on in the next turn.
		if (this.tcp.busy) this.wake();
	}

	/** How late the answers of this turn left: since it was asked for, the application's reactions included. */
	#measure(now: number): void {
		const gap = now - this.#dueSince;
		this.#dueSince = Number.POSITIVE_INFINITY;
		if (gap <= this.counters.longestGap) return;
		this.counters.longestGap = gap;
		if (gap > LATE) this.onLate?.(gap);
	}

	/** Takes a frame from ip; the entries of a run stay in one batch. */
	push(page: number, start: number, length: number, flags: number, segment = 0, entries = 1): void {
		const tx = this.#tx;
		if (tx.count + entries > tx.capacity) this.#transmit();
		tx.push(page, start, length, 0, flags);
		if (segment !== 0) tx.segment[tx.count - 1] = segment;
		this.#wantOut();
	}

	#transmit(): void {
		const tx = this.#tx;
		while (tx.count > 0) {
			// By what is gone from the batch: the number that a link of somebody's own returns may be anything.
			const { count } = tx;
			if (this.#open) this.link.transmit(tx);
			const taken = count - tx.count;
			this.counters.framesOut += taken;
			if (taken <= 0) {
				this.counters.transmitDropped += tx.count;
				tx.drop(tx.count);
			}
		}
	}

	#arm(): void {
		const now = this.#runtime.clock.now();
		this.ip.advance(now);
		// Not Math.min: below V8's best compiler what that returns is an object.
		let next = this.tcp.nextDeadline();
		if (this.ip.deadline < next) next = this.ip.deadline;
		if (next === this.#alarmAt) return;
		// An alarm that rings early only costs a turn; moving it on every packet would cost more.
		if (next < this.#alarmAt) {
			this.#alarmAt = next;
			this.#alarm.set(next);
		}
	}

	/**
	 * A whole turn at once, for a process whose event loop turns no more; no ticks and promises run in it. What is due by time is done when a
	 * turn is made. Returns how much the link still has to give on (Link.look).
	 */
	turn(): number {
		if (this.#closed) return 0;
		const { tcp } = this;
		const { between } = tcp;
		tcp.between = null;
		try {
			this.link.look?.();
			this.#in();
			this.#outsQueued++;
			this.#out();
			return this.link.look?.() ?? 0;
		} finally {
			tcp.between = between;
		}
	}

	/** Sends what is queued now, for a stack that is about to go. */
	drain(): void {
		if (this.#closed) return;
		this.tcp.setTime(this.#runtime.clock.now());
		this.tcp.flush();
		this.#transmit();
		this.link.flush();
	}

	/** Stops the loop and closes the link. */
	close(): void {
		if (this.#closed) return;
		try {
			this.drain();
		} finally {
			// The link is given back even if it, or what is around it, throws.
			this.#closed = true;
			this.#open = false;
			this.#alarm.clear();
			this.ip.close();
			this.link.close();
			this.#rx.drop(this.#rx.count);
			this.#tx.drop(this.#tx.count);
		}
	}
}
