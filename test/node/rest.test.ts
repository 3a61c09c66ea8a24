/** Connections that are made up die with bytes unread: more than a socket is given at a time, and in the turn that brought them. */
import assert from "node:assert/strict";
import net from "node:net";
import { describe, it } from "node:test";
import { StackHandle } from "../../src/node/handle.ts";
import { NOWHERE, Probe } from "../../src/node/handle-trial.ts";
import { PlainHandle, plainHandlesWork } from "../../src/node/plain-handle.ts";
import { once } from "./scenarios.ts";

assert.ok(plainHandlesWork());

for (const [kind, Handle] of Object.entries({ PlainHandle, StackHandle }))
	describe(`what came before a connection died, by a ${kind}`, () => {
		const start = () => {
			const handle = new Handle(NOWHERE);
			const probe = new Probe();
			handle.conduit.adopt(probe);
			const socket = new net.Socket({ handle } as unknown as net.SocketConstructorOpts);
			const seen = { bytes: 0, end: false, error: "", written: "" };
			socket.on("end", () => {
				seen.end = true;
			});
			socket.on("error", (error) => {
				seen.error = (error as NodeJS.ErrnoException).code ?? "";
			});
			const die = (complete: boolean) => {
				probe.events.closing?.(complete);
				probe.incoming = 0;
				probe.events.closed("ECONNRESET");
			};
			const listen = () =>
				socket.on("data", (chunk) => {
					seen.bytes += chunk.length;
				});
			return { probe, socket, seen, die, listen };
		};

		it("is read to its last byte, then the error is told", async () => {
			const { probe, socket, seen, die, listen } = start();
			listen();
			await new Promise(setImmediate);
			probe.incoming = 200_000;
			probe.events.readable();
			die(false);
			await once(socket, "close");
			assert.deepEqual(seen, { bytes: 200_000, end: false, error: "ECONNRESET", written: "" });
		});

		it("is read to its end, if the peer had ended its side", async () => {
			const { probe, socket, seen, die, listen } = start();
			listen();
			await new Promise(setImmediate);
			probe.incoming = 200_000;
			probe.events.readable();
			die(true);
			await once(socket, "close");
			assert.deepEqual(seen, { bytes: 200_000, end: true, error: "", written: "" });
		});

		it("that the peer had ended its side is told also where nothing was left", async () => {
			const { probe, socket, seen, die, listen } = start();
			listen();
			await new Promise(setImmediate);
			probe.incoming = 5;
			probe.events.readable();
			die(true);
			await once(socket, "close");
			assert.deepEqual(seen, { bytes: 5, end: true, error: "", written: "" });
		});

		it("does not keep a write waiting whose reader stops in the middle", async () => {
			const { probe, socket, seen, die } = start();
			socket.on("data", (chunk) => {
				seen.bytes += chunk.length;
				socket.pause();
			});
			await new Promise(setImmediate);
			socket.write("waits for room", (error) => {
				seen.written = (error as NodeJS.ErrnoException | null)?.code ?? "sent";
			});
			probe.incoming = 400_000;
			probe.events.readable();
			die(false);
			await once(socket, "close");
			assert.equal(seen.written, "ECONNRESET");
			assert.ok(seen.bytes < 400_000);
		});
	});
