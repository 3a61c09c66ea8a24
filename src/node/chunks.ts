/**
 * Chunks: what a program gets of the bytes that have come, as Buffers.
 *
 * Hides where a chunk's memory comes from: from the link, if that has read the payload to a buffer of its own; from V8's heap, Node's pool, or
 * a new ArrayBuffer, if it is a copy.
 */
import type { ExpressSocket } from "./express.ts";
import type { StackSocket } from "./stack.ts";

/** Bytes given to Node at a time: what libuv offers a read. */
export const READ_SIZE = 65536;
/** V8 keeps typed arrays of up to so many bytes in its own heap, and makes an ArrayBuffer for them only when somebody asks for it. */
export const ON_HEAP = 64;
/** So many bytes may be had without a copy: fewer are copied for less. */
const BULK = 16384;
/** Chunks of fewer bytes may lie in Node's pool: half of it, where it is smallest (8 KiB; Node 26 has 64). */
const POOLED = 4096;

/**
 * The next bytes, at most `most`; none if there are none.
 *
 * @param listener Whose listener gets it; null if net.js does, which makes a view of the ArrayBuffer.
 * @param pooled It may lie in Node's pool whoever gets it.
 */
export function nextChunk(socket: StackSocket, most: number, listener: ExpressSocket | null, pooled: boolean): Buffer {
	return (most >= BULK ? take(socket) : null) ?? copy(socket, most, listener, pooled);
}

/**
 * What came first, if the link has read it to a buffer of its own. Its ArrayBuffer begins with it and has nothing else in it, as that of a
 * copy has, but may end with a few zeros behind it (LANDING_SLACK in memory/pages.ts): then the chunk is a view, as those of Node's pool and
 * pieces of bodies are.
 */
function take(socket: StackSocket): Buffer | null {
	const bytes = socket.take?.() ?? null;
	if (bytes === null || Buffer.isBuffer(bytes)) return bytes;
	return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

/**
 * A copy of the next bytes, at most `most`. It has an ArrayBuffer of its own, as those of the kernel's sockets do, since programs use
 * `chunk.buffer` without looking at the offset; only what goes to node:http alone, whose parser is done with it when it returns, may lie in
 * Node's pool. Not zeroed, since all of it is written.
 */
function copy(socket: StackSocket, most: number, listener: ExpressSocket | null, pooled: boolean): Buffer {
	const length = most >= BULK && socket.beforeTake !== undefined ? socket.beforeTake(most) : most;
	const chunk = chunkFor(listener, length, pooled);
	const taken = socket.readInto(chunk, 0, length);
	return taken === length ? chunk : chunk.subarray(0, taken);
}

function chunkFor(listener: ExpressSocket | null, length: number, pooled: boolean): Buffer {
	if (pooled && length < POOLED) return Buffer.allocUnsafe(length);
	if (listener === null) return Buffer.allocUnsafeSlow(length);
	if (length <= ON_HEAP) return Buffer.alloc(length);
	return listener.parser && typeof listener._events.data === "function" ? Buffer.allocUnsafe(length) : Buffer.allocUnsafeSlow(length);
}
