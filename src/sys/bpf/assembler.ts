/**
 * An assembler for eBPF: programs for the kernel, written in TypeScript, without a BPF compiler.
 *
 * Hides the encoding (RFC 9669): instructions of 8 bytes (opcode, two registers, a 16-bit offset, a 32-bit immediate), jumps
 * that count instructions, 64-bit constants that take two, map references that are descriptors in such a constant. Labels
 * are names; a jump may name one that comes later. What is wrong with a program as a text (a label that is missing, a jump
 * too far) is found here; what is wrong with its meaning is found by the kernel's verifier when it is loaded.
 *
 *     const bytes = new Assembler()
 *       .load("w", R2, R1, 0)          // r2 = *(u32 *)(r1 + 0)
 *       .jump("==", R2, 7, "seven")
 *       .move(R0, 0)
 *       .exit()
 *       .label("seven")
 *       .move(R0, 1)
 *       .exit()
 *       .assemble();
 */

/** Bytes of an instruction. */
export const INSTRUCTION = 8;

/** A register: results in R0, arguments in R1 to R5 (lost in calls), R6 to R9 kept across calls, R10 the end of the stack. */
export type Register = { readonly register: number };
export const R0: Register = { register: 0 };
export const R1: Register = { register: 1 };
export const R2: Register = { register: 2 };
export const R3: Register = { register: 3 };
export const R4: Register = { register: 4 };
export const R5: Register = { register: 5 };
export const R6: Register = { register: 6 };
export const R7: Register = { register: 7 };
export const R8: Register = { register: 8 };
export const R9: Register = { register: 9 };
export const R10: Register = { register: 10 };

/** Width of a memory access: 1, 2, 4 or 8 bytes. */
export type Width = "b" | "h" | "w" | "dw";
const WIDTHS: Readonly<Record<Width, number>> = { w: 0x00, h: 0x08, b: 0x10, dw: 0x18 };

/** Arithmetic, with the operation's code. */
export type Operation = "+" | "-" | "*" | "|" | "&" | "<<" | ">>" | "^" | "=";
const OPERATIONS: Readonly<Record<Operation, number>> = {
	"+": 0x00,
	"-": 0x10,
	"*": 0x20,
	"|": 0x40,
	"&": 0x50,
	"<<": 0x60,
	">>": 0x70,
	"^": 0xa0,
	"=": 0xb0,
};

/** Unsigned comparisons; "&" is "has a bit in common with". */
export type Condition = "==" | "!=" | ">" | ">=" | "<" | "<=" | "&";
const CONDITIONS: Readonly<Record<Condition, number>> = {
	"==": 0x10,
	">": 0x20,
	">=": 0x30,
	"&": 0x40,
	"!=": 0x50,
	"<": 0xa0,
	"<=": 0xb0,
};

const LD = 0x00;
const LDX = 0x01;
const ST = 0x02;
const STX = 0x03;
const JMP = 0x05;
const ALU64 = 0x07;
const JMP32 = 0x06;
const ALU32 = 0x04;
/** Memory mode of LDX, ST and STX. */
const MEM = 0x60;
/** The second operand is a register, not the immediate. */
const X = 0x08;
const JA = 0x00;
const CALL = 0x80;
const EXIT = 0x90;
const BYTE_SWAP = 0xd0;
/** Second "register" of a 64-bit constant: it stands for the map of a descriptor. */
const PSEUDO_MAP_FD = 1;

/** A 16-bit word of the network's as a program that does not turn it round sees it: most machines have the other byte order. */
export const swap16 = (value: number): number => ((value & 255) << 8) | (value >> 8);

/** An operand: a register, or a constant of 32 bits that is sign-extended to 64. */
export type Operand = Register | number;

const isRegister = (operand: Operand): operand is Register => typeof operand !== "number";

export class Assembler {
	readonly #opcodes: number[] = [];
	readonly #registers: number[] = [];
	readonly #offsets: number[] = [];
	readonly #immediates: number[] = [];
	readonly #labels = new Map<string, number>();
	/** Instructions whose offset is that of a label. */
	readonly #jumps: { readonly at: number; readonly label: string }[] = [];

	/** Instructions so far. */
	get length(): number {
		return this.#opcodes.length;
	}

	/** `target = *(width *)(base + offset)`, zero-extended. */
	load(width: Width, target: Register, base: Register, offset: number): this {
		return this.#emit(LDX | MEM | WIDTHS[width], target, base, offset, 0);
	}

	/** `*(width *)(base + offset) = value`. */
	store(width: Width, base: Register, offset: number, value: Operand): this {
		return isRegister(value)
			? this.#emit(STX | MEM | WIDTHS[width], base, value, offset, 0)
			: this.#emit(ST | MEM | WIDTHS[width], base, R0, offset, value);
	}

	/** `target operation= value`, in 64 bits. */
	alu(operation: Operation, target: Register, value: Operand): this {
		return this.#arithmetic(ALU64, operation, target, value);
	}

	/** The same in 32 bits; the upper half of the target becomes 0. */
	alu32(operation: Operation, target: Register, value: Operand): this {
		return this.#arithmetic(ALU32, operation, target, value);
	}

	/** `target = value`. */
	move(target: Register, value: Operand): this {
		return this.alu("=", target, value);
	}

	/** Makes a value that was loaded from a packet the host's: swaps its 16, 32 or 64 bits on a little-endian machine. */
	fromNetwork(target: Register, bits: 16 | 32 | 64): this {
		return this.#emit(ALU32 | X | BYTE_SWAP, target, R0, 0, bits);
	}

	/** `target` = a constant of 64 bits. */
	constant(target: Register, value: bigint): this {
		const bits = BigInt.asUintN(64, value);
		this.#emit(LD | WIDTHS.dw, target, R0, 0, Number(bits & 0xffffffffn) | 0);
		return this.#emit(0, R0, R0, 0, Number(bits >> 32n) | 0);
	}

	/** `target` = the map that descriptor `fd` stands for. */
	map(target: Register, fd: number): this {
		this.#emit(LD | WIDTHS.dw, target, { register: PSEUDO_MAP_FD }, 0, fd);
		return this.#emit(0, R0, R0, 0, 0);
	}

	/** Goes on at a label. */
	goto(label: string): this {
		return this.#jump(JMP | JA, R0, 0, label);
	}

	/** Goes on at a label if the condition holds, of all 64 bits. */
	jump(condition: Condition, left: Register, right: Operand, label: string): this {
		return this.#jump(JMP | CONDITIONS[condition], left, right, label);
	}

	/** The same of the lower 32 bits: a constant is then not sign-extended into the upper half. */
	jump32(condition: Condition, left: Register, right: Operand, label: string): this {
		return this.#jump(JMP32 | CONDITIONS[condition], left, right, label);
	}

	/** Calls a function of the kernel by its number. */
	call(helper: number): this {
		return this.#emit(JMP | CALL, R0, R0, 0, helper);
	}

	exit(): this {
		return this.#emit(JMP | EXIT, R0, R0, 0, 0);
	}

	/** Names the place of the next instruction. */
	label(name: string): this {
		if (this.#labels.has(name)) throw new Error(`millrace: label ${name} is given twice`);
		this.#labels.set(name, this.length);
		return this;
	}

	/** The program as bytes, for this (little-endian) machine. */
	assemble(): Uint8Array {
		for (const { at, label } of this.#jumps) {
			const target = this.#labels.get(label);
			if (target === undefined) throw new Error(`millrace: no label ${label}`);
			this.#offsets[at] = check16(target - at - 1, `jump to ${label}`);
		}
		const bytes = new Uint8Array(this.length * INSTRUCTION);
		const view = new DataView(bytes.buffer);
		for (let i = 0; i < this.length; i++) {
			view.setUint8(i * INSTRUCTION, this.#opcodes[i]!);
			view.setUint8(i * INSTRUCTION + 1, this.#registers[i]!);
			view.setInt16(i * INSTRUCTION + 2, this.#offsets[i]!, true);
			view.setInt32(i * INSTRUCTION + 4, this.#immediates[i]!, true);
		}
		return bytes;
	}

	#arithmetic(unit: number, operation: Operation, target: Register, value: Operand): this {
		const opcode = unit | OPERATIONS[operation];
		return isRegister(value) ? this.#emit(opcode | X, target, value, 0, 0) : this.#emit(opcode, target, R0, 0, value);
	}

	#jump(opcode: number, left: Register, right: Operand, label: string): this {
		this.#jumps.push({ at: this.length, label });
		return isRegister(right) ? this.#emit(opcode | X, left, right, 0, 0) : this.#emit(opcode, left, R0, 0, right);
	}

	#emit(opcode: number, target: Register, source: Register, offset: number, immediate: number): this {
		if (!Number.isInteger(immediate) || immediate < -(2 ** 31) || immediate >= 2 ** 32)
			throw new Error(`millrace: constant ${immediate} does not fit 32 bits`);
		this.#opcodes.push(opcode);
		this.#registers.push(target.register | (source.register << 4));
		this.#offsets.push(check16(offset, "offset"));
		this.#immediates.push(immediate | 0);
		return this;
	}
}

function check16(value: number, what: string): number {
	if (value < -32768 || value > 32767) throw new Error(`millrace: ${what}: ${value} does not fit 16 bits`);
	return value;
}
