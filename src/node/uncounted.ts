/**
 * Which writes that fail at once are in `bytesWritten` all the same.
 *
 * Hides how Node's streams in C++ count: what is written, when the write begins, whatever becomes of it; but a short text, which is encoded in
 * a buffer on the stack and tried first, only when it went. Short is what has room there in the worst case of its encoding.
 */

/** Bytes of that buffer (`WriteString` in Node's stream_base.cc, Node 20 to 26). */
const TRIED_FIRST = 16384;

/** Most bytes of a UTF-16 unit in the encodings that handles have methods for. */
export const UTF8_MOST = 3;
export const LATIN1_MOST = 1;
export const UCS2_MOST = 2;

/** Whether this text is counted only if its write does not fail at once. */
export function uncounted(text: string, most: number): boolean {
	return text.length * most <= TRIED_FIRST;
}
