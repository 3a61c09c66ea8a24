/**
 * What a guest in v86 sends through a WebSocket relay, recorded, for where there is no v86 (with one: ipxe.test.ts).
 *
 * Recorded from v86 0.5.462 in Node with an NE2000 card, iPXE of Debian 12 in it, which was told
 * `ifopen net0 && set net0/ip 10.0.2.15 && set net0/netmask 255.255.255.0 && imgfetch http://10.0.2.2/hello`, against a Millrace host
 * (02:21:43:03:b3:e6). Each message is one Ethernet frame, without FCS; short ones are filled up to 60 bytes.
 *
 * A recorded peer acknowledges what another run sent: so its acknowledgments and echoed timestamps are moved to this run's.
 */
import assert from "node:assert/strict";
import http from "node:http";
import { test } from "node:test";
import { createHost } from "../../src/index.ts";
import type { PipeEvents } from "../../src/link/pipe.ts";
import { streamLink } from "../../src/link/stream.ts";
import { get16, get32, set16, set32 } from "../../src/wire/bytes.ts";
import { checksum, pseudoHeader4 } from "../../src/wire/checksum.ts";
import { decodeFrame } from "../../src/wire/decode.ts";

const MAC = Uint8Array.of(0x02, 0x21, 0x43, 0x03, 0xb3, 0xe6);

const RECORDED = {
	"ARP: who has 10.0.2.2": [
		"ffffffffffff002215087853080600010800060400010022150878530a00020f0000000000000a00020200000000000000000000000000000000",
		"0000",
	].join(""),
	SYN: [
		"02214303b3e600221508785308004500004001000000400661a80a00020f0a000202f4160050538eb1f100000000b002fffc98e200000101080a",
		"037187b0000000000101040201030309020405b4",
	].join(""),
	GET: [
		"02214303b3e60022150878530800450000a402040000400660400a00020f0a000202f4160050538eb1f2c33b646980180200620f00000101080a",
		"037188206657e08a474554202f68656c6c6f20485454502f312e310d0a436f6e6e656374696f6e3a206b6565702d616c6976650d0a557365722d",
		"4167656e743a20695058452f312e302e302b6769742d32303139303132352e333661346338352d352e310d0a486f73743a2031302e302e322e32",
		"0d0a0d0a",
	].join(""),
	ACK: [
		"02214303b3e60022150878530800450000340305000040065faf0a00020f0a000202f4160050538eb262c33b64f18010020066bd00000101080a",
		"037189006657e0a1",
	].join(""),
};

const ETHERNET = 14;
const IPV4 = 20;
const TCP = ETHERNET + IPV4;

/** A recorded segment, as an answer to this run. All but the SYN have two fillers and then timestamps as their options. */
function answering(hex: string, ack: number, timestamp: number): Uint8Array {
	const bytes = new Uint8Array(Buffer.from(hex, "hex"));
	set32(bytes, TCP + 8, ack | 0);
	set32(bytes, TCP + 20 + 8, timestamp | 0);
	const length = get16(bytes, ETHERNET + 2) - IPV4;
	set16(bytes, TCP + 16, 0);
	set16(bytes, TCP + 16, checksum(bytes, TCP, length, pseudoHeader4(get32(bytes, ETHERNET + 12), get32(bytes, ETHERNET + 16), 6, length)));
	return bytes;
}

test("the frames of a guest in v86, a message each, are answered: ARP, SYN, a request", async () => {
	let events!: PipeEvents;
	const sent: Uint8Array[] = [];
	let heard: () => void = () => {};
	const pipe = {
		start: (to: PipeEvents) => {
			events = to;
		},
		write: (bytes: Uint8Array) => {
			sent.push(bytes);
			heard();
		},
		pending: 0,
		close() {},
	};
	const link = streamLink(pipe, { framing: "message", mac: MAC });
	const host = createHost({ link, addresses: ["10.0.2.2/24"] });
	const requests: [string | undefined, string | undefined][] = [];
	host.net
		.adopt(
			http.createServer((request, response) => {
				requests.push([request.url, request.headers["user-agent"]]);
				response.sendDate = false;
				response.end("hello");
			}),
		)
		.listen(80);

	/** The first frame of the host's that fits. */
	async function frame(fits: (frame: ReturnType<typeof decodeFrame>) => boolean) {
		for (;;) {
			for (let bytes = sent.shift(); bytes !== undefined; bytes = sent.shift()) {
				const decoded = decodeFrame(bytes, "ethernet");
				if (fits(decoded)) return decoded;
			}
			await new Promise<void>((resolve) => {
				heard = resolve;
			});
		}
	}

	const keep = setInterval(() => {}, 1000);
	try {
		events.arrived(new Uint8Array(Buffer.from(RECORDED["ARP: who has 10.0.2.2"], "hex")));
		const { arp } = await frame(({ arp }) => arp?.operation === "reply");
		assert.deepEqual([arp!.senderMac, arp!.targetMac], ["02:21:43:03:b3:e6", "00:22:15:08:78:53"]);

		events.arrived(new Uint8Array(Buffer.from(RECORDED.SYN, "hex")));
		const { tcp: opened } = await frame(({ tcp }) => tcp?.flags === "SA");
		const { mss, windowScale, sackPermitted, timestamps } = opened!.options;
		assert.deepEqual([mss, windowScale !== undefined, sackPermitted, timestamps?.echo], [1460, true, true, 0x037187b0]);

		events.arrived(answering(RECORDED.GET, opened!.seq + 1, timestamps!.value));
		const { tcp: answered, payload } = await frame(({ payload }) => (payload?.length ?? 0) > 0);
		assert.match(new TextDecoder().decode(payload), /^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\nhello$/);
		assert.deepEqual(requests, [["/hello", "iPXE/1.0.0+git-20190125.36a4c85-5.1"]]);

		events.arrived(answering(RECORDED.ACK, answered!.seq + payload!.length, answered!.options.timestamps!.value));
		for (let tries = 0; host.connections()[0]!.sendQueue > 0 && tries < 1000; tries++) await new Promise(setImmediate);
		const [connection] = host.connections();
		assert.deepEqual([connection!.state, connection!.sendQueue], ["ESTABLISHED", 0]);
		assert.deepEqual([link.counters().rxDropSize, link.counters().rxDropNotBinary ?? 0], [0, 0]);
	} finally {
		clearInterval(keep);
		await host.close();
	}
});
