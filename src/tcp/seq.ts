/**
 * Sequence-number arithmetic (RFC 9293 3.4): numbers are 32 bits and wrap, so order is the sign of the difference.
 *
 * Kept as signed int32 everywhere: `(a - b) | 0` then needs no conversion, and V8 keeps the values out of the heap.
 */

export function seqLt(a: number, b: number): boolean {
	return ((a - b) | 0) < 0;
}

export function seqLeq(a: number, b: number): boolean {
	return ((a - b) | 0) <= 0;
}

export function seqGt(a: number, b: number): boolean {
	return ((a - b) | 0) > 0;
}

export function seqGeq(a: number, b: number): boolean {
	return ((a - b) | 0) >= 0;
}

export function seqMax(a: number, b: number): number {
	return ((a - b) | 0) >= 0 ? a : b;
}
