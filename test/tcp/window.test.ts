/** The receive window alone, against a peer that sends whatever it may: crumbs or segments, read at once, late or never. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { dropReceived, readInto, receiveData } from "../../src/tcp/receive.ts";
import { C_ACK_NOW, C_PURE_ACK } from "../../src/tcp/state.ts";
import { advertise, windowUpdateDue } from "../../src/tcp/window.ts";
import { bareTcp } from "../helpers/bare-tcp.ts";

/** Octets of a segment, and segments until an ACK leaves. */
const arrivals = fc.record({
	length: fc.oneof(fc.integer({ min: 1, max: 200 }), fc.constant(1448)),
	segments: fc.integer({ min: 1, max: 4 }),
});
const step = fc.oneof(
	{ weight: 8, arbitrary: fc.record({ kind: fc.constant("arrive" as const), ...{ what: arrivals } }) },
	{ weight: 1, arbitrary: fc.record({ kind: fc.constant("read" as const), most: fc.oneof(fc.nat(300), fc.nat(10_000)) }) },
);

test("RFC 9293 3.8.6: the receive segment never exceeds its buffer, no promise is taken back, and a window that shut opens again", () => {
	fc.assert(
		fc.property(
			fc.array(step, { minLength: 1, maxLength: 200, size: "max" }),
			fc.oneof(fc.integer({ min: 1, max: 3000 }), fc.integer({ min: 3000, max: 20_000 })),
			fc.constantFrom(0, 7, 10),
			(steps, receiveBuffer, scale) => {
				const { t, pool, connection } = bareTcp({ receiveBuffer, maxReceiveBuffer: 65_535 << scale }, 512);
				const c = connection();
				c.rcvScale = scale;
				const unit = 1 << scale;
				// What may be open at first stands in a SYN, and is not scaled.
				c.rcvAdv = (c.rcvNxt + Math.min(c.rcvBuf, 65_535)) | 0;
				let told = c.rcvAdv;
				const tell = () => {
					const before = c.rcvAdv;
					const edge = (c.rcvNxt + (advertise(t, c) << scale)) | 0;
					assert.ok(((c.rcvAdv - before) | 0) >= 0, "a promise is kept");
					assert.ok(((edge - told) | 0) > -unit, "what is told goes back by less than the field can say (RFC 7323 2.4)");
					assert.ok(((edge - c.rcvAdv) | 0) <= 0, "what is told is promised");
					told = edge;
				};
				const target = new Uint8Array(65_536);
				for (const step of steps) {
					if (step.kind === "read") {
						readInto(t, c, target, 0, step.most);
						if (windowUpdateDue(t, c)) tell();
						continue;
					}
					for (let n = step.what.segments; n > 0; n--) {
						const page = pool.alloc();
						const length = step.what.length;
						if (!receiveData(t, c, page, pool.address(page), length, c.rcvNxt, false)) pool.release(page);
						c.flags &= ~(C_ACK_NOW | C_PURE_ACK);
						assert.ok(c.rcvBytes <= c.rcvBuf, `${c.rcvBytes} bytes in a buffer of ${c.rcvBuf}`);
					}
					tell();
				}
				while (c.rcvBytes > 0) readInto(t, c, target, 0, target.length);
				if (windowUpdateDue(t, c)) tell();
				assert.ok(((told - c.rcvNxt) | 0) > 0, "all is read, and the peer knows that it may send");
				dropReceived(t, c);
			},
		),
		{ numRuns: 1000 },
	);
});
