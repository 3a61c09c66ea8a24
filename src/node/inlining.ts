/**
 * Deeper inlining: how much V8 may put into one function that it optimizes.
 *
 * Hides a limit of V8's that a stack in many small functions meets. TurboFan inlines callees into a hot function until their bytecodes come to
 * 920, a bound for the size of code. Each word that is read of a connection's record is 16 bytecodes, so the way of one segment
 * through a turn, from link to program, is several times that, and what does not fit is called. Node's own net,
 * http and streams, in as many small functions, gain from it as well.
 *
 * So V8 gets nearly three times the room (its switch `max-inlined-bytecode-size-cumulative`, which it reads whenever it optimizes a function). It is a
 * setting of the whole process, to be made before much is optimized: a program that was put on the stack makes it, a library leaves it to its user.
 */
import v8 from "node:v8";

const SWITCH = "max-inlined-bytecode-size-cumulative";
/**
 * Bytecodes. Between 1,800 and 9,000 no difference was seen, once all is compiled, that stands out from that of two processes; but Node 20 compiles longer
 * the more it is, which a server on one core feels in its first two seconds.
 */
const BYTECODES = 2500;

/**
 * Lets V8 inline more into each function that it optimizes from now on, in the whole process: for programs whose time is the stack's, called
 * once, before there is traffic. `millrace run` does it by itself.
 *
 * @returns false if Node was started with a limit of its own, which stays.
 */
export function inlineDeeper(): boolean {
	// Node takes - and _ alike, and does not take this one from NODE_OPTIONS.
	if (process.execArgv.some((arg) => arg.replaceAll("_", "-").startsWith(`--${SWITCH}`))) return false;
	v8.setFlagsFromString(`--${SWITCH}=${BYTECODES}`);
	return true;
}
