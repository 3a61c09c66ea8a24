/**
 * The one seam to the C library: every foreign call of Millrace is declared here and nowhere else.
 *
 * Hides koffi: when it is loaded (at the first call of `libc()`, never by an import), how it finds its functions, how it
 * hands back errno. Whoever imports this file on a platform without koffi or without Linux pays nothing and gets one
 * clear error when it calls.
 *
 * Rules that keep the seam cheap and safe:
 * - Structs are bytes in a preallocated `Uint8Array`, laid out as on 64-bit little-endian machines (others are refused), never
 *   koffi structs, which are converted field by field on each call.
 * - A memory argument is a `Uint8Array` or an address as BigInt. On hot paths it is a BigInt that was made before: see
 *   address.ts for what the alternatives cost.
 * - A call returns -1 on failure; `errno()` is to be read next, before anything else.
 * - Descriptors end with their thread: `open` and `socket` see to that, others are handed to `keep` (worker.ts).
 * - No call here may block: descriptors are non-blocking. A foreign call that waits cannot be interrupted by `worker.terminate()`.
 */
import { createRequire } from "node:module";
import { endianness } from "node:os";
import { isMainThread } from "node:worker_threads";
import { MillraceError } from "../errors.ts";
import { callsOfWorker } from "./worker.ts";

/** Memory handed to a call: bytes, or an address. */
export type Memory = Uint8Array | bigint;

/** The calls that are used; names and arguments are those of the manual pages. */
export interface Libc {
	open(path: string, flags: number): number;
	close(fd: number): number;
	/** A descriptor that neither `open` nor `socket` made, as the one that is closed with this thread, if not before. */
	keep(fd: number): number;
	/** A descriptor that can be read while its count is not 0. */
	eventfd(count: number, flags: number): number;
	dup3(from: number, to: number, flags: number): number;
	/** poll(2), which does not wait where the time to do so is 0. */
	pollNow(descriptors: Memory, count: number, milliseconds: number): number;
	read(fd: number, memory: Memory, length: number): number;
	write(fd: number, memory: Memory, length: number): number;
	readv(fd: number, iovecs: Memory, count: number): number;
	writev(fd: number, iovecs: Memory, count: number): number;
	socket(domain: number, type: number, protocol: number): number;
	bind(fd: number, address: Memory, length: number): number;
	/** sendto without an address: what remains is send(2). */
	send(fd: number, memory: Memory | null, length: number, flags: number): number;
	recv(fd: number, memory: Memory | null, length: number, flags: number): number;
	/** Sends up to `count` messages (struct mmsghdr[]); how many, or -1 if the first one failed. */
	sendmmsg(fd: number, messages: Memory, count: number, flags: number): number;
	setsockopt(fd: number, level: number, option: number, value: Memory, length: number): number;
	/** `length` is a socklen_t of 4 bytes, in and out. */
	getsockopt(fd: number, level: number, option: number, value: Memory, length: Memory): number;
	/** The address, or -1. An address where to map is a BigInt. */
	mmap(address: bigint, length: number, protection: number, flags: number, fd: number, offset: number): number;
	madvise(address: bigint, length: number, advice: number): number;
	/** The address, or 0. */
	malloc(length: number): number | bigint;
	free(address: number | bigint): void;
	/** A system call that the C library has no function for, of three arguments. */
	syscall3(number: number, first: number, memory: Memory, third: number): number;
	/** The system call io_uring_enter: `signals` and `size` are 0. */
	uringEnter(number: number, fd: number, submit: number, complete: number, flags: number, signals: number, size: number): number;
	/** An ioctl whose argument is a struct. */
	ioctl(fd: number, request: number, argument: Memory): number;
	/** An ioctl whose argument is a number. */
	ioctlValue(fd: number, request: number, argument: number): number;
	strerror(errno: number): string;
	/** The error number of the call before. */
	errno(): number;
	/** The address of the first byte of a view. It stays valid only for memory that is not on the JavaScript heap: the arena. */
	address(bytes: Uint8Array): bigint;
	/** koffi's poll handle, or the like (worker.ts); use poll.ts, which makes it safe. */
	poll(fd: number, callback: (status: number) => void): PollHandle;
	/** Names of error numbers. */
	readonly errnoNames: ReadonlyMap<number, string>;
}

/** What koffi gives for a descriptor on the event loop. Calling any method after `close` crashes the process. */
export interface PollHandle {
	start(events: { readable: boolean; disconnect?: boolean }, callback: (status: number) => void): void;
	stop(): void;
	close(): void;
	ref(): void;
	unref(): void;
}

/** The part of koffi that is used. Its own types are wrong for the callback of `node.poll`. */
interface Koffi {
	load(path: null): { func(name: string, result: string, parameters: string[]): never };
	errno(): number;
	address(bytes: Uint8Array): bigint;
	readonly os: { readonly errno: Readonly<Record<string, number>> };
	readonly node: { poll(fd: number, events: { readable: boolean }, callback: (status: number) => void): PollHandle };
}

let loaded: Libc | undefined;

/** The C library, loaded at the first call. Throws a MillraceError where it cannot be had. */
export function libc(): Libc {
	loaded ??= load();
	return loaded;
}

/**
 * Architectures whose structs, and numbers of options and requests, are those that are written in this folder. (The other ones of Linux
 * are of 32 bits, or have numbers of their own, as PowerPC and MIPS do.)
 */
const MACHINES = ["x64", "arm64", "riscv64", "loong64"];

/** Throws MILLRACE_PLATFORM where kernel devices cannot be had. */
export function refuseMachine(platform: string, arch: string, order: "BE" | "LE"): void {
	const refused = (need: string, is: string) =>
		new MillraceError("MILLRACE_PLATFORM", `kernel devices need ${need}; this is ${is}. Use --link user or a link of your own`);
	if (platform !== "linux") throw refused("Linux", platform);
	if (!MACHINES.includes(arch) || order !== "LE")
		throw refused(`a 64-bit little-endian machine (${MACHINES.join(", ")})`, order === "LE" ? arch : `${arch}, big-endian`);
}

function load(): Libc {
	refuseMachine(process.platform, process.arch, endianness());
	let koffi: Koffi;
	try {
		koffi = createRequire(import.meta.url)("koffi") as Koffi;
	} catch (cause) {
		throw new MillraceError(
			"MILLRACE_KOFFI",
			`the package koffi, through which system calls are made, cannot be loaded on ${process.platform}-${process.arch}. Install it (npm install koffi@3.3.4, optional dependencies included), or use --link user`,
			{ cause },
		);
	}
	const library = koffi.load(null);
	// Lengths and results are int: they are below 2^31 here, and 64-bit results cost a check on each return.
	const calls: Libc = {
		open: library.func("open", "int", ["const char *", "int"]),
		close: library.func("close", "int", ["int"]),
		keep: (fd) => fd,
		eventfd: library.func("eventfd", "int", ["uint", "int"]),
		dup3: library.func("dup3", "int", ["int", "int", "int"]),
		pollNow: library.func("poll", "int", ["void *", "ulong", "int"]),
		read: library.func("read", "int", ["int", "void *", "int"]),
		write: library.func("write", "int", ["int", "void *", "int"]),
		readv: library.func("readv", "int", ["int", "void *", "int"]),
		writev: library.func("writev", "int", ["int", "void *", "int"]),
		socket: library.func("socket", "int", ["int", "int", "int"]),
		bind: library.func("bind", "int", ["int", "void *", "int"]),
		send: library.func("send", "int", ["int", "void *", "ulong", "int"]),
		recv: library.func("recv", "int", ["int", "void *", "ulong", "int"]),
		sendmmsg: library.func("sendmmsg", "int", ["int", "void *", "uint", "int"]),
		setsockopt: library.func("setsockopt", "int", ["int", "int", "int", "void *", "int"]),
		getsockopt: library.func("getsockopt", "int", ["int", "int", "int", "void *", "void *"]),
		mmap: library.func("mmap", "int64_t", ["void *", "ulong", "int", "int", "int", "int64_t"]),
		madvise: library.func("madvise", "int", ["void *", "ulong", "int"]),
		malloc: library.func("malloc", "int64_t", ["ulong"]),
		free: library.func("free", "void", ["int64_t"]),
		syscall3: library.func("syscall", "int", ["long", "int", "void *", "uint"]),
		uringEnter: library.func("syscall", "int", ["long", "uint", "uint", "uint", "uint", "ulong", "ulong"]),
		ioctl: library.func("ioctl", "int", ["int", "ulong", "void *"]),
		ioctlValue: library.func("ioctl", "int", ["int", "ulong", "ulong"]),
		strerror: library.func("strerror", "const char *", ["int"]),
		errno: koffi.errno,
		address: koffi.address,
		poll: (fd, callback) => koffi.node.poll(fd, { readable: true }, callback),
		errnoNames: new Map(Object.entries(koffi.os.errno).map(([name, number]) => [number, name])),
	};
	return isMainThread ? calls : callsOfWorker(calls);
}
