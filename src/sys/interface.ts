/**
 * Configuration of the kernel's network interfaces, by ioctl: what `ip link` and `ip address` do, without them.
 *
 * Hides struct ifreq (netdevice(7)): 16 bytes of name, then a union that each request reads in its own way. IPv4 only: an
 * interface made here needs one IPv4 address, and these requests know one.
 */
import { AF_INET, IFF_UP, SOCK_CLOEXEC, SOCK_DGRAM } from "./constants.ts";
import { ENODEV, systemError } from "./errno.ts";
import { libc } from "./libc.ts";

const SIOCGIFFLAGS = 0x8913;
const SIOCSIFFLAGS = 0x8914;
const SIOCGIFADDR = 0x8915;
const SIOCSIFADDR = 0x8916;
const SIOCGIFNETMASK = 0x891b;
const SIOCSIFNETMASK = 0x891c;
const SIOCGIFMTU = 0x8921;
const SIOCSIFMTU = 0x8922;
const SIOCSIFHWADDR = 0x8924;
const SIOCGIFHWADDR = 0x8927;
const SIOCGIFINDEX = 0x8933;
const SIOCGIFTXQLEN = 0x8942;
const SIOCSIFTXQLEN = 0x8943;

const ARPHRD_ETHER = 1;

/** Where the union of struct ifreq begins, and where in it a sockaddr has its bytes. */
const UNION = 16;
const SOCKADDR_IN_ADDRESS = UNION + 4;
const SOCKADDR_DATA = UNION + 2;

const PRIVILEGE = "Run as root, or give the process CAP_NET_ADMIN";

/** Bytes of the longest name of an interface (IFNAMSIZ less the closing zero). */
export const INTERFACE_NAME_MAX = 15;

/** Whether the kernel takes `name` for an interface (dev_valid_name), `%d` for a free number included. */
export function validInterfaceName(name: string): boolean {
	// Printable, but no slash, colon or blank, and no other percent sign.
	return (
		name !== "" && name !== "." && name !== ".." && name.length <= INTERFACE_NAME_MAX && /^[!-$&-.0-9;-~]*(%d)?[!-$&-.0-9;-~]*$/.test(name)
	);
}

/** An IPv4 address of an interface, as a word (most significant byte first), and the length of its prefix in bits. */
export interface InterfaceAddress {
	readonly word: number;
	readonly prefix: number;
}

/** One interface, by name. Holds a socket to ask the kernel through, until `close`. */
export class NetworkInterface {
	readonly name: string;
	readonly #request = new Uint8Array(40);
	readonly #view = new DataView(this.#request.buffer);
	readonly #socket: number;

	constructor(name: string) {
		this.name = name;
		this.#socket = libc().socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (this.#socket < 0) throw systemError("open a socket to configure interfaces", libc().errno(), "Raise the limit of open files");
	}

	/** The kernel's number for the interface; 0 when there is none of that name. */
	get index(): number {
		// Of a name that is too long, or goes on behind a colon, the kernel would read what stands before that.
		if (!validInterfaceName(this.name)) return 0;
		this.#begin();
		if (this.#try(SIOCGIFINDEX) === 0) return this.#view.getInt32(UNION, true);
		const errno = libc().errno();
		if (errno === ENODEV) return 0;
		throw systemError(`look up interface "${this.name}"`, errno, PRIVILEGE);
	}

	get up(): boolean {
		this.#begin();
		this.#do(SIOCGIFFLAGS, "read the state");
		return (this.#view.getInt16(UNION, true) & IFF_UP) !== 0;
	}
	set up(up: boolean) {
		this.#begin();
		this.#do(SIOCGIFFLAGS, "read the state");
		const flags = this.#view.getInt16(UNION, true);
		this.#view.setInt16(UNION, up ? flags | IFF_UP : flags & ~IFF_UP, true);
		this.#do(SIOCSIFFLAGS, up ? "bring up" : "bring down");
	}

	/** The first IPv4 address; null when there is none. */
	get address(): InterfaceAddress | null {
		this.#begin();
		this.#view.setUint16(UNION, AF_INET, true);
		if (this.#try(SIOCGIFADDR) < 0) return null;
		const word = this.#view.getInt32(SOCKADDR_IN_ADDRESS);
		this.#do(SIOCGIFNETMASK, "read the netmask");
		return { word, prefix: Math.clz32(~this.#view.getInt32(SOCKADDR_IN_ADDRESS)) };
	}
	/** Sets the first IPv4 address; null takes it away. */
	set address(value: InterfaceAddress | null) {
		this.#begin();
		this.#view.setUint16(UNION, AF_INET, true);
		this.#view.setInt32(SOCKADDR_IN_ADDRESS, value?.word ?? 0);
		this.#do(SIOCSIFADDR, "set the address");
		if (value === null) return;
		this.#view.setInt32(SOCKADDR_IN_ADDRESS, value.prefix === 0 ? 0 : -1 << (32 - value.prefix));
		this.#do(SIOCSIFNETMASK, "set the netmask");
	}

	/** Largest packet, in bytes. */
	get mtu(): number {
		this.#begin();
		this.#do(SIOCGIFMTU, "read the MTU");
		return this.#view.getInt32(UNION, true);
	}
	set mtu(bytes: number) {
		this.#begin();
		this.#view.setInt32(UNION, bytes, true);
		this.#do(SIOCSIFMTU, `set an MTU of ${bytes} bytes`);
	}

	/** Hardware address, 6 bytes. */
	get mac(): Uint8Array {
		this.#begin();
		this.#do(SIOCGIFHWADDR, "read the hardware address");
		return this.#request.slice(SOCKADDR_DATA, SOCKADDR_DATA + 6);
	}
	set mac(bytes: Uint8Array) {
		this.#begin();
		this.#view.setUint16(UNION, ARPHRD_ETHER, true);
		this.#request.set(bytes, SOCKADDR_DATA);
		this.#do(SIOCSIFHWADDR, "set the hardware address");
	}

	/** Whether frames on it begin with an Ethernet header. */
	get ethernet(): boolean {
		this.#begin();
		this.#do(SIOCGIFHWADDR, "read the hardware address");
		return this.#view.getUint16(UNION, true) === ARPHRD_ETHER;
	}

	/** Makes a request whose argument is memory at `address`: -1 if it failed. */
	query(request: number, address: bigint): number {
		this.#begin();
		this.#view.setBigUint64(UNION, address, true);
		return this.#try(request);
	}

	/** Frames that the kernel queues towards the device. */
	get queueLength(): number {
		this.#begin();
		this.#do(SIOCGIFTXQLEN, "read the queue length");
		return this.#view.getInt32(UNION, true);
	}
	set queueLength(frames: number) {
		this.#begin();
		this.#view.setInt32(UNION, frames, true);
		this.#do(SIOCSIFTXQLEN, `set a queue of ${frames} frames`);
	}

	close(): void {
		libc().close(this.#socket);
	}

	#begin(): void {
		this.#request.fill(0);
		for (let i = 0; i < this.name.length; i++) this.#request[i] = this.name.charCodeAt(i);
	}

	#try(request: number): number {
		return libc().ioctl(this.#socket, request, this.#request);
	}

	#do(request: number, what: string): void {
		if (this.#try(request) < 0) throw systemError(`${what} of interface "${this.name}"`, libc().errno(), PRIVILEGE);
	}
}
