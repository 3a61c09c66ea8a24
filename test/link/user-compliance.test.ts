/**
 * The user link before the suite that every link must pass.
 *
 * Its far end is a host, not a wire: nothing comes from there that was not asked for, and nobody can look at what arrives there. But it
 * answers echo requests with all that was in them, in order. So the suite's frames are echo requests here: one that the peer is to
 * send is asked for, and one that the peer is to have received is known by its answer. What the suite cannot say in this way is that
 * frames of a stranger's pass: there is no stranger. What the link is for, connections, is in user.test.ts.
 */
import type { LinkContext } from "../../src/link/link.ts";
import { type UserLinkOptions, userLink } from "../../src/link/user.ts";
import { Batch } from "../../src/memory/batch.ts";
import { HEADROOM } from "../../src/memory/pages.ts";
import { checksum } from "../../src/wire/checksum.ts";
import { ECHO_REPLY, ECHO_REQUEST, ICMP_HEADER, setChecksumField } from "../../src/wire/icmp.ts";
import { destination, IPV4_HEADER, PROTOCOL_ICMP, protocol, source, writeIpv4Header } from "../../src/wire/ipv4.ts";
import { realRuntime } from "../helpers/real-runtime.ts";
import { isMarked, type LinkBench, linkCompliance, MARK, mark, type TestFrames } from "./compliance.ts";

const HEADERS = IPV4_HEADER + ICMP_HEADER;
const GUEST = 0x0a00020f;
const GATEWAY = 0x0a000202;

/** Writes the headers of an echo request in front of what it carries. */
function asRequest(bytes: Uint8Array): Uint8Array {
	const { length } = bytes;
	writeIpv4Header(bytes, 0, length, 64, PROTOCOL_ICMP, GUEST, GATEWAY);
	bytes.fill(0, IPV4_HEADER, HEADERS);
	bytes[IPV4_HEADER] = ECHO_REQUEST;
	setChecksumField(bytes, IPV4_HEADER, checksum(bytes, IPV4_HEADER, length - IPV4_HEADER, 0));
	return bytes;
}

const frames: TestFrames = {
	smallest: HEADERS + MARK,
	make(length, index) {
		const bytes = new Uint8Array(length);
		mark(bytes, HEADERS, index);
		return asRequest(bytes);
	},
	read(bytes) {
		if (protocol(bytes, 0) !== PROTOCOL_ICMP || bytes[IPV4_HEADER] !== ECHO_REPLY || !isMarked(bytes, HEADERS)) return null;
		const right = source(bytes, 0) === GATEWAY && destination(bytes, 0) === GUEST && checksum(bytes, 0, IPV4_HEADER, 0) === 0;
		return right && checksum(bytes, IPV4_HEADER, bytes.length - IPV4_HEADER, 0) === 0 ? asRequest(bytes.slice()) : null;
	},
};

function bench(options: UserLinkOptions) {
	return async (): Promise<LinkBench> => {
		const link = userLink(options);
		let batch: Batch | null = null;
		/** Of the peer's own, so that it can ask while the link has no page to spare. */
		let page = 0;
		let left = false;
		return {
			link,
			runtime: realRuntime(),
			frames,
			opened({ pool }: LinkContext) {
				batch = new Batch(pool);
				page = pool.alloc();
			},
			async settle() {
				// The gateway takes a turn in the event loop to answer.
				for (let i = 0; i < 6; i++) await new Promise(setImmediate);
			},
			peer: {
				send(bytes) {
					if (batch === null || left) return;
					const { pool } = batch;
					const start = pool.address(page) + HEADROOM;
					pool.retain(page);
					pool.u8.set(bytes, start);
					batch.push(page, start, bytes.length);
					link.transmit(batch);
					link.flush();
				},
				async receive() {
					if (batch === null || (batch.count === 0 && link.receive(batch) === 0)) return null;
					const bytes = batch.frame(0).slice();
					batch.drop(1);
					return bytes;
				},
				close() {
					batch?.drop(batch.count);
					if (batch !== null && !left) {
						batch.pool.release(page);
						left = true;
						void gatewayOf()?.close();
					}
				},
			},
		};

		/** While the link is open. */
		function gatewayOf() {
			try {
				return link.gateway;
			} catch {
				return null;
			}
		}
	};
}

linkCompliance("the user link", bench({}), { peerNeedsOpen: true });
linkCompliance("the user link with a small MTU", bench({ mtu: 576 }), { peerNeedsOpen: true });
