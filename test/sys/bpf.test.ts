import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { Assembler, type Condition, type Operation, R0, R1, R2, R3, R10 } from "../../src/sys/bpf/assembler.ts";
import {
	createMap,
	loadXdp,
	MAP_ARRAY,
	MAP_LOOKUP,
	MAP_XSK,
	setWord,
	testRun,
	XDP_DATA,
	XDP_DATA_END,
	XDP_DROP,
	XDP_PASS,
} from "../../src/sys/bpf/bpf.ts";
import { libc } from "../../src/sys/libc.ts";

/** One line per instruction, as bytes in hexadecimal. */
const hex = (bytes: Uint8Array): string[] => [...(Buffer.from(bytes).toString("hex").match(/.{16}/g) ?? [])];

describe("the eBPF assembler", () => {
	test("RFC 9669 3: an instruction is opcode, registers, offset, immediate, little-endian", () => {
		const program = new Assembler()
			.move(R0, 2)
			.move(R2, R1)
			.load("h", R3, R2, 12)
			.store("w", R10, -4, R3)
			.store("b", R10, -5, 0x7f)
			.alu("+", R2, -1)
			.alu32("&", R3, 0xffff0000)
			.fromNetwork(R3, 16)
			.call(51)
			.exit();
		assert.deepEqual(hex(program.assemble()), [
			"b700000002000000",
			"bf12000000000000",
			"69230c0000000000",
			"633afcff00000000",
			"720afbff7f000000",
			"07020000ffffffff",
			"540300000000ffff",
			"dc03000010000000",
			"8500000033000000",
			"9500000000000000",
		]);
	});

	test("RFC 9669 5.4: a 64-bit constant and a map take two instructions", () => {
		assert.deepEqual(hex(new Assembler().constant(R1, 0x1122334455667788n).map(R2, 7).assemble()), [
			"1801000088776655",
			"0000000044332211",
			"1812000007000000",
			"0000000000000000",
		]);
	});

	test("a jump counts instructions from the next one, forwards and backwards, over constants of two", () => {
		const program = new Assembler()
			.label("top")
			.jump("==", R1, R2, "end")
			.constant(R0, 1n)
			.goto("top")
			.jump32(">=", R1, 5, "end")
			.label("end")
			.exit();
		assert.deepEqual(
			hex(program.assemble()).map((line) => line.slice(0, 8)),
			["1d210400", "18000000", "00000000", "0500fcff", "36010000", "95000000"],
		);
	});

	test("a label that is missing or given twice, a jump or a constant that does not fit, are errors by name", () => {
		assert.throws(() => new Assembler().goto("nowhere").assemble(), /no label nowhere/);
		assert.throws(() => new Assembler().label("a").label("a"), /label a is given twice/);
		assert.throws(() => new Assembler().move(R0, 2 ** 32), /does not fit 32 bits/);
		assert.throws(() => new Assembler().load("b", R0, R1, 40000), /does not fit 16 bits/);
		const far = new Assembler().goto("far");
		for (let i = 0; i < 32768; i++) far.move(R0, 0);
		assert.throws(() => far.label("far").assemble(), /jump to far: 32768 does not fit/);
	});
});

const skip = process.platform !== "linux" || process.getuid?.() !== 0 ? "needs Linux and root (bpf)" : false;

/** What a program answers to a frame in the kernel. */
function answer(program: Assembler, frame: Uint8Array = new Uint8Array(64)): number {
	const fd = loadXdp(program.assemble(), "test");
	try {
		return testRun(fd, frame);
	} finally {
		libc().close(fd);
	}
}

describe("the kernel runs what was assembled:", { skip }, () => {
	const compute: Readonly<Record<Operation, (a: bigint, b: bigint) => bigint>> = {
		"+": (a, b) => a + b,
		"-": (a, b) => a - b,
		"*": (a, b) => a * b,
		"|": (a, b) => a | b,
		"&": (a, b) => a & b,
		"^": (a, b) => a ^ b,
		"<<": (a, b) => a << (b & 63n),
		">>": (a, b) => a >> (b & 63n),
		"=": (_, b) => b,
	};

	test("arithmetic of 64 bits, seen through both halves of the result", () => {
		fc.assert(
			fc.property(
				fc.constantFrom<Operation>("+", "-", "*", "|", "&", "^", "<<", ">>", "="),
				fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
				fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
				(operation, a, b) => {
					const second = operation === "<<" || operation === ">>" ? b & 63n : b;
					const result = BigInt.asUintN(64, compute[operation](a, second));
					const program = () => new Assembler().constant(R0, a).constant(R1, second).alu(operation, R0, R1);
					assert.equal(answer(program().exit()), Number(result & 0xffffffffn));
					assert.equal(answer(program().alu(">>", R0, 32).exit()), Number(result >> 32n));
				},
			),
			{ numRuns: 60 },
		);
	});

	test("conditions", () => {
		const holds: Readonly<Record<Condition, (a: number, b: number) => boolean>> = {
			"==": (a, b) => a === b,
			"!=": (a, b) => a !== b,
			">": (a, b) => a > b,
			">=": (a, b) => a >= b,
			"<": (a, b) => a < b,
			"<=": (a, b) => a <= b,
			"&": (a, b) => (a & b) !== 0,
		};
		for (const condition of Object.keys(holds) as Condition[]) {
			for (const [a, b] of [
				[1, 2],
				[2, 1],
				[3, 3],
				[0xffffffff, 1],
				[1, 0xffffffff],
			] as const) {
				const program = new Assembler().constant(R1, BigInt(a)).move(R0, 1).jump32(condition, R1, b, "end").move(R0, 0).label("end").exit();
				assert.equal(answer(program), holds[condition](a, b) ? 1 : 0, `${a} ${condition} ${b}`);
			}
		}
	});

	test("loads from the frame, in network order", () => {
		const frame = Uint8Array.from({ length: 64 }, (_, i) => i);
		const program = new Assembler()
			.load("w", R2, R1, XDP_DATA)
			.load("w", R3, R1, XDP_DATA_END)
			.move(R1, R2)
			.alu("+", R1, 64)
			.move(R0, 0)
			.jump(">", R1, R3, "end")
			.load("w", R0, R2, 16)
			.fromNetwork(R0, 32)
			.label("end")
			.exit();
		assert.equal(answer(program, frame), 0x10111213);
	});

	test("looks an entry of a map up", () => {
		const map = createMap(MAP_ARRAY, 4, 4, 16);
		setWord(map, 5, 0xcafe);
		const program = new Assembler()
			.store("w", R10, -4, 5)
			.move(R2, R10)
			.alu("+", R2, -4)
			.map(R1, map)
			.call(MAP_LOOKUP)
			.jump("==", R0, 0, "end")
			.load("w", R0, R0, 0)
			.label("end")
			.exit();
		assert.equal(answer(program), 0xcafe);
		libc().close(map);
	});

	test("and refuses what reads beyond the frame, with the verifier's reason in the error", () => {
		const program = new Assembler().load("w", R2, R1, XDP_DATA).load("w", R0, R2, 0).exit();
		assert.throws(() => answer(program), {
			code: "EACCES",
			message: /^millrace: cannot load an XDP program: permission denied \(the verifier: .*invalid access to packet/,
		});
	});

	test("a program that answers a constant", () => {
		assert.equal(answer(new Assembler().move(R0, XDP_DROP).exit()), XDP_DROP);
		assert.equal(answer(new Assembler().move(R0, XDP_PASS).exit()), XDP_PASS);
	});
});

test("what the kernel does not know is said with the first one that does, which depends on what it is for", { skip }, () => {
	// Keys of 5 bytes: refused by any kernel as what it does not know is.
	assert.throws(() => createMap(MAP_ARRAY, 5, 4, 1), { code: "EINVAL", message: /needs Linux 4\.18 or later/ });
	assert.throws(() => createMap(MAP_XSK, 5, 4, 1), { code: "EINVAL", message: /needs Linux 5\.9 or later/ });
});
