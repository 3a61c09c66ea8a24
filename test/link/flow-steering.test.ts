/** The flow hash, and the steering program run by the kernel on single frames. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { FLOW_GROUPS, FlowSteering, flowHash, hashWord } from "../../src/link/flow-steering.ts";
import { testRun } from "../../src/sys/bpf/bpf.ts";

const skip = process.platform !== "linux" || process.getuid?.() !== 0 ? "needs Linux and root (bpf)" : false;

/** The Toeplitz hash as it is defined: for each bit of the input that is set, 32 bits of the key from there on. */
function toeplitz(input: readonly number[]): number {
	const key = Array.from({ length: input.length + 4 }, (_, i) => (i % 2 === 0 ? 0x6d : 0x5a));
	const bit = (bytes: readonly number[], i: number): number => (bytes[i >> 3]! >> (7 - (i & 7))) & 1;
	let hash = 0;
	for (let i = 0; i < input.length * 8; i++) {
		if (bit(input, i) === 0) continue;
		for (let k = 0; k < 32; k++) hash ^= bit(key, i + k) << (31 - k);
	}
	return hash >>> 0;
}

const bytes4 = (word: number): number[] => [word >>> 24, (word >>> 16) & 255, (word >>> 8) & 255, word & 255];
const bytes2 = (word: number): number[] => [word >> 8, word & 255];
const address = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const port = fc.integer({ min: 0, max: 65535 });

test("the flow hash is the lower half of the Toeplitz hash with the key 6d5a, whose upper half is the same", () => {
	fc.assert(
		fc.property(address, address, port, port, (from, to, fromPort, toPort) => {
			const hash = flowHash(from, to, fromPort, toPort);
			assert.equal(((hash << 16) | hash) >>> 0, toeplitz([...bytes4(from), ...bytes4(to), ...bytes2(fromPort), ...bytes2(toPort)]));
			assert.equal(flowHash(to, from, toPort, fromPort), hash, "the other direction");
		}),
	);
	assert.equal(new Set(Array.from({ length: 65536 }, (_, word) => hashWord(word))).size, 65536, "no two words have one hash");
});

interface Packet {
	version: 4 | 6;
	from: number;
	to: number;
	protocol: number;
	fromPort: number;
	toPort: number;
	/** Words of IPv4 options. */
	options: number;
	fragment: number;
}

function frameOf({ version, from, to, protocol, fromPort, toPort, options, fragment }: Packet): Uint8Array {
	const v6 = (word: number): number[] => [0xfd, 0, ...new Array<number>(10).fill(0), ...bytes4(word)];
	const header =
		version === 4
			? [0x45 + options, 0, 0, 60, 0, 0, ...bytes2(fragment), 64, protocol, 0, 0, ...bytes4(from), ...bytes4(to)].concat(
					new Array<number>(options * 4).fill(1),
				)
			: [0x60, 0, 0, 0, 0, 20, protocol, 64, ...v6(from), ...v6(to)];
	const ethernet = [2, 9, 9, 9, 9, 9, 2, 0, 0, 0, 0, 9, ...(version === 4 ? [8, 0] : [0x86, 0xdd])];
	return Uint8Array.from([...ethernet, ...header, ...bytes2(fromPort), ...bytes2(toPort), ...new Array<number>(16).fill(0)]);
}

const packet: fc.Arbitrary<Packet> = fc.record({
	version: fc.constantFrom(4, 6),
	from: address,
	to: address,
	protocol: fc.constantFrom(6, 17, 1),
	fromPort: port,
	toPort: port,
	options: fc.constantFrom(0, 1, 10),
	fragment: fc.constantFrom(0, 0x4000, 0x2000, 0x0100),
});

test("the kernel finds the same flow group as we do, for all kinds of packets", { skip }, () => {
	const steering = new FlowSteering();
	for (let group = 0; group < steering.groups; group++) steering.steer(group, 1000 + group);
	fc.assert(
		fc.property(packet, (a) => {
			const whole = a.version === 6 || (a.fragment & 0x3fff) === 0;
			const ports = a.protocol !== 1 && whole ? [a.fromPort, a.toPort] : [0, 0];
			assert.equal(testRun(steering.program, frameOf(a)), 1000 + steering.groupOf(flowHash(a.from, a.to, ports[0]!, ports[1]!)));
		}),
	);
	for (const type of [0x0806, 0x88b5]) {
		const other = new Uint8Array(60).fill(0x45);
		other.set(bytes2(type), 12);
		assert.equal(testRun(steering.program, other), 1000, "what is not IP");
	}
	const long = frameOf({ version: 4, from: 3, to: 9, protocol: 6, fromPort: 5, toPort: 80, options: 10, fragment: 0 });
	assert.equal(testRun(steering.program, long.subarray(0, 14 + 62)), 1000 + steering.groupOf(flowHash(3, 9, 0, 0)), "ports cut off");
	steering.close();
});

test("a flow group that is moved goes elsewhere, the others stay", { skip }, () => {
	const steering = new FlowSteering(4);
	steering.spread(3);
	const frames = Array.from({ length: 64 }, (_, i) =>
		frameOf({ version: 4, from: 1, to: 2, protocol: 6, fromPort: i, toPort: 80, options: 0, fragment: 0 }),
	);
	const run = (): number[] => frames.map((frame) => testRun(steering.program, frame));
	const groups = frames.map((_, i) => steering.groupOf(flowHash(1, 2, i, 80)));
	assert.deepEqual(
		run(),
		groups.map((group) => [0, 1, 2, 0][group]),
	);
	steering.steer(3, 7);
	assert.equal(steering.target(3), 7);
	assert.deepEqual(
		run(),
		groups.map((group) => [0, 1, 2, 7][group]),
	);
	assert.deepEqual(new Set(groups), new Set([0, 1, 2, 3]));
	steering.close();
	assert.equal(new FlowSteering().groups, FLOW_GROUPS);
});
