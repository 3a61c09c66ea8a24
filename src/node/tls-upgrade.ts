/**
 * What a connection's handle has to hear when TLS is put on it.
 *
 * Hides that `tls.TLSSocket` needs a stream in C++ under it. Its method `_wrapHandle` gets the handle of the socket to be wrapped; where
 * that is a plain one (STARTTLS), the connection's conduit moves to a new JSStream handle, which takes its place in the socket. And a JSStream
 * cannot tell TLS that reading failed, so it is told who has to hear of that from now on.
 */
import tls from "node:tls";
import type { Conduit } from "./conduit.ts";
import { StackHandle } from "./handle.ts";
import { ownerSymbol, type SocketInternals } from "./internals.ts";

interface PlainHandleLike {
	conduit: Conduit;
	owner: SocketInternals | null;
	reading: boolean;
	onread: unknown;
}

type WrapHandle = (this: unknown, wrap: unknown, handle: unknown, ...rest: unknown[]) => unknown;

let installed = false;

/** Makes TLS take sockets whose handle is of class `Plain`. */
export function upgradeForTls(Plain: new (...args: never[]) => PlainHandleLike): void {
	if (installed) return;
	installed = true;
	const prototype = tls.TLSSocket.prototype as unknown as { _wrapHandle: WrapHandle };
	const nodeWrap = prototype._wrapHandle;
	const wrapHandle: WrapHandle = function (wrap, handle, ...rest) {
		const stream = handle instanceof Plain ? upgrade(handle) : handle;
		// Handles of ours that may give way to another one while the socket connects, kernel ones among them, have a place for it.
		if (hasWrapper(stream) && this instanceof tls.TLSSocket) stream.wrapper = this;
		return Reflect.apply(nodeWrap, this, [wrap, stream, ...rest]);
	};
	Object.defineProperty(wrapHandle, "name", { value: nodeWrap.name });
	Object.defineProperty(wrapHandle, "length", { value: nodeWrap.length });
	prototype._wrapHandle = wrapHandle;
}

function hasWrapper(stream: unknown): stream is { wrapper: tls.TLSSocket | null } {
	return typeof stream === "object" && stream !== null && "wrapper" in stream;
}

function upgrade(plain: PlainHandleLike): StackHandle {
	const socket = plain.owner!;
	const handle = new StackHandle(plain.conduit.host, plain.conduit);
	handle.reading = plain.reading;
	(handle as unknown as { onread: unknown }).onread = plain.onread;
	socket._handle = handle;
	(handle as unknown as Record<symbol, unknown>)[ownerSymbol] = socket;
	return handle;
}
