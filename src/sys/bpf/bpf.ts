/**
 * bpf(2): maps, programs and links, by file descriptor.
 *
 * Hides the system call: its number on each architecture, union bpf_attr, the verifier's log. Everything made here lives as
 * long as its descriptor: when the process ends, in whatever way, the kernel closes it, and an interface that a program was
 * linked to is as it was before.
 *
 * Where the kernel refuses a program the log says which instruction and why; its end becomes part of the error.
 */
import { MillraceError } from "../../errors.ts";
import { E2BIG, EACCES, EBUSY, EEXIST, EINVAL, EMFILE, ENOMEM, ENOSYS, EOPNOTSUPP, EPERM, errnoName, systemError } from "../errno.ts";
import { libc } from "../libc.ts";

const MAP_CREATE = 0;
const MAP_UPDATE_ELEM = 2;
const PROG_LOAD = 5;
const PROG_TEST_RUN = 10;
const LINK_CREATE = 28;

/** Kinds of maps. */
export const MAP_ARRAY = 2;
export const MAP_XSK = 17;

const PROGRAM_SOCKET_FILTER = 1;
const PROGRAM_XDP = 6;
const ATTACH_XDP = 37;

/** How an XDP program runs: before the kernel makes a packet of its own of the frame, or after; 0: as the driver can. */
export const XDP_GENERIC = 1 << 1;
export const XDP_NATIVE = 1 << 2;

/** What an XDP program answers. */
export const XDP_DROP = 1;
export const XDP_PASS = 2;

/** Functions of the kernel that a program may call. */
export const MAP_LOOKUP = 1;
export const KTIME_GET_NS = 5;
export const REDIRECT_MAP = 51;
export const LOAD_BYTES_RELATIVE = 68;

/** Offsets in struct xdp_md, each a word: where the frame begins, where it ends, the interface's queue it came by. */
export const XDP_DATA = 0;
export const XDP_DATA_END = 4;
export const XDP_QUEUE = 16;

/** Offsets in struct __sk_buff, which programs on packets of the kernel get, each a word: bytes of the frame; its ethertype, in network order. */
export const SKB_LENGTH = 0;
export const SKB_PROTOCOL = 16;
/** What LOAD_BYTES_RELATIVE counts from: the header behind Ethernet's. */
export const HEADER_NETWORK = 1;

/** Number of the system call; all architectures but one that kernel devices are used on (libc.ts) have that of asm-generic/unistd.h. */
const SYSCALL = process.arch === "x64" ? 321 : 280;

/** Bytes of union bpf_attr that are given: zeros behind what a kernel knows are no offence. */
const ATTRIBUTES = 128;
const LOG = 64 * 1024;

const PRIVILEGE = "Run as root, or give the process CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN (before Linux 5.8: CAP_SYS_ADMIN)";
/** Root is refused where its capabilities were taken away, and by kernels that count maps and programs as locked memory. */
const ROOT =
	"In a container, give it CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN; before Linux 5.11, raise the limit of locked memory (ulimit -l unlimited), which BPF counts towards";

/** Kernels that have what steering needs (a socket filter that reads relative to headers), and what XDP links need (BPF links for XDP). */
const STEERING = "4.18";
const XDP = "5.9";

/** The attributes of one call. Memory that they point to is kept alive with them. */
class Attributes {
	readonly bytes = new Uint8Array(ATTRIBUTES);
	readonly #view = new DataView(this.bytes.buffer);
	readonly #kept: Uint8Array[] = [];

	word(at: number, value: number): this {
		this.#view.setUint32(at, value >>> 0, true);
		return this;
	}

	pointer(at: number, memory: Uint8Array): this {
		this.#kept.push(memory);
		this.#view.setBigUint64(at, libc().address(memory), true);
		return this;
	}

	read(at: number): number {
		return this.#view.getUint32(at, true);
	}

	/** A descriptor, or -1. */
	make(command: number): number {
		return libc().keep(this.call(command));
	}

	/** 0 or more, or -1. */
	call(command: number): number {
		return libc().syscall3(SYSCALL, command, this.bytes, ATTRIBUTES);
	}
}

/** Memory that stays where it is while the kernel looks at it; small arrays may lie on the JavaScript heap, and move. */
function fixed(bytes: ArrayLike<number> | number): Uint8Array {
	const length = typeof bytes === "number" ? bytes : bytes.length;
	const memory = new Uint8Array(new ArrayBuffer(Math.max(length, 1)));
	if (typeof bytes !== "number") memory.set(bytes);
	return memory;
}

/** @param linux The first kernel that can do all that the caller is for. */
function remedy(errno: number, linux: string): string {
	if (errno === EPERM || errno === EACCES) return process.geteuid?.() === 0 ? ROOT : PRIVILEGE;
	if (errno === ENOSYS) return "This kernel has no BPF";
	if (errno === EMFILE) return "Raise the limit of open files (ulimit -n)";
	if (errno === ENOMEM) return "Free some memory";
	return `This needs Linux ${linux} or later`;
}

/** Makes a map of `entries` values; `key` and `value` are bytes. Returns its descriptor. */
export function createMap(type: number, key: number, value: number, entries: number): number {
	const fd = new Attributes().word(0, type).word(4, key).word(8, value).word(12, entries).make(MAP_CREATE);
	if (fd < 0) {
		const errno = libc().errno();
		throw systemError("make a BPF map", errno, remedy(errno, type === MAP_XSK ? XDP : STEERING));
	}
	return fd;
}

/** Sets an entry of a map whose keys and values are words. */
export function setWord(map: number, key: number, value: number): void {
	const words = fixed(8);
	const view = new DataView(words.buffer);
	view.setUint32(0, key, true);
	view.setUint32(4, value, true);
	const done = new Attributes().word(0, map).pointer(8, words).pointer(16, words.subarray(4)).call(MAP_UPDATE_ELEM);
	if (done < 0) {
		const errno = libc().errno();
		throw systemError(`set entry ${key} of a BPF map`, errno, remedy(errno, STEERING));
	}
}

/** Loads an XDP program. Returns its descriptor. */
export function loadXdp(program: Uint8Array, name: string): number {
	return load(PROGRAM_XDP, "an XDP program", program, name);
}

/** Loads a program of the kind that looks at packets for sockets and for devices with several queues. Returns its descriptor. */
export function loadSocketFilter(program: Uint8Array, name: string): number {
	return load(PROGRAM_SOCKET_FILTER, "a BPF program for packets", program, name);
}

function load(type: number, what: string, program: Uint8Array, name: string): number {
	const attempt = (log: Uint8Array | null): number => {
		const attributes = new Attributes()
			.word(0, type)
			.word(4, program.length >> 3)
			.pointer(8, fixed(program))
			.pointer(16, fixed([...new TextEncoder().encode("Apache-2.0"), 0]));
		for (let i = 0; i < Math.min(name.length, 15); i++) attributes.bytes[48 + i] = name.charCodeAt(i);
		if (log !== null) attributes.word(24, 1).word(28, log.length).pointer(32, log);
		return attributes.make(PROG_LOAD);
	};
	const fd = attempt(null);
	if (fd >= 0) return fd;
	const errno = libc().errno();
	const advice = remedy(errno, type === PROGRAM_XDP ? XDP : STEERING);
	if (errno === EPERM) throw systemError(`load ${what}`, errno, advice);
	const log = fixed(LOG);
	const again = attempt(log);
	if (again >= 0) return again;
	const text = new TextDecoder().decode(log.subarray(0, log.indexOf(0))).trim();
	const end = text.split("\n").slice(-4).join(" | ");
	throw new MillraceError(
		errnoName(errno),
		`cannot load ${what}: ${libc().strerror(errno).toLowerCase()}${end === "" ? "" : ` (the verifier: ${end})`}. ${errno === E2BIG ? "It is too long for this kernel" : advice}`,
		{ errno },
	);
}

/**
 * Attaches an XDP program to an interface for as long as the returned descriptor is open.
 *
 * @param mode XDP_NATIVE, XDP_GENERIC, or 0 for what the driver can.
 * @param name The interface's name, for the error.
 */
export function attachXdp(program: number, interfaceIndex: number, mode: number, name: string): number {
	const fd = new Attributes().word(0, program).word(4, interfaceIndex).word(8, ATTACH_XDP).word(12, mode).make(LINK_CREATE);
	if (fd >= 0) return fd;
	const errno = libc().errno();
	const what = `attach an XDP program to interface "${name}"${mode === XDP_NATIVE ? " in its driver" : ""}`;
	if (errno === EBUSY || errno === EEXIST)
		throw systemError(what, errno, `Another program (also another Millrace) has its XDP program there: see ip link show ${name}`);
	if (mode === XDP_NATIVE && (errno === EOPNOTSUPP || errno === EINVAL))
		throw systemError(what, errno, "Its driver has no XDP (as it is set up): use the generic mode");
	throw systemError(what, errno, remedy(errno, XDP));
}

/** Runs a program of any kind on a frame in the kernel, without any interface: what it answers. For tests. */
export function testRun(program: number, frame: Uint8Array): number {
	const out = fixed(frame.length + 512);
	const attributes = new Attributes()
		.word(0, program)
		.word(8, frame.length)
		.word(12, out.length)
		.pointer(16, fixed(frame))
		.pointer(24, out)
		.word(32, 1);
	if (attributes.call(PROG_TEST_RUN) < 0) throw systemError("run a BPF program", libc().errno(), PRIVILEGE);
	return attributes.read(4);
}
