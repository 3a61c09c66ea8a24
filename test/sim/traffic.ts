/**
 * One seeded run of the whole stack: hosts on a bad network, connections of all temperaments, and what must hold at the end.
 *
 * Everything about a run follows from its seed: the network, the options of the hosts, and for each connection how much is sent each way,
 * in what pieces, how fast it is read, and how it ends: in good order, by an abort or a close at a random point, by a peer that reads
 * nothing for a while (zero window). The programs use the event face, so that a run is fast.
 *
 * What must hold: every byte arrives once and in order, or both sides see an error; and when all is over and TIME-WAIT has passed, no
 * page, no record and no timer is left on any host.
 */
import assert from "node:assert/strict";
import type { Host, HostOptions } from "../../src/host/host.ts";
import { type SegmentOptions, type SimulateResult, type Simulation, simulate } from "../../src/sim/index.ts";
import type { SocketEvents, TcpSocket } from "../../src/socket/socket.ts";
import type { SeededRandom } from "../../src/time/random.ts";
import { longLinks } from "../helpers/long-link.ts";

/**
 * What runs are like: of all kinds; few connections that send much, all hosts on links that take long frames; or more connections than there is
 * memory for, over a network that loses little.
 */
export type Kind = "usual" | "bulk" | "crowd";

/**
 * Seconds for which somebody in a crowd reads nothing, at most; and those in which a connection of it must be over, whatever the others do: what
 * gets lost again and again is sent ever more rarely, once a minute in the end.
 */
const CROWD_SILENCE = 40;
const CROWD_END = 150;

/** What one side of a connection does. */
interface Plan {
	/** Bytes to send, and in what pieces. */
	readonly send: number;
	readonly chunk: number;
	/** Seconds between two writes; 0: as fast as the stack takes them. */
	readonly pace: number;
	/** Bytes per read, and seconds between reads; 0: all at once, at once. */
	readonly readSize: number;
	readonly readEvery: number;
	/** Seconds before the first read: a window that shuts. */
	readonly readAfter: number;
	/** Seconds after which the program ends the connection whatever its state; 0: never. */
	readonly cutAfter: number;
	readonly cut: "abort" | "close";
	readonly noDelay: boolean;
}

function makePlan(random: SeededRandom, abrupt: boolean): Plan {
	const slow = random.chance(0.3);
	const send = random.pick([
		0,
		1,
		random.below(2000),
		random.below(20_000),
		random.below(100_000),
		random.below(random.chance(0.2) ? 1_000_000 : 200_000),
	]);
	// At most some hundred writes when there is time between them: a run has bounds.
	const paced = random.chance(0.3);
	const chunk = random.pick([1 + random.below(100), 1 + random.below(3000), 1 << 20]);
	return {
		send,
		chunk: paced ? Math.max(chunk, Math.ceil(send / 300)) : chunk,
		pace: paced ? random.float() * 0.05 : 0,
		readSize: slow ? 1 + random.below(5000) : 0,
		readEvery: slow ? 0.001 + random.float() * 0.1 : 0,
		readAfter: random.chance(0.3) ? random.float() * 10 : 0,
		cutAfter: abrupt && random.chance(0.5) ? random.float() ** 4 * 10 : 0,
		cut: random.pick(["abort", "close"]),
		noDelay: random.chance(0.3),
	};
}

/** A side that sends much, in long writes. */
function bulkPlan(random: SeededRandom, plan: Plan): Plan {
	const chunk = random.pick([1 << 20, 1 << 20, 8192 + random.below(100_000)]);
	return { ...plan, send: random.pick([0, 100_000, 1_000_000]) + random.below(300_000), chunk, pace: 0 };
}

/** A side of a crowd: some read nothing for long, while others want their pages. */
function crowdPlan(random: SeededRandom, plan: Plan): Plan {
	const send = random.pick([100, 50_000, random.below(100_000), 200_000]);
	return { ...plan, send, pace: 0, readSize: 0, readEvery: 0, readAfter: random.chance(0.6) ? random.float() * CROWD_SILENCE : 0 };
}

/** Byte `n` of a stream. */
function byteAt(stream: number, n: number): number {
	return (Math.imul(n + 1, 0x9e3779b1) >>> 24) ^ (n & 0xff) ^ stream;
}

/** One side of a connection, and all that it saw. */
class Side implements SocketEvents {
	readonly name: string;
	readonly plan: Plan;
	readonly #sim: Simulation;
	readonly #outStream: number;
	readonly #inStream: number;
	socket: TcpSocket | undefined;
	sent = 0;
	finished = false;
	received = 0;
	wasEnded = false;
	/** Ended by the program itself. */
	cut = false;
	/** Undefined while it lives; then the error, or null. */
	end: string | null | undefined;
	/** Seconds that it took. */
	took = 0;
	#reading = false;
	#writing = false;
	readonly #began: number;

	constructor(sim: Simulation, name: string, plan: Plan, outStream: number, inStream: number) {
		this.name = name;
		this.plan = plan;
		this.#sim = sim;
		this.#outStream = outStream;
		this.#inStream = inStream;
		this.#began = sim.now;
	}

	/** Takes a socket: connecting, or accepted. */
	attach(socket: TcpSocket): void {
		this.socket = socket;
		socket.setKeepAlive(true, 30);
		if (this.plan.noDelay) socket.setNoDelay(true);
		if (this.plan.cutAfter > 0) this.#sim.after(this.plan.cutAfter, () => this.#cut());
		this.#write();
	}

	connected(): void {
		this.#write();
	}

	readable(): void {
		const wait = Math.max(this.plan.readEvery, this.#began + this.plan.readAfter - this.#sim.now);
		if (wait <= 0) this.#read();
		else if (!this.#reading) {
			this.#reading = true;
			this.#sim.after(wait, () => {
				this.#reading = false;
				if (this.#alive) this.#read();
			});
		}
	}

	ended(): void {
		assert.ok(!this.wasEnded, `${this.name}: ended twice`);
		assert.equal(this.socket!.available, 0, `${this.name}: ended with unread bytes`);
		this.wasEnded = true;
	}

	writable(): void {
		this.#write();
	}

	closed(error: string | null): void {
		assert.equal(this.end, undefined, `${this.name}: closed twice`);
		assert.ok(!this.cut, `${this.name}: an event after the program gave the socket up`);
		this.end = error;
		this.took = this.#sim.now - this.#began;
	}

	get #alive(): boolean {
		return this.end === undefined && !this.cut;
	}

	#write(): void {
		if (!this.#alive || this.finished || this.#writing || this.socket === undefined) return;
		while (this.sent < this.plan.send) {
			const bytes = new Uint8Array(Math.min(this.plan.chunk, this.plan.send - this.sent, 100_000));
			for (let i = 0; i < bytes.length; i++) bytes[i] = byteAt(this.#outStream, this.sent + i);
			const taken = this.socket.write(bytes);
			assert.ok(taken >= 0 && taken <= bytes.length, `${this.name}: write took ${taken} of ${bytes.length}`);
			this.sent += taken;
			if (taken < bytes.length) return;
			if (this.plan.pace > 0) {
				this.#writing = true;
				this.#sim.after(this.plan.pace, () => {
					this.#writing = false;
					this.#write();
				});
				return;
			}
		}
		this.finished = true;
		this.socket.finish();
	}

	#read(): void {
		const socket = this.socket!;
		for (;;) {
			const bytes = this.plan.readSize > 0 ? socket.read(this.plan.readSize) : socket.read();
			if (bytes === null) return;
			for (let i = 0; i < bytes.length; i++) {
				if (bytes[i] !== byteAt(this.#inStream, this.received + i)) assert.fail(`${this.name}: byte ${this.received + i} is wrong`);
			}
			this.received += bytes.length;
			if (this.plan.readEvery > 0) {
				if (socket.available > 0) this.readable();
				return;
			}
		}
	}

	#cut(): void {
		if (!this.#alive) return;
		this.cut = true;
		if (this.plan.cut === "abort") this.socket!.abort();
		else this.socket!.close();
	}

	toString(): string {
		const state = this.cut
			? `cut by ${this.plan.cut}`
			: this.end === undefined
				? `alive in ${this.socket?.info()?.state}`
				: `closed ${this.end}`;
		return `${this.name}: sent ${this.sent} of ${this.plan.send}, received ${this.received}, ended ${this.wasEnded}, ${state}`;
	}
}

interface Pair {
	readonly client: Side;
	/** Undefined until the connection has been accepted. */
	server: Side | undefined;
}

/** What must hold for the two sides of a connection when all is over. @param interrupted The network let nothing through for a while. */
function checkPair({ client, server }: Pair, interrupted: boolean): void {
	const both = `${client}\n${server ?? "never accepted"}`;
	if (server === undefined) {
		// Never accepted: the client must know, unless it has left by itself. (Three ARP requests that are lost make a host unreachable.)
		const told = client.end === "EHOSTUNREACH" || (interrupted && client.end !== undefined && client.end !== null);
		assert.ok(client.cut || told, `a connection that was never accepted\n${both}`);
		return;
	}
	for (const [side, other] of [
		[client, server],
		[server, client],
	] as const) {
		assert.ok(side.cut || side.end !== undefined, `no end of a connection\n${both}`);
		assert.ok(side.received <= other.sent, `more received than sent\n${both}`);
		if (side.wasEnded) {
			// An end of stream is a promise: everything that was sent is here. A peer that closed has sent what it had written.
			assert.ok(other.finished || (other.cut && other.plan.cut === "close"), `an end of stream that nobody sent\n${both}`);
			assert.equal(side.received, other.sent, `an end of stream before its last byte\n${both}`);
		}
		if (side.end === null) assert.ok(side.wasEnded && side.finished, `a good end without both ends of stream\n${both}`);
		if (!client.cut && !server.cut && side.end !== null) {
			// Only the ACK of the last FIN can be missed by one side alone; then everything else has arrived.
			const complete = side.received === other.sent && other.received === side.sent;
			assert.ok(other.end !== null || complete, `an error on one side only\n${both}`);
			// Loss alone, of up to a tenth, is no reason: data is sent again 15 times.
			assert.ok(interrupted, `an error without a reason\n${both}`);
		}
	}
}

/** Options of a host that have been seen to matter. */
function hostOptions(random: SeededRandom): Pick<HostOptions, "tcp"> {
	const small = random.chance(0.3);
	return {
		tcp: {
			maxConnections: 64,
			maxTimeWait: random.pick([64, 2]),
			// Few ports: addresses come back while the other side may still be in TIME-WAIT.
			...(random.chance(0.3) ? { firstPort: 40_000, lastPort: 40_005 } : {}),
			congestion: random.pick(["cubic", "newreno", "bbr"] as const),
			pacing: random.chance(0.2),
			slabs: random.chance(0.8),
			timestamps: random.chance(0.8),
			sack: random.chance(0.8),
			windowScaling: random.chance(0.8),
			timeWait: random.pick([1000, 10_000, 60_000]),
			...(small ? { receiveBuffer: 2000 + random.below(30_000), maxReceiveBuffer: 65_536 } : {}),
			...(random.chance(0.3) ? { sendBuffer: 2000 + random.below(30_000), maxSendBuffer: 65_536 } : {}),
		},
	};
}

function network(random: SeededRandom, calm: boolean): SegmentOptions {
	const sometimes = (probability: number, most: number) => (random.chance(probability) ? random.float() * most : 0);
	const delay = random.pick([0, 100, 5000, 40_000, random.below(150_000)]);
	const out = {
		loss: calm ? random.pick([0, 0, 0.01]) : random.pick([0, 0.01, 0.05, 0.1, random.float() * 0.1]),
		delay,
		jitter: sometimes(0.4, delay),
		reorder: sometimes(0.4, 0.2),
		duplicate: sometimes(0.4, 0.1),
		corrupt: sometimes(0.3, 0.03),
		...(random.chance(0.3) ? { rate: 500_000 + random.below(50_000_000), limit: 10 + random.below(200) } : {}),
	};
	const medium = random.chance(0.3) ? ("ethernet" as const) : ("ip" as const);
	return { medium, mtu: random.pick([1500, 1500, 576, 1400]), ...(random.chance(0.5) ? { out } : { in: out }) };
}

/** Microseconds at which 32-bit counts wrap, in seconds; and milliseconds. */
const WRAPS = [2147.483648, 4294.967296, 2147483.648];

/** What happened in a run, for those who wonder whether anything did. */
export interface Totals {
	connections: number;
	bytes: number;
	/** Sides that ended in good order, by an error, and by the program's own abort or close. */
	good: number;
	errors: Record<string, number>;
	cut: number;
	retransmits: number;
	windowProbes: number;
	slabsOpened: number;
	noSlab: number;
}

function totals(pairs: readonly Pair[], hosts: Iterable<Host>): Totals {
	const sum: Totals = {
		connections: pairs.length,
		bytes: 0,
		good: 0,
		errors: {},
		cut: 0,
		retransmits: 0,
		windowProbes: 0,
		slabsOpened: 0,
		noSlab: 0,
	};
	for (const { client, server } of pairs) {
		for (const side of server === undefined ? [client] : [client, server]) {
			sum.bytes += side.received;
			if (side.cut) sum.cut++;
			else if (side.end === null) sum.good++;
			else sum.errors[side.end!] = (sum.errors[side.end!] ?? 0) + 1;
		}
	}
	for (const host of hosts) {
		const { tcp } = host.stats();
		sum.retransmits += tcp.retransmits!;
		sum.windowProbes += tcp.windowProbes!;
		sum.slabsOpened += tcp.slabsOpened!;
		sum.noSlab += tcp.noSlab!;
	}
	return sum;
}

/**
 * Runs a seed; throws with the state of the connection that broke a rule.
 *
 * @param onFrame Hears of each frame.
 */
export async function runSeed(
	seed: number,
	onFrame?: Parameters<typeof simulate>[0]["onFrame"],
	kind: Kind = "usual",
): Promise<SimulateResult<Totals>> {
	const wrap = Math.abs(seed) % 8;
	const start = wrap < WRAPS.length ? WRAPS[wrap]! - 2 : 1;
	const pairs: Pair[] = [];
	const hosts: Host[] = [];
	let world: Simulation | undefined;
	let interrupted = false;
	const result = await simulate({ seed, start, seconds: 20_000, steps: 3_000_000, ...(onFrame ? { onFrame } : {}) }, (sim) => {
		world = sim;
		interrupted = scenario(sim, pairs, hosts, kind);
	});
	for (const pair of pairs) checkPair(pair, interrupted);
	if (kind === "crowd" && !interrupted) {
		for (const { client, server } of pairs) {
			for (const side of [client, server])
				assert.ok((side?.took ?? 0) < CROWD_END, `${side?.took} s for a connection\n${client}\n${server}`);
		}
	}
	for (const [name, host] of world!.hosts) {
		assert.deepEqual(host.connections(), [], `${name}: connections left`);
		assert.equal(host.stats().connections.timeWait, 0, `${name}: connections left in TIME-WAIT`);
		assert.equal(host.shard.pool.inUse, 0, `${name}: pages left`);
		assert.equal(host.shard.pool.slabsFree, host.shard.pool.slabs, `${name}: slabs left`);
		assert.equal(world!.pending(name), 0, `${name}: timers left`);
	}
	return { ...result, value: totals(pairs, hosts) };
}

/** Lets the sequence numbers of a host pass 2^31 or 2^32 within what it sends. They still go up, as RFC 6528 has it. */
function wrapSoon(host: Host, random: SeededRandom): void {
	let next = random.pick([0x7fffffff, 0xffffffff]) - random.below(random.pick([10, 1000, 100_000]));
	host.shard.tcp.secrets.initialSequence = () => {
		next += random.below(20_000);
		return next | 0;
	};
}

function scenario(sim: Simulation, pairs: Pair[], hosts: Host[], kind: Kind): boolean {
	const { random } = sim;
	const bulk = kind === "bulk";
	const crowd = kind === "crowd";
	const options = network(random, crowd);
	const wire = sim.segment(options);
	const count = random.chance(0.7) ? 2 : 3;
	const memory = crowd ? 420_000 + random.below(600_000) : random.chance(0.1) ? 600_000 : 6 << 20;
	const links = random.fork("links");
	for (let i = 0; i < count; i++) {
		// Half of the hosts are on a link that takes long frames, and may hold them for a while.
		const on = bulk || links.chance(0.5) ? longLinks(wire, links.pick([0, 0, links.below(20_000)])) : wire;
		hosts.push(sim.host(`h${i}`, { on, addresses: [`10.0.0.${i + 1}/24`], memory, ...hostOptions(random) }));
	}
	if (random.chance(0.5)) for (const host of hosts) wrapSoon(host, random);
	const abrupt = random.chance(0.5);
	const expected = new Map<string, (socket: TcpSocket) => void>();
	hosts.forEach((host, i) => {
		const listener = host.tcpListen({ port: 80 });
		listener.onconnection = (socket) => {
			const accept = expected.get(`${i} ${socket.remoteAddress} ${socket.remotePort}`);
			assert.ok(accept, `h${i}: a connection that nobody opened, from ${socket.remoteAddress}:${socket.remotePort}`);
			accept(socket);
		};
		sim.after(600, () => listener.close());
	});
	const connections = crowd ? 15 + random.below(40) : 1 + random.below(bulk ? 3 : 10);
	const planned = bulk ? bulkPlan : crowd ? crowdPlan : (_: SeededRandom, plan: Plan) => plan;
	for (let n = 0; n < connections; n++) {
		const from = random.below(count);
		const to = (from + 1 + random.below(count - 1)) % count;
		const usual = [makePlan(random, abrupt), makePlan(random, abrupt)] as const;
		const plans = [planned(random, usual[0]), planned(random, usual[1])] as const;
		const simultaneous = random.chance(0.05);
		sim.at(random.float() * (random.chance(0.2) ? 60 : 3), () => {
			const client = new Side(sim, `connection ${n} client h${from}`, plans[0], 2 * n, 2 * n + 1);
			const pair: Pair = { client, server: undefined };
			pairs.push(pair);
			const makeServer = () => new Side(sim, `connection ${n} server h${to}`, plans[1], 2 * n + 1, 2 * n);
			if (simultaneous) {
				const port = 2000 + n;
				pair.server = makeServer();
				client.attach(hosts[from]!.tcpConnect({ address: `10.0.0.${to + 1}`, port, localPort: port }, client));
				pair.server.attach(hosts[to]!.tcpConnect({ address: `10.0.0.${from + 1}`, port, localPort: port }, pair.server));
				return;
			}
			let socket: TcpSocket;
			try {
				socket = hosts[from]!.tcpConnect({ address: `10.0.0.${to + 1}`, port: 80 }, client);
			} catch (error) {
				assert.equal((error as { code: string }).code, "EADDRNOTAVAIL");
				pairs.pop();
				return;
			}
			const key = `${to} ${socket.localAddress} ${socket.localPort}`;
			if (expected.has(key)) {
				// One from this port was given up before it was accepted, and may yet be: the server could not tell them apart.
				socket.abort();
				pairs.pop();
				return;
			}
			expected.set(key, (accepted) => {
				assert.equal(pair.server, undefined, `connection ${n} accepted twice`);
				expected.delete(key);
				pair.server = makeServer();
				accepted.events = pair.server;
				pair.server.attach(accepted);
			});
			client.attach(socket);
		});
	}
	for (let n = random.chance(0.2) ? 1 + random.below(5) : 0; n > 0; n--) {
		sim.at(random.float() * 5, () => sim.hold(`h${random.below(count)}`, random.float() ** 2 * 3));
	}
	const interrupted = random.chance(0.15);
	if (interrupted) {
		const from = random.float() * 5;
		sim.at(from, () => wire.partition(["h0"]));
		sim.at(from + (random.chance(0.1) ? 3000 : random.float() ** 3 * 30), () => wire.heal());
	}
	// ARP has no checksum: a damaged answer sends frames nowhere until it is found out.
	const astray = options.medium === "ethernet" && ((options.out ?? options.in)?.corrupt ?? 0) > 0;
	return interrupted || astray;
}
