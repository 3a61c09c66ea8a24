/**
 * Sockets that die young: what the collector does with connections that are soon over.
 *
 * Hides a trap of V8's that Node 26 walks into. A function that is assigned to a property (`this.f = () => ...`) is taken by V8's parser for
 * one that stays: until TurboFan has compiled the code around it, it is made in the old generation at once. Node's streams have
 * such an assignment (`onwrite` of a writable's state; Node 20 binds a function there), so in the first seconds of a server each socket is
 * held by a function that nothing frees before the whole heap is collected. That would end once the code is optimized. But V8 counts meanwhile, where
 * objects are made that survive, and lets optimized code make those in the old generation, too; what is there of a dead socket then holds
 * the rest of it, so all survives again, and that does not end any more. On the kernel's sockets it is the same race; mostly they are optimized
 * before V8 has counted enough.
 *
 * So V8 does not count (its switch `allocation-site-pretenuring`, which it reads at each collection of the young generation). It is a setting of
 * the whole process, to be made before there are sockets: a program that was put on the stack makes it, a library does not.
 */
import { Writable } from "node:stream";
import v8 from "node:v8";

/** From now on, on a Node whose streams hold themselves; says whether it is one. */
export function letSocketsDieYoung(): boolean {
	if (!holdsItself()) return false;
	v8.setFlagsFromString("--no-allocation-site-pretenuring");
	return true;
}

function holdsItself(): boolean {
	const { _writableState: state } = new Writable() as unknown as { _writableState?: { onwrite?: unknown } };
	const onwrite = state?.onwrite;
	return typeof onwrite === "function" && !onwrite.name.startsWith("bound ");
}
