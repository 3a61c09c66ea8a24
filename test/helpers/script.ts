/**
 * Packet scripts in virtual time: a test of the stack as one hears it on the wire.
 *
 * `script(name, text)` is a test. The text speaks for the peer at 10.0.0.2 and for the program on the stack at 10.0.0.1:
 *
 *   established(mss 1460, sackOK, wscale 7, TS, win 65535, rtt 0.1, active)    a connection, by handshake; all options may be absent
 *   listen [backlog N]    connect    accept
 *   write N [= M]     writes the next N bytes, M of which are taken (default all)
 *   read N [= M]      reads at most N bytes and gets M (default N), which are the right ones
 *   readable N        so many bytes can be read
 *   shutdown    close    abort    nodelay on|off    keepalive on|off [seconds [seconds between probes, probes]]
 *   event connected|readable|ended|writable|closed CODE|closed null     the oldest event not yet named was this one
 *   info state=ESTABLISHED cwnd>=14600     figures of the connection; = != < > <= >=; sums and products of whole numbers
 *   gone              the connection no longer exists in the stack
 *   < SEGMENT         arrives at the stack; window 65535, nothing optional, unless said
 *   > SEGMENT         was sent by the stack, exactly so, within two ticks of the time
 *   > burst a:b(n)    n bytes in full-sized segments, one after the other, at one time, PSH at most on the last
 *   no segment for T  silence
 *   icmp port|host|net|too-big MTU  the last segment sent was unreachable, or too big
 *   cut               routers may cut what is sent from now on (until then every packet has DF, and no identification)
 *   slow | release    the link keeps what it is given; it has sent all that, unchanged
 *   scarce | plenty   all pages but those kept for what comes in are in other hands; they come back
 *   none              those that are kept, too, but for a few: nothing finds a page that is not an ACK
 *   barely | enough   as many of them come back as windows need to open; as programs that write have to leave
 *   counter NAME=N    so many are counted by the stack's TCP
 *   incarnation N     what comes now on these ports is another connection; the peer's ISN is N beyond what the last one reached
 *
 * Sequence numbers are relative: both sides begin at 0, the first byte is 1. The true ISNs are just before 2^32 or 2^31. Timestamps
 * are relative to the stack's first TSval, in milliseconds; after `established(TS)` they are added and expected by themselves
 * where no options are written. Bytes follow a pattern that is checked on both sides of the stack.
 *
 * Nothing the stack sends goes unnoticed: a segment that no line expects fails the script; so does a right edge of the window that
 * moves left, an acknowledgment that goes back, a bad checksum or an error event that no line names.
 * After the last line the connections are aborted, time runs on, and nothing may be left: no page, no record, no timer.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createHost, type Host, type HostOptions, type TcpListener, type TcpSocket } from "../../src/host/host.ts";
import { SECOND, type VirtualRuntime, VirtualTime } from "../../src/sim/runtime.ts";
import { Trace } from "../../src/sim/trace.ts";
import { SeededRandom } from "../../src/time/random.ts";
import { Flow, LISTEN_PORT, pattern } from "./flow.ts";
import { formatSegment, type OptionPattern, type Pattern, parseOptions, parseScript, parseSegment, type Step } from "./notation.ts";
import { ScriptLink } from "./script-link.ts";
import { decode, encode, encodeIcmp, type Options, type Segment } from "./segment.ts";

const STACK = 0x0a000001;
const PEER = 0x0a000002;
/** Two ticks of the timer wheel, in microseconds. */
const TOLERANCE = 2000;
/** Steps within one line of a script. */
const STEPS = 200_000;

export interface ScriptOptions {
	/** For the host under test. */
	host?: Partial<HostOptions>;
	/** The peer's initial sequence number. */
	isn?: number;
	mtu?: number;
	/** The link takes frames of several segments, and slices; the script sees each frame as a segment. */
	long?: boolean;
	/** After the script: do not check that nothing is left (the script ends the host by itself). */
	keep?: boolean;
}

class Player {
	readonly link: ScriptLink;
	readonly time = new VirtualTime(new Trace());
	readonly runtime: VirtualRuntime;
	readonly host: Host;
	readonly log: string[] = [];
	readonly #options: ScriptOptions;
	readonly #flows = new Map<string, Flow>();
	readonly #accepted: TcpSocket[] = [];
	/** Pages that `scarce` took. */
	readonly #taken: number[] = [];
	readonly #start: number;
	readonly #isn: number;
	#listener: TcpListener | undefined;
	/** Time of the line before, microseconds. */
	#now: number;
	#seen = 0;
	#lastSent: Uint8Array | undefined;

	constructor(name: string, options: ScriptOptions) {
		this.#options = options;
		this.link = new ScriptLink(options.mtu ?? 1500, options.long);
		const random = new SeededRandom(1).fork(name);
		// Sequence numbers wrap at 2^32, and their signs at 2^31: both within the first bytes.
		this.#isn = random.chance(0.5) ? 0xfffffffc : 0x7ffffffc;
		this.runtime = this.time.runtime(random.fork("host"));
		this.host = createHost({
			memory: 4 << 20,
			...options.host,
			tcp: { maxConnections: 64, maxTimeWait: 64, ...options.host?.tcp },
			link: this.link,
			addresses: ["10.0.0.1/24"],
			runtime: this.runtime,
		});
		this.host.shard.tcp.secrets.initialSequence = () => (this.#isn - 3 + Math.floor((this.time.now() - this.#start) / 4)) | 0;
		this.#start = this.#now = this.time.now();
	}

	play(step: Step): void {
		if (step.command === ">") {
			this.#expect(step);
			return;
		}
		if (!step.joined) {
			this.#now += Math.round(step.from * SECOND);
			this.#run(this.#now);
		}
		const flow = this.#flow(step.flow);
		const look = this.#looks[step.command];
		if (look !== undefined) {
			look(flow, step.rest);
			return;
		}
		if (!step.joined) this.#nothingUnnoticed();
		this.log.push(`${this.#clock(this.time.now())}  ${step.text.replace(/^\+\S+\s+/, "")}`);
		const action = this.#actions[step.command];
		if (action === undefined) throw new Error(`no such command: ${step.command}`);
		action(flow, step.rest);
	}

	/** Commands that change nothing: what was sent may still be unnamed when they run. */
	readonly #looks: Record<string, (flow: Flow, rest: string) => void> = {
		info: (flow, rest) => this.#info(flow, rest),
		event: (flow, rest) => assert.equal(flow.events.shift(), rest, `event of flow ${flow.name}`),
		readable: (flow, rest) => assert.equal(flow.socket!.available, Number(rest), "bytes that can be read"),
		counter: (_, rest) => {
			const [name, value] = rest.split("=") as [string, string];
			assert.equal(this.host.stats().tcp[name], Number(value), `counter ${name}`);
		},
		gone: () => assert.deepEqual(this.host.connections(), [], "connections that still exist"),
	};

	readonly #actions: Record<string, (flow: Flow, rest: string) => void> = {
		"<": (flow, rest) => this.#inject(flow, parseSegment(rest)),
		no: (_, rest) => this.#silence(rest),
		established: (flow, rest) => this.#established(flow, rest),
		listen: (_, rest) => this.#listen(rest),
		unlisten: () => this.#listener!.close(),
		connect: (flow) => this.#connect(flow),
		accept: (flow) => this.#accept(flow),
		write: (flow, rest) => this.#write(flow, rest),
		read: (flow, rest) => this.#read(flow, rest),
		shutdown: (flow) => flow.socket!.finish(),
		close: (flow) => flow.socket!.close(),
		abort: (flow) => flow.socket!.abort(),
		nodelay: (flow, rest) => flow.socket!.setNoDelay(rest === "on"),
		keepalive: (flow, rest) => {
			const [on, ...figures] = rest.split(/\s+/);
			flow.socket!.setKeepAlive(on === "on", ...figures.map(Number));
		},
		icmp: (_, rest) => this.#icmp(rest),
		cut: (flow) => {
			flow.identification = 0;
		},
		slow: () => {
			this.link.slow = true;
		},
		release: () => {
			this.link.slow = false;
			this.link.release();
		},
		scarce: () => this.#takeTo(this.host.shard.tcp.shortage.reservedPages),
		none: () => this.#takeTo(this.host.shard.tcp.shortage.lastPages >> 1),
		plenty: () => this.#plenty(),
		barely: () => this.#untilFree(this.host.shard.tcp.shortage.scarcePages),
		enough: () => this.#untilFree(this.host.shard.tcp.shortage.writeReserve),
		incarnation: (flow, rest) => flow.reincarnate(Number(rest)),
	};

	#takeTo(pages: number): void {
		const { pool } = this.host.shard;
		while (pool.free > pages) this.#taken.push(pool.alloc());
	}

	#untilFree(pages: number): void {
		const { pool } = this.host.shard;
		while (pool.free < pages) pool.release(this.#taken.pop()!);
	}

	#plenty(): void {
		for (const page of this.#taken.splice(0)) this.host.shard.tcp.pool.release(page);
	}

	/** After the last line: nothing unnoticed, and nothing left behind. */
	end(): void {
		this.#plenty();
		this.#run(this.time.now());
		this.#nothingUnnoticed();
		for (const flow of this.#flows.values()) {
			const open = flow.events.filter((event) => event.startsWith("closed ") && event !== "closed null");
			assert.deepEqual(open, [], `flow ${flow.name}: error events that no line named`);
		}
		if (this.#options.keep) return;
		this.log.push("       ... all connections aborted");
		this.#listener?.close();
		for (const flow of this.#flows.values()) flow.socket?.abort();
		for (const socket of this.#accepted) socket.abort();
		this.time.advance(this.time.now() + 3600 * SECOND, STEPS);
		assert.deepEqual(this.host.connections(), [], "connections left after all were aborted and an hour went by");
		assert.equal(this.host.stats().connections.timeWait, 0, "connections left in TIME-WAIT");
		this.link.release();
		assert.equal(this.host.shard.pool.inUse, 0, "pages left after all connections were aborted");
		assert.equal(this.host.shard.pool.slabsFree, this.host.shard.pool.slabs, "slabs left after all connections were aborted");
		assert.equal(this.runtime.pending, 0, "timers left after all connections were aborted");
	}

	#clock(time: number): string {
		return ((time - this.#start) / SECOND).toFixed(6);
	}

	#run(until: number): void {
		this.time.advance(until, STEPS);
		this.#notice();
	}

	/** Writes what was sent into the log. */
	#notice(): void {
		for (; this.#seen < this.link.sent.length; this.#seen++) {
			const { time, bytes } = this.link.sent[this.#seen]!;
			const { flow, segment } = this.#identify(bytes);
			this.log.push(`${this.#clock(time)}  ${flow.name} > ${formatSegment(this.#relative(flow, segment))}`);
			this.#lastSent = bytes;
			this.#invariants(flow, segment);
		}
	}

	#nothingUnnoticed(): void {
		const first = this.link.sent[0];
		if (first === undefined) return;
		const { flow, segment } = this.#identify(first.bytes);
		throw new Error(`nobody expected, at ${this.#clock(first.time)}:\n    ${flow.name} > ${formatSegment(this.#relative(flow, segment))}`);
	}

	#flow(name: string): Flow {
		let flow = this.#flows.get(name);
		if (flow === undefined) {
			flow = new Flow(name, 40000 + name.charCodeAt(0), this.#options.isn ?? this.#isn);
			this.#flows.set(name, flow);
		}
		return flow;
	}

	#identify(bytes: Uint8Array): { flow: Flow; segment: Segment } {
		const segment = decode(bytes);
		for (const flow of this.#flows.values()) {
			if (flow.peerPort !== segment.dstPort || flow.localPort !== segment.srcPort) continue;
			if (segment.flags.startsWith("S") && flow.stackBase === undefined) flow.stackBase = segment.seq;
			if (segment.options.ts && flow.tsBase === undefined) flow.tsBase = segment.options.ts.val;
			return { flow, segment };
		}
		throw new Error(
			`the stack sent to port ${segment.dstPort} from ${segment.srcPort}: ${segment.flags} seq ${segment.seq} ack ${segment.ack}, which is no flow of this script`,
		);
	}

	#relative(flow: Flow, segment: Segment): Pattern {
		const options: OptionPattern = {};
		const { mss, wscale, sackPermitted, sack, ts } = segment.options;
		if (mss !== undefined) options.mss = mss;
		if (wscale !== undefined) options.wscale = wscale;
		if (sackPermitted) options.sackPermitted = true;
		if (sack) options.sack = sack.map(([left, right]) => [(left - flow.peerBase) >>> 0, (right - flow.peerBase) >>> 0]);
		if (ts) options.ts = { val: (ts.val - flow.tsBase!) | 0, ecr: ts.ecr };
		return {
			flags: segment.flags,
			seq: (segment.seq - (flow.stackBase ?? 0)) >>> 0,
			length: segment.payload.length,
			ack: segment.flags.includes(".") ? (segment.ack - flow.peerBase) >>> 0 : undefined,
			window: segment.window,
			urgent: segment.urgent,
			options,
		};
	}

	/** What must be so whatever the script says. */
	#invariants(flow: Flow, segment: Segment): void {
		const relative = this.#relative(flow, segment);
		assert.equal(segment.src, STACK, "source address");
		assert.equal(segment.dst, PEER, "destination address");
		const { identification } = flow;
		if (identification === null) assert.equal(segment.fragmentWord, 0x4000, "DF, and no identification");
		else {
			// RFC 6864 4.3: what may be cut is told apart.
			assert.ok((segment.fragmentWord! & 0xffff) === 0 && segment.fragmentWord! >>> 16 !== identification, "no DF, another identification");
			flow.identification = segment.fragmentWord! >>> 16;
		}
		if (segment.flags.includes("R") || flow.stackBase === undefined) return;
		assert.deepEqual(
			segment.payload,
			pattern(relative.seq + (relative.flags.includes("S") ? 1 : 0), relative.length, true),
			`bytes ${relative.seq}:${relative.seq + relative.length} sent`,
		);
		flow.stackEnd = Math.max(flow.stackEnd, relative.seq + relative.length);
		if (segment.options.ts) flow.lastTsVal = segment.options.ts.val;
		if (segment.options.wscale !== undefined) flow.stackScale = segment.options.wscale;
		if (relative.ack === undefined) return;
		const edge = relative.ack + (segment.window << (relative.flags.includes("S") ? 0 : flow.stackScale));
		assert.ok(relative.ack >= (flow.highestAck ?? 0), `acknowledgment went back from ${flow.highestAck} to ${relative.ack}`);
		// Once the peer's FIN is in, its window means nothing any more.
		if (flow.peerFin !== undefined && relative.ack >= flow.peerFin) return;
		// Only what finds no page shuts a window that was open; it opens again as far as before.
		if (segment.window === 0 && this.host.shard.pool.free < this.host.shard.tcp.shortage.lastPages) return;
		// A window is rounded down to the scale: the edge may seem to move back by less than one unit.
		assert.ok(
			edge + (1 << flow.stackScale) > (flow.rightEdge ?? 0),
			`right edge of the window moved back from ${flow.rightEdge} to ${edge}`,
		);
		flow.highestAck = relative.ack;
		flow.rightEdge = Math.max(edge, flow.rightEdge ?? 0);
	}

	#expect(step: Step): void {
		const flow = this.#flow(step.flow);
		const earliest = this.#now + Math.round(step.from * SECOND) - TOLERANCE;
		const latest = this.#now + Math.round(step.to * SECOND) + TOLERANCE;
		const burst = /^burst\s+(\d+):(\d+)\(\d+\)$/.exec(step.rest);
		if (burst) {
			this.#expectBurst(flow, Number(burst[1]), Number(burst[2]), earliest, latest);
			return;
		}
		const expected = parseSegment(step.rest);
		this.#next(flow, earliest, latest, formatSegment(expected), (actual) => this.#same(flow, expected, actual));
	}

	#expectBurst(flow: Flow, from: number, to: number, earliest: number, latest: number): void {
		let at = from;
		while (at < to) {
			this.#next(flow, earliest, latest, `. ${at}:..(full-sized, up to ${to})`, (actual) => {
				const end = actual.seq + actual.length;
				if (actual.seq !== at || actual.length === 0 || end > to || !/^P?\.$/.test(actual.flags)) return false;
				if (actual.flags === "P." && end !== to) return false;
				at = end;
				return true;
			});
		}
	}

	/** The next segment sent must come in time and satisfy `same`. */
	#next(flow: Flow, earliest: number, latest: number, expected: string, same: (actual: Pattern) => boolean): void {
		this.time.advance(Math.max(latest, this.time.now()), STEPS, () => this.link.sent.length > 0);
		this.#notice();
		const sent = this.link.sent.shift();
		this.#seen = this.link.sent.length;
		if (sent === undefined)
			throw new Error(
				`expected, between ${this.#clock(earliest)} and ${this.#clock(latest)}:\n    ${flow.name} > ${expected}\nnothing was sent`,
			);
		const { flow: actualFlow, segment } = this.#identify(sent.bytes);
		const actual = this.#relative(actualFlow, segment);
		const inTime = sent.time >= earliest && sent.time <= latest;
		this.#now = sent.time;
		if (actualFlow === flow && inTime && same(actual)) return;
		const early = inTime ? "" : ` (time: ${this.#clock(earliest)} to ${this.#clock(latest)})`;
		throw new Error(
			`expected${early}:\n    ${flow.name} > ${expected}\nactual, at ${this.#clock(sent.time)}:\n    ${actualFlow.name} > ${formatSegment(actual)}`,
		);
	}

	#same(flow: Flow, expected: Pattern, actual: Pattern): boolean {
		if (expected.flags !== actual.flags || expected.seq !== actual.seq || expected.length !== actual.length) return false;
		if (expected.ack !== actual.ack || expected.urgent !== actual.urgent) return false;
		if (expected.window !== undefined && expected.window !== actual.window) return false;
		if (expected.options === null) return true;
		const want: OptionPattern = { ...expected.options };
		const have: OptionPattern = { ...actual.options };
		if (expected.options === undefined && flow.autoTs && !actual.flags.includes("R")) want.ts = { val: undefined, ecr: undefined };
		if ((want.ts === undefined) !== (have.ts === undefined)) return false;
		if (want.ts && have.ts) {
			if (want.ts.ecr !== undefined && want.ts.ecr !== have.ts.ecr) return false;
			if (want.ts.val !== undefined && Math.abs(want.ts.val - have.ts.val!) > TOLERANCE / 1000) return false;
		}
		delete want.ts;
		delete have.ts;
		return formatSegment({ ...actual, options: want }) === formatSegment({ ...actual, options: have });
	}

	#inject(flow: Flow, from: Pattern): void {
		const stackBase = flow.stackBase ?? 0;
		const options: Options = {};
		const given: OptionPattern = { ...from.options };
		if (from.options === undefined && flow.autoTs) given.ts = { val: undefined, ecr: undefined };
		if (given.mss !== undefined) options.mss = given.mss;
		if (given.wscale !== undefined) options.wscale = given.wscale;
		if (given.sackPermitted) options.sackPermitted = true;
		if (given.raw) options.raw = given.raw;
		if (given.sack) options.sack = given.sack.map(([left, right]) => [stackBase + left, stackBase + right]);
		if (given.ts) {
			const ecr = given.ts.ecr === undefined ? (from.flags.includes(".") ? flow.lastTsVal : 0) : (flow.tsBase ?? 0) + given.ts.ecr;
			options.ts = { val: given.ts.val ?? 1000 + Math.floor((this.time.now() - this.#start) / 1000), ecr };
		}
		flow.peerEnd = Math.max(flow.peerEnd, from.seq + from.length);
		if (from.flags.includes("F")) flow.peerFin ??= from.seq + from.length + 1;
		const segment: Segment = {
			src: PEER,
			dst: STACK,
			srcPort: flow.peerPort,
			dstPort: flow.localPort,
			seq: flow.peerBase + from.seq,
			ack: from.ack === undefined ? 0 : stackBase + from.ack,
			flags: from.flags,
			window: from.window ?? flow.window,
			urgent: from.urgent,
			options,
			payload: pattern(from.seq + (from.flags.includes("S") ? 1 : 0), from.length, false),
			ttl: 64,
		};
		this.link.inject(encode(segment));
	}

	#silence(rest: string): void {
		const match = /^segment for ([\d.]+)$/.exec(rest);
		if (!match) throw new Error(`cannot read "no ${rest}"`);
		this.#now = this.time.now() + Math.round(Number(match[1]) * SECOND);
		this.#run(this.#now);
		this.#nothingUnnoticed();
	}

	/** Runs a small script of its own, so that the shortcut is nothing but a shortcut. */
	#established(flow: Flow, rest: string): void {
		const words = rest
			.replace(/^\(|\)$/g, "")
			.split(",")
			.map((word) => word.trim());
		const number = (name: string, otherwise: number) =>
			Number(words.find((word) => word.startsWith(`${name} `))?.split(" ")[1] ?? otherwise);
		const timestamps = words.includes("TS");
		const options = words.filter((word) => /^(mss|sackOK|wscale|TS)/.test(word)).join(",");
		const rtt = number("rtt", 0);
		flow.window = number("win", 65535);
		const active = words.includes("active");
		const name = flow.name;
		const syn = `<${options}>`;
		const lines = active
			? [
					`${name} connect`,
					`${name} > S 0:0(0) <*>`,
					`+${rtt} ${name} < S. 0:0(0) ack 1 ${syn}`,
					`${name} > . 1:1(0) ack 1 <*>`,
					`${name} event connected`,
				]
			: [
					...(this.#listener === undefined ? ["listen"] : []),
					`${name} < S 0:0(0) ${syn}`,
					`${name} > S. 0:0(0) ack 1 <*>`,
					`+${rtt} ${name} < . 1:1(0) ack 1${timestamps ? " <TS>" : ""}`,
					`${name} accept`,
				];
		for (const line of parseScript(lines.join("\n"))) this.play(line);
		flow.autoTs = timestamps;
		assert.equal(parseOptions(options)?.ts === undefined, !timestamps);
	}

	#listen(rest: string): void {
		const backlog = /^backlog (\d+)$/.exec(rest);
		this.#listener = this.host.tcpListen(backlog ? { port: LISTEN_PORT, backlog: Number(backlog[1]) } : { port: LISTEN_PORT });
		this.#listener.onconnection = (socket) => {
			const flow = [...this.#flows.values()].find((candidate) => candidate.peerPort === socket.remotePort);
			assert.ok(flow, `connection from port ${socket.remotePort}`);
			this.#adopt(flow, socket);
			this.#accepted.push(socket);
		};
	}

	#adopt(flow: Flow, socket: TcpSocket): void {
		flow.events = [];
		socket.events = this.#eventsOf(flow);
	}

	#eventsOf(flow: Flow): TcpSocket["events"] {
		const events = flow.events;
		return {
			connected: () => void events.push("connected"),
			readable: () => void events.push("readable"),
			ended: () => void events.push("ended"),
			writable: () => void events.push("writable"),
			closed: (error) => void events.push(`closed ${error}`),
		};
	}

	#connect(flow: Flow): void {
		flow.peerPort = 9000 + flow.name.charCodeAt(0);
		flow.events = [];
		flow.socket = this.host.tcpConnect({ address: "10.0.0.2", port: flow.peerPort }, this.#eventsOf(flow));
		flow.localPort = flow.socket.localPort;
	}

	#accept(flow: Flow): void {
		const at = this.#accepted.findIndex((socket) => socket.remotePort === flow.peerPort);
		if (at === -1) throw new Error(`there is no connection of flow ${flow.name} to accept`);
		flow.socket = this.#accepted.splice(at, 1)[0]!;
	}

	#write(flow: Flow, rest: string): void {
		const [offered, taken] = rest.split("=").map(Number) as [number, number | undefined];
		const count = flow.socket!.write(pattern(flow.written, offered, true));
		assert.equal(count, taken ?? offered, "bytes that write took");
		flow.written += count;
	}

	#read(flow: Flow, rest: string): void {
		const [wanted, got] = rest.split("=").map(Number) as [number, number | undefined];
		const bytes = new Uint8Array(wanted);
		const count = flow.socket!.readInto(bytes, 0, wanted);
		assert.equal(count, got ?? wanted, "bytes that read gave");
		assert.deepEqual(bytes.subarray(0, count), pattern(flow.readCount, count, false), "bytes that were read");
		flow.readCount += count;
	}

	#info(flow: Flow, rest: string): void {
		const info = flow.socket!.info() as unknown as Record<string, unknown> | null;
		assert.ok(info !== null, "the connection is gone");
		for (const word of rest.split(/\s+/)) {
			const match = /^(\w+)(=|!=|<=|>=|<|>)(.+)$/.exec(word);
			if (!match) throw new Error(`cannot read "${word}"`);
			const [, name, operator, text] = match as unknown as [string, string, string, string];
			const actual = info[name];
			assert.notEqual(actual, undefined, `info() has no ${name}: ${Object.keys(info)}`);
			const value = /^[\d.*+]+$/.test(text)
				? text.split("+").reduce((total, term) => total + term.split("*").reduce((product, factor) => product * Number(factor), 1), 0)
				: text;
			const holds =
				operator === "="
					? String(actual) === String(value)
					: operator === "!="
						? String(actual) !== String(value)
						: operator === "<"
							? Number(actual) < Number(value)
							: operator === ">"
								? Number(actual) > Number(value)
								: operator === "<="
									? Number(actual) <= Number(value)
									: Number(actual) >= Number(value);
			assert.ok(holds, `${word}: it is ${actual}`);
		}
	}

	#icmp(rest: string): void {
		const [reason, mtu] = rest.split(/\s+/) as [string, string | undefined];
		const code = { net: 0, host: 1, protocol: 2, port: 3, "too-big": 4 }[reason];
		if (code === undefined || this.#lastSent === undefined) throw new Error(`cannot make ICMP ${rest}`);
		this.link.inject(encodeIcmp(PEER, 3, code, this.#lastSent, Number(mtu ?? 0)));
	}
}

/** A test that plays `text`; see the head of this file for the language. */
export function script(name: string, text: string, options: ScriptOptions = {}): void {
	test(name, () => {
		const player = new Player(name, options);
		let current: Step | undefined;
		try {
			for (const step of parseScript(text)) {
				current = step;
				player.play(step);
			}
			current = undefined;
			player.end();
		} catch (error) {
			const where = current === undefined ? "after the last line" : `line ${current.line}: ${current.text}`;
			const message = `${where}\n${error instanceof Error ? error.message : String(error)}\n\nwhat happened:\n${player.log.join("\n")}`;
			throw new Error(message, { cause: error });
		}
	});
}
