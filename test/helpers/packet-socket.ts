/** A packet socket (packet(7)) on one interface: a test's own way to put Ethernet frames on it, and to see those that come from it. */
import koffi from "koffi";
import { NetworkInterface } from "../../src/sys/interface.ts";
import { libc } from "../../src/sys/libc.ts";

const AF_PACKET = 17;
const SOCK_RAW_NONBLOCK = 3 | 0o4000;
const ETH_P_ALL = 0x0003;

const bind = koffi.load(null).func("bind", "int", ["int", "void *", "int"]);

export class PacketSocket {
	readonly #fd: number;
	readonly #buffer = new Uint8Array(65536 + 18);

	constructor(interfaceName: string) {
		this.#fd = libc().socket(AF_PACKET, SOCK_RAW_NONBLOCK, 0);
		const device = new NetworkInterface(interfaceName);
		const address = new DataView(new ArrayBuffer(20)); // struct sockaddr_ll
		address.setUint16(0, AF_PACKET, true);
		address.setUint16(2, ETH_P_ALL);
		address.setInt32(4, device.index, true);
		device.close();
		if (this.#fd < 0 || bind(this.#fd, new Uint8Array(address.buffer), 20) !== 0) throw new Error(`no packet socket on ${interfaceName}`);
	}

	/** Sends a frame out of the interface. */
	send(frame: Uint8Array): void {
		if (libc().write(this.#fd, frame, frame.length) !== frame.length) throw new Error(`not sent: errno ${libc().errno()}`);
	}

	/** The next frame, of others than this socket, that came in or went out; null when there is none. */
	receive(): Uint8Array | null {
		const length = libc().read(this.#fd, this.#buffer, this.#buffer.length);
		return length < 0 ? null : this.#buffer.slice(0, length);
	}

	close(): void {
		libc().close(this.#fd);
	}
}
