/**
 * ICMP for IPv4 (RFC 792, RFC 1122 3.2.2): answers echo requests, tells transports of errors about what they sent, and
 * sends "unreachable".
 *
 * Hides what other hosts say about our packets. Errors may be forged by anybody, so only those that quote a packet which we
 * could have sent pass, and transports take them as hints (RFC 5927). What is sent is limited in rate, for all
 * destinations together, so that nobody can use us to flood others.
 */
import type { IpLayer } from "../ip/ip.ts";
import type { IpPacket, Transport, Unreachable } from "../ip/transport.ts";
import { FRAME_CHECKED } from "../memory/batch.ts";
import { HEADROOM, type PagePool } from "../memory/pages.ts";
import type { Runtime } from "../time/clock.ts";
import { get16, get32, set32 } from "../wire/bytes.ts";
import { checksum, update16 } from "../wire/checksum.ts";
import * as icmp from "../wire/icmp.ts";
import * as ipv4 from "../wire/ipv4.ts";
import { PROTOCOL_TCP, TCP_HEADER } from "../wire/tcp.ts";
import { PROTOCOL_UDP } from "../wire/udp.ts";
import { TokenBucket } from "./bucket.ts";

/** What became of ICMP messages: each received one counts under one name. */
export class IcmpCounters {
	/** Echo requests answered. */
	echoAnswered = 0;
	/** Echo requests not answered, because there were too many. */
	echoLimited = 0;
	/** Echo requests to a broadcast address, which are not answered (RFC 1122 3.2.2.6). */
	echoBroadcast = 0;
	/** Echo requests not answered because no page was free. */
	echoNoPage = 0;
	/** Echo replies; nothing here asks for them. */
	echoReplies = 0;
	/** Errors told to a transport. */
	errorsTold = 0;
	/** Errors about packets that we did not send, or that tell nothing credible. */
	errorsIgnored = 0;
	/** Shorter than their headers. */
	tooShort = 0;
	badChecksum = 0;
	/** Types that mean nothing to a host today, silently discarded (RFC 1122 3.2.2). */
	unknownType = 0;

	/** Errors that we sent. */
	errorsSent = 0;
	/** Errors that we did not send: too many, or no page was free. */
	errorsLimited = 0;
	/** Errors that must not be sent: about broadcasts or other errors (RFC 1122 3.2.2). */
	errorsForbidden = 0;
}

/** What an error about a SYN has to say of it. Addresses are words. */
export interface ReceivedSyn {
	readonly src3: number;
	readonly srcPort: number;
	readonly dst3: number;
	readonly dstPort: number;
	readonly seq: number;
}

export interface IcmpOptions {
	pool: PagePool;
	runtime: Runtime;
	ip: IpLayer;
	/** Echo requests answered per second; default 1000. */
	echoRate?: number;
	/** Errors sent per second; default 100. */
	errorRate?: number;
}

/** Longest error message, with its IP header (RFC 1812 4.3.2.3): every link carries that much. */
const ERROR_MAX = 576;
/** Smallest MTU that there is (RFC 791 3.2). */
const MTU_MIN = 68;
/** RFC 1191 7.1: MTUs that networks have, for routers that do not tell theirs. */
const PLATEAUS = [32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296, MTU_MIN];

/** What a destination unreachable's code means, RFC 792 and RFC 1122 3.2.2.1. */
const REASONS: readonly Unreachable["reason"][] = [
	"net",
	"host",
	"protocol",
	"port",
	"too-big",
	"net", // source route failed
	"net", // network unknown
	"host", // host unknown
	"host", // source host isolated
	"prohibited", // network prohibited
	"prohibited", // host prohibited
	"net", // for this type of service
	"host", // for this type of service
	"prohibited", // by filtering, RFC 1812 5.2.7.1
	"prohibited", // host precedence
	"prohibited", // precedence cutoff
];

export class Icmp implements Transport {
	readonly counters: IcmpCounters = new IcmpCounters();
	readonly #pool: PagePool;
	readonly #u8: Uint8Array;
	readonly #runtime: Runtime;
	readonly #ip: IpLayer;
	readonly #echo: TokenBucket;
	readonly #errors: TokenBucket;
	readonly #unreachable: Unreachable = { reason: "net", mtu: 0, dst3: 0, src3: 0, protocol: 0, srcPort: 0, dstPort: 0, seq: 0 };

	/** Registers itself with `ip`, also for packets of protocols that nobody takes. */
	constructor(options: IcmpOptions) {
		this.#pool = options.pool;
		this.#u8 = options.pool.u8;
		this.#runtime = options.runtime;
		this.#ip = options.ip;
		const echoRate = options.echoRate ?? 1000;
		const errorRate = options.errorRate ?? 100;
		this.#echo = new TokenBucket(echoRate, Math.max(1, echoRate / 4));
		this.#errors = new TokenBucket(errorRate, Math.max(1, errorRate / 2));
		this.#ip.register(ipv4.PROTOCOL_ICMP, this);
		// A host without UDP has no UDP ports: that is what senders of datagrams understand.
		this.#ip.registerUnknown((packet) =>
			this.sendUnreachable(packet, packet.protocol === PROTOCOL_UDP ? icmp.PORT_UNREACHABLE : icmp.PROTOCOL_UNREACHABLE),
		);
	}

	input(packet: IpPacket): boolean {
		const u8 = this.#u8;
		const { counters } = this;
		const { start, length } = packet;
		if (length < icmp.ICMP_HEADER) {
			counters.tooShort++;
			return false;
		}
		if ((packet.flags & FRAME_CHECKED) === 0 && checksum(u8, start, length, 0) !== 0) {
			counters.badChecksum++;
			return false;
		}
		switch (icmp.type(u8, start)) {
			case icmp.ECHO_REQUEST:
				return this.#answer(packet);
			case icmp.ECHO_REPLY:
				counters.echoReplies++;
				return false;
			case icmp.DESTINATION_UNREACHABLE:
				this.#error(packet, REASONS[icmp.code(u8, start)]);
				return false;
			case icmp.TIME_EXCEEDED:
				this.#error(packet, "ttl");
				return false;
			default:
				counters.unknownType++;
				return false;
		}
	}

	/** Echo request: the reply is the same message with another type (RFC 1122 3.2.2.6), in the same page if it is only ours. */
	#answer(packet: IpPacket): boolean {
		const pool = this.#pool;
		const u8 = this.#u8;
		const { counters } = this;
		if (packet.broadcast) {
			counters.echoBroadcast++;
			return false;
		}
		if (!this.#echo.take(this.#runtime.clock.now())) {
			counters.echoLimited++;
			return false;
		}
		let { page, start } = packet;
		const taken = pool.refs(page) === 1;
		if (!taken) {
			page = pool.alloc();
			if (page === 0) {
				counters.echoNoPage++;
				return false;
			}
			start = packet.start - pool.address(packet.page) + pool.address(page);
			u8.copyWithin(start, packet.start, packet.start + packet.length);
		}
		const word = get16(u8, start);
		u8[start] = icmp.ECHO_REPLY;
		// ffff for 0, which is the same in ones-complement but for a message that is nothing but zeros now.
		icmp.setChecksumField(u8, start, update16(icmp.checksumField(u8, start), word, get16(u8, start)) || 0xffff);
		counters.echoAnswered++;
		this.#ip.output(page, start, packet.length, packet.dst3, packet.src3, ipv4.PROTOCOL_ICMP, 0);
		return taken;
	}

	/** An error about a packet of ours: tells its transport, if it can be ours. */
	#error(packet: IpPacket, reason: Unreachable["reason"] | undefined): void {
		const u8 = this.#u8;
		const { counters } = this;
		const quote = packet.start + icmp.ICMP_HEADER;
		const quoted = packet.length - icmp.ICMP_HEADER;
		const header = quoted >= ipv4.IPV4_HEADER ? ipv4.headerLength(u8, quote) : 0;
		// RFC 792: the header and 8 bytes must be there.
		if (header < ipv4.IPV4_HEADER || quoted < header + 8) {
			counters.tooShort++;
			return;
		}
		const source = ipv4.source(u8, quote);
		const transport = this.#ip.transport(ipv4.protocol(u8, quote));
		const mtu = reason === "too-big" ? this.#mtu(icmp.nextHopMtu(u8, packet.start), ipv4.totalLength(u8, quote)) : 0;
		// We send no fragments, so an error about one is about somebody else's packet.
		const ours = ipv4.version(u8, quote) === 4 && this.#ip.isLocal(source) && (ipv4.fragmentField(u8, quote) & 0x3fff) === 0;
		// An error that travelled by broadcast, or to another address of ours than it quotes, was not provoked by us.
		const credible = !packet.broadcast && source === packet.dst3 && mtu >= 0;
		if (reason === undefined || !ours || !credible || transport?.unreachable === undefined) {
			counters.errorsIgnored++;
			return;
		}
		const ports = quote + header;
		const error = this.#unreachable;
		error.reason = reason;
		error.mtu = mtu;
		error.dst3 = ipv4.destination(u8, quote);
		error.src3 = source;
		error.protocol = ipv4.protocol(u8, quote);
		error.srcPort = get16(u8, ports);
		error.dstPort = get16(u8, ports + 2);
		error.seq = get32(u8, ports + 4);
		counters.errorsTold++;
		transport.unreachable(error);
	}

	/**
	 * The MTU to believe when a packet of `length` bytes was too big, or -1 for none: one that is not below that length, or
	 * below what IPv4 guarantees, comes from no honest router. 0 comes from routers older than RFC 1191, so the next smaller
	 * usual MTU is tried (RFC 1191 5).
	 */
	#mtu(told: number, length: number): number {
		if (told === 0) return PLATEAUS.find((plateau) => plateau < length) ?? -1;
		return told >= MTU_MIN && told < length ? told : -1;
	}

	/**
	 * Sends "destination unreachable" about a packet that was received, unless RFC 1122 3.2.2 forbids it or too many were
	 * sent lately. Transports call this for ports that nobody listens on.
	 *
	 * @param code PORT_UNREACHABLE, PROTOCOL_UNREACHABLE ... of `wire/icmp.ts`, but not FRAGMENTATION_NEEDED, which needs an MTU.
	 */
	sendUnreachable(packet: IpPacket, code: number): void {
		const pool = this.#pool;
		const u8 = this.#u8;
		const { counters } = this;
		// Sources that are no single host were dropped by ip, as were fragments.
		const aboutError = packet.protocol === ipv4.PROTOCOL_ICMP && (packet.length < 1 || icmp.isError(icmp.type(u8, packet.start)));
		if (packet.broadcast || aboutError) {
			counters.errorsForbidden++;
			return;
		}
		const page = this.#errorPage();
		if (page === 0) return;
		const whole = packet.start - packet.headerStart + packet.length;
		const quoted = Math.min(
			whole,
			ERROR_MAX - ipv4.IPV4_HEADER - icmp.ICMP_HEADER,
			this.#ip.mtuTo(packet.src3) - ipv4.IPV4_HEADER - icmp.ICMP_HEADER,
		);
		const length = icmp.ICMP_HEADER + quoted;
		const start = pool.address(page) + HEADROOM;
		u8.copyWithin(start + icmp.ICMP_HEADER, packet.headerStart, packet.headerStart + quoted);
		this.#sendError(page, start, length, code, packet.dst3, packet.src3);
	}

	/**
	 * Sends "destination unreachable" about a SYN that was received and is gone, unless too many were sent lately: for those who learn
	 * only later that they cannot reach its destination.
	 *
	 * @param code NET_UNREACHABLE or HOST_UNREACHABLE of `wire/icmp.ts`.
	 */
	sendUnreachableAbout(syn: ReceivedSyn, code: number): void {
		const page = this.#errorPage();
		if (page === 0) return;
		const u8 = this.#u8;
		const start = this.#pool.address(page) + HEADROOM;
		const quote = start + icmp.ICMP_HEADER;
		const ports = quote + ipv4.IPV4_HEADER;
		// RFC 792: the IP header, and of TCP the 8 bytes by which the sender knows its connection (RFC 5927 4.1).
		ipv4.writeIpv4Header(u8, quote, ipv4.IPV4_HEADER + TCP_HEADER, 1, PROTOCOL_TCP, syn.src3, syn.dst3);
		set32(u8, ports, (syn.srcPort << 16) | syn.dstPort);
		set32(u8, ports + 4, syn.seq);
		this.#sendError(page, start, ports + 8 - start, code, syn.dst3, syn.src3);
	}

	/** A page for an error; 0, and counted, if none is to be sent. */
	#errorPage(): number {
		const page = this.#errors.take(this.#runtime.clock.now()) ? this.#pool.alloc() : 0;
		if (page === 0) this.counters.errorsLimited++;
		return page;
	}

	/** Puts the header in front of the quote, which is there, and sends the error. */
	#sendError(page: number, start: number, length: number, code: number, src: number, dst: number): void {
		const u8 = this.#u8;
		icmp.writeIcmpError(u8, start, icmp.DESTINATION_UNREACHABLE, code);
		icmp.setChecksumField(u8, start, checksum(u8, start, length, 0));
		this.counters.errorsSent++;
		this.#ip.output(page, start, length, src, dst, ipv4.PROTOCOL_ICMP, 0);
	}
}
