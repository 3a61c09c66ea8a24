/**
 * Numbers in network byte order, at any alignment, in a byte array.
 *
 * Hides the byte order. All of `wire/` reads and writes through these; 32-bit values are signed, as everywhere in the
 * stack, so that addresses and sequence numbers compare by `===` and wrap in `|0` arithmetic.
 */

/** The unsigned 16-bit number at `at`. */
export function get16(u8: Uint8Array, at: number): number {
	return (u8[at]! << 8) | u8[at + 1]!;
}

/** The signed 32-bit number at `at`. */
export function get32(u8: Uint8Array, at: number): number {
	return (u8[at]! << 24) | (u8[at + 1]! << 16) | (u8[at + 2]! << 8) | u8[at + 3]!;
}

/** Writes the low 16 bits of `value`. */
export function set16(u8: Uint8Array, at: number, value: number): void {
	u8[at] = value >>> 8;
	u8[at + 1] = value;
}

/** Writes the low 32 bits of `value`. */
export function set32(u8: Uint8Array, at: number, value: number): void {
	u8[at] = value >>> 24;
	u8[at + 1] = value >>> 16;
	u8[at + 2] = value >>> 8;
	u8[at + 3] = value;
}
