/**
 * The small HTTP server on the portable face, with a TAP device of its own.
 *
 *   PORT=N TAP_DEVICE=NAME TAP_STACK=ADDRESS/LENGTH TAP_KERNEL=ADDRESS/LENGTH node portable.js keep-alive|close
 */
import { createHost } from "../../src/host/host.ts";
import type { TcpStream } from "../../src/host/streams.ts";
import { tapLink } from "../../src/link/tap.ts";
import { inlineDeeper } from "../../src/node/inlining.ts";
import { nodeRuntime } from "../../src/node/runtime.ts";

const close = process.argv[2] === "close";
const answer = new TextEncoder().encode(
	`HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n${close ? "Connection: close\r\n" : ""}\r\nHello, world\n`,
);
const blankLine = new TextEncoder().encode("\r\n\r\n");
const { PORT, TAP_DEVICE, TAP_STACK, TAP_KERNEL } = process.env as Record<string, string>;

inlineDeeper();
const host = createHost({
	link: tapLink({ name: TAP_DEVICE!, kernelAddress: TAP_KERNEL! }),
	runtime: nodeRuntime(),
	addresses: [TAP_STACK!],
});

/** Whether a request ends here. */
function complete(bytes: Uint8Array): boolean {
	for (let i = 1; i <= 4; i++) if (bytes[bytes.length - i] !== blankLine[4 - i]) return false;
	return true;
}

async function serve(stream: TcpStream): Promise<void> {
	for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read()) {
		if (!complete(bytes)) continue;
		await stream.write(answer);
		if (close) break;
	}
	stream.close();
}

for await (const stream of host.tcp.listen({ port: Number(PORT), backlog: 4096 })) serve(stream).catch(() => stream.abort());
