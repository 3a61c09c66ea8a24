/**
 * The filter of a packet link: which frames of an interface are copied to the stack.
 *
 * Hides classic BPF (the packet filter of McCanne and Jacobson, 1993): instructions of 8 bytes (code, two distances to jump, a
 * constant) on an accumulator. Frames to the stack's own hardware address, or IPv4 to its addresses where it uses the
 * interface's, and ARP about its addresses; none that go out.
 *
 * Those that go out are dropped here because not every kernel keeps them from fanout groups (packet-socket.ts).
 */
const LOAD_WORD = 0x20;
const LOAD_HALF = 0x28;
const JUMP_EQUAL = 0x15;
const JUMP_AT_LEAST = 0x35;
const RETURN = 0x06;
/** Bytes of a frame that are taken: all. */
const ALL = 0x40000;

/** Not a place in the frame but what the kernel says of it: whither it goes (SKF_AD_OFF and SKF_AD_PKTTYPE, linux/filter.h). */
const DIRECTION = -0x1000 + 4;
const PACKET_OTHERHOST = 3;
const PACKET_OUTGOING = 4;
/** As DIRECTION: the interface that the frame is for. */
const INTERFACE = -0x1000 + 8;

const ETHERTYPE = 12;
const IPV4_DESTINATION = 30;
const ARP_TARGET = 38;
const TYPE_IPV4 = 0x0800;
const TYPE_ARP = 0x0806;

/** The filter that nothing passes. */
export const NOTHING: Uint8Array = Uint8Array.of(RETURN, 0, 0, 0, 0, 0, 0, 0);

/**
 * The filter of a socket for ARP that passes what the machine hears: to it, or to all. Not that of other VLANs, whose tag the kernel has taken off: it
 * gives it to the VLAN's own interface, or marks it as another station's (net/core/dev.c).
 */
export function arpHeard(interfaceIndex: number): Uint8Array {
	return encode([
		[LOAD_WORD, 0, 0, INTERFACE],
		[JUMP_EQUAL, 0, 2, interfaceIndex],
		[LOAD_WORD, 0, 0, DIRECTION],
		[JUMP_AT_LEAST, 0, 1, PACKET_OTHERHOST],
		[RETURN, 0, 0, 0],
		[RETURN, 0, 0, ALL],
	]);
}

/** Instructions as code, distances and constant. */
function encode(list: readonly (readonly [code: number, yes: number, no: number, constant: number])[]): Uint8Array {
	const bytes = new Uint8Array(list.length * 8);
	const view = new DataView(bytes.buffer);
	for (const [i, [code, yes, no, constant]] of list.entries()) {
		view.setUint16(i * 8, code, true);
		view.setUint8(i * 8 + 2, yes);
		view.setUint8(i * 8 + 3, no);
		view.setInt32(i * 8 + 4, constant, true);
	}
	return bytes;
}

/** Distances are those to named places: the next instruction, or one of these ends. */
type Place = "next" | "accept" | "reject" | "arp";
interface Instruction {
	readonly code: number;
	readonly constant: number;
	readonly yes: Place;
	readonly no: Place;
}

/**
 * @param addresses IPv4 addresses as words, at most 64.
 * @param mac A hardware address that nobody else uses.
 */
export function addressFilter(addresses: readonly number[], mac?: Uint8Array): Uint8Array {
	const list: Instruction[] = [];
	const load = (code: number, at: number): void => void list.push({ code, constant: at, yes: "next", no: "next" });
	const test = (constant: number, yes: Place, no: Place): void => void list.push({ code: JUMP_EQUAL, constant, yes, no });
	const among = (at: number): void => {
		load(LOAD_WORD, at);
		for (const [i, address] of addresses.entries()) test(address, "accept", i + 1 < addresses.length ? "next" : "reject");
	};
	load(LOAD_WORD, DIRECTION);
	test(PACKET_OUTGOING, "reject", "next");
	if (mac !== undefined) {
		const view = new DataView(mac.buffer, mac.byteOffset, 6);
		load(LOAD_WORD, 2);
		test(view.getInt32(2), "next", "arp");
		load(LOAD_HALF, 0);
		test(view.getUint16(0), "accept", "arp");
	} else {
		load(LOAD_HALF, ETHERTYPE);
		test(TYPE_IPV4, "next", "arp");
		among(IPV4_DESTINATION);
	}
	const arp = list.length;
	load(LOAD_HALF, ETHERTYPE);
	test(TYPE_ARP, "next", "reject");
	among(ARP_TARGET);
	const reject = list.length;
	list.push({ code: RETURN, constant: 0, yes: "next", no: "next" });
	const accept = list.length;
	list.push({ code: RETURN, constant: ALL, yes: "next", no: "next" });

	return encode(
		list.map(({ code, constant, yes, no }, i) => {
			const distance = (place: Place): number => ({ next: 0, arp: arp - i - 1, reject: reject - i - 1, accept: accept - i - 1 })[place];
			return [code, distance(yes), distance(no), constant];
		}),
	);
}
