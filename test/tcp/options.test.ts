import assert from "node:assert/strict";
import { test } from "node:test";
import { createHost } from "../../src/host/host.ts";
import { memoryLinkPair } from "../../src/link/memory.ts";
import { TCP_DEFAULTS, type TcpOptions, tcpOptions } from "../../src/tcp/options.ts";
import { VirtualClock } from "../helpers/runtime.ts";

function refused(options: object, message: RegExp): void {
	assert.throws(() => tcpOptions(options), { code: "MILLRACE_BAD_OPTION", message });
}

test("what is not given, or undefined, is the default", () => {
	assert.deepEqual(tcpOptions({}), TCP_DEFAULTS);
	assert.deepEqual(tcpOptions({ sendBuffer: undefined, sack: false } as never), { ...TCP_DEFAULTS, sack: false });
});

test("a name that is not known is refused, with those that are", () => {
	refused({ maxConections: 5 }, /"maxConections".*maxConnections/);
});

test("numbers are whole and within their bounds, which the message names with their unit", () => {
	refused({ lastPort: 70_000 }, /tcp\.lastPort.*70000.*from 1 to 65535/);
	refused({ firstPort: 0 }, /tcp\.firstPort/);
	refused({ keepAliveIdle: 30 * 24 * 3600 * 1000 }, /tcp\.keepAliveIdle.*milliseconds from 1 to 1073741823/);
	refused({ retries: 255 }, /tcp\.retries/);
	for (const [name, value] of Object.entries(TCP_DEFAULTS)) {
		if (typeof value === "number") {
			for (const wrong of [-1, 2 ** 31, value + 0.5, Number.NaN, Number.POSITIVE_INFINITY, String(value), null, 5n])
				refused({ [name]: wrong }, new RegExp(`tcp\\.${name}`));
		} else if (typeof value === "boolean") {
			for (const wrong of ["off", 0, null]) refused({ [name]: wrong }, new RegExp(`tcp\\.${name}.*true or false`));
		}
	}
	refused({ congestion: "reno" }, /tcp\.congestion.*"reno".*cubic, newreno, bbr/);
	for (const congestion of ["cubic", "newreno", "bbr"] as const) assert.equal(tcpOptions({ congestion }).congestion, congestion);
});

test("what must not be more than another is not", () => {
	refused({ firstPort: 61_000 }, /tcp\.firstPort.*61000.*tcp\.lastPort.*60999/);
	refused({ minRto: 5000, maxRto: 4000 }, /tcp\.minRto.*tcp\.maxRto/);
	// A writer is told of room when a third of its buffer is free.
	refused({ maxSendBuffer: 65_536 }, /tcp\.sendBuffer.*tcp\.maxSendBuffer/);
	refused({ maxReceiveBuffer: 65_536 }, /tcp\.receiveBuffer.*tcp\.maxReceiveBuffer/);
	assert.equal(tcpOptions({ firstPort: 7, lastPort: 7 }).lastPort, 7);
});

test("RFC 7323 2.3: a receive buffer is at least a unit of the window that its limit asks for", () => {
	refused({ receiveBuffer: 16_000, maxReceiveBuffer: 2 ** 29 }, /tcp\.receiveBuffer/);
	const enough = tcpOptions({ receiveBuffer: 32_768, maxReceiveBuffer: 2 ** 29 });
	assert.equal(enough.receiveBuffer, 32_768);
	assert.equal(tcpOptions({ ...enough, receiveBuffer: 16_000, windowScaling: false }).receiveBuffer, 16_000);
});

test("createHost refuses them before it opens its link", () => {
	const { runtime } = new VirtualClock();
	const [link] = memoryLinkPair();
	const options: Partial<TcpOptions> = { lastPort: 70_000 };
	assert.throws(() => createHost({ link, runtime, tcp: options }), { code: "MILLRACE_BAD_OPTION" });
	assert.throws(() => createHost({ link, runtime, congestion: "reno" as never }), { code: "MILLRACE_BAD_OPTION" });
	void createHost({ link, runtime }).close();
});
