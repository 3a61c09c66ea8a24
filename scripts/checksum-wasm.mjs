// Assembles the WebAssembly module that sums bytes by vectors (src/wire/checksum-vectors.gen.ts). `--check` only compares.
//
// By hand, because it is one function of a hundred instructions: a tool chain would be the larger part of it. The module imports the
// arena's memory and exports `sum(start, length)`. Numbers are those of the WebAssembly specification, 5.4 (instructions) and 5.5 (modules).
//
// The sum: sixteen bytes at a time are four 32-bit lanes. `total` adds them modulo 2^32, `upper` adds their upper halves; the sum of the
// lower halves is what is missing, total - (upper << 16). So a vector costs a shift and two additions, and no carry is lost as long as
// the lower halves of a lane stay below 2^32 together: a megabyte. Loads need no alignment, so an odd address is nothing special.
import { readFileSync, writeFileSync } from "node:fs";

const unsigned = (value) => (value < 128 ? [value] : [(value & 127) | 128, ...unsigned(value >>> 7)]);
const signed = (value) => (value >= -64 && value < 64 ? [value & 127] : [(value & 127) | 128, ...signed(value >> 7)]);
const text = (string) => [string.length, ...Buffer.from(string, "latin1")];
const vector = (items) => [...unsigned(items.length), ...items.flat()];
const section = (id, bytes) => [id, ...unsigned(bytes.length), ...bytes];

const I32 = 0x7f;
const V128 = 0x7b;
const NOTHING = 0x40;

const get = (local) => [0x20, local];
const set = (local) => [0x21, local];
const tee = (local) => [0x22, local];
const constant = (value) => [0x41, ...signed(value)];
const block = (...body) => [0x02, NOTHING, ...body.flat(), 0x0b];
const loop = (...body) => [0x03, NOTHING, ...body.flat(), 0x0b];
const when = (...body) => [0x04, NOTHING, ...body.flat(), 0x0b];
const branchIf = (depth) => [0x0d, depth];
const LESS = [0x49]; // i32.lt_u
const NOT_LESS = [0x4f]; // i32.ge_u
const ADD = [0x6a];
const AND = [0x71];
const OR = [0x72];
const SHL = [0x74];
const SHR = [0x76];
const load32 = (offset) => [0x28, 0, offset];
const LOAD16 = [0x2f, 0, 0];
const LOAD8 = [0x2d, 0, 0];
const simd = (opcode) => [0xfd, ...unsigned(opcode)];
const VLOAD = [...simd(0), 0, 0];
const vsplat = simd(17);
const vlane = (lane) => [...simd(27), lane];
const VAND = simd(78);
const VSHL = simd(171);
const VSHR = simd(173);
const VADD = simd(174);
const VSUB = simd(177);

// Parameters, then locals.
const START = 0;
const LENGTH = 1;
const END = 2;
const SUM = 3;
const TOTAL = 4;
const UPPER = 5;
const VALUE = 6;

const plus = (to, ...value) => [...get(to), ...value.flat(), ...ADD, ...set(to)];
const vplus = (to, ...value) => [...get(to), ...value.flat(), ...VADD, ...set(to)];
const halves = (local) => [...get(local), ...constant(0xffff), ...AND, ...get(local), ...constant(16), ...SHR, ...ADD];
const vhalves = (local) => [...get(local), ...constant(0xffff), ...vsplat, ...VAND, ...get(local), ...constant(16), ...VSHR, ...VADD];
/** What is left of the length, if it has this bit. END is free by then. */
const rest = (bit, ...body) => [...get(LENGTH), ...constant(bit), ...AND, ...when(...body, plus(START, constant(bit)))];
const word = (offset) => [...get(START), ...load32(offset), ...set(END), ...plus(SUM, halves(END))];

const code = [
	// end = start + (length & -16)
	get(START),
	get(LENGTH),
	constant(-16),
	AND,
	ADD,
	set(END),
	block(
		get(START),
		get(END),
		NOT_LESS,
		branchIf(0),
		loop(
			get(START),
			VLOAD,
			set(VALUE),
			vplus(TOTAL, get(VALUE)),
			vplus(UPPER, get(VALUE), constant(16), VSHR),
			get(START),
			constant(16),
			ADD,
			tee(START),
			get(END),
			LESS,
			branchIf(0),
		),
	),
	// The lower halves' sum; then all eight sums, each folded once, as one.
	get(TOTAL),
	get(UPPER),
	constant(16),
	VSHL,
	VSUB,
	set(TOTAL),
	vhalves(TOTAL),
	vhalves(UPPER),
	VADD,
	set(TOTAL),
	[0, 1, 2, 3].flatMap((lane) => [...get(TOTAL), ...vlane(lane)]),
	ADD,
	ADD,
	ADD,
	set(SUM),
	rest(8, word(0), word(4)),
	rest(4, word(0)),
	rest(2, plus(SUM, get(START), LOAD16)),
	rest(1, plus(SUM, get(START), LOAD8)),
	halves(SUM),
	set(SUM),
	halves(SUM),
	set(SUM),
	// Words were added as the machine has them, least byte first: swap.
	get(SUM),
	constant(255),
	AND,
	constant(8),
	SHL,
	get(SUM),
	constant(8),
	SHR,
	OR,
	[0x0b],
].flat();

const locals = vector([
	[2, I32],
	[3, V128],
]);
const LIMITED = 1;
// Pages of 64 KiB: any arena has at least one, none has 2 GiB.
const memory = [...text("arena"), ...text("memory"), 2, LIMITED, ...unsigned(1), ...unsigned(32768)];

const bytes = [
	...[0, ...Buffer.from("asm", "latin1"), 1, 0, 0, 0],
	...section(1, vector([[0x60, ...vector([[I32], [I32]]), ...vector([[I32]])]])),
	...section(2, vector([memory])),
	...section(3, vector([[0]])),
	...section(7, vector([[...text("sum"), 0, 0]])),
	...section(10, vector([[...unsigned(locals.length + code.length), ...locals, ...code]])),
];

const rows = [];
for (let i = 0; i < bytes.length; i += 20) rows.push(`\t${bytes.slice(i, i + 20).join(", ")},`);
const source = [
	"// Written by scripts/checksum-wasm.mjs; change it there.",
	"",
	"/** WebAssembly module: imports arena.memory, exports sum(start, length). */",
	"export const CHECKSUM_MODULE: Uint8Array = Uint8Array.of(",
	...rows,
	");",
	"",
].join("\n");
const target = new URL("../src/wire/checksum-vectors.gen.ts", import.meta.url);
if (process.argv.includes("--check")) {
	let old = "";
	try {
		old = readFileSync(target, "utf8");
	} catch {}
	if (old !== source) {
		console.error("src/wire/checksum-vectors.gen.ts is not what scripts/checksum-wasm.mjs assembles; run it");
		process.exitCode = 1;
	}
} else writeFileSync(target, source);
