/** A host on a loop-back link, for Node's side of it: 127.0.0.0/8 and 10.0.0.1 are its own. It counts what keeps the process alive. */
import { once } from "node:events";
import type net from "node:net";
import { createHost, type Host } from "../../src/host/host.ts";
import { loopbackLink } from "../../src/link/loopback.ts";
import type { StackNet } from "../../src/node/net.ts";
import { nodeRuntime } from "../../src/node/runtime.ts";

export interface CountedHost extends Host {
	/** Calls of `ref` less calls of `unref`. */
	holders(): number;
}

export function loopbackHost(): CountedHost {
	const host = createHost({ link: loopbackLink(), runtime: nodeRuntime(), addresses: ["10.0.0.1/24"], memory: 32 << 20 });
	let holders = 0;
	const { ref, unref } = host;
	return Object.assign(host, {
		ref() {
			holders++;
			ref.call(host);
		},
		unref() {
			holders--;
			unref.call(host);
		},
		holders: () => holders,
	});
}

/** Both ends of a connection to a server on the stack, which listens no more. */
export async function connection(stackNet: StackNet): Promise<{ client: net.Socket; peer: net.Socket }> {
	const server = stackNet.createServer();
	server.listen(0, "127.0.0.1");
	await once(server, "listening");
	const accepted = once(server, "connection") as Promise<[net.Socket]>;
	const client = stackNet.connect((server.address() as net.AddressInfo).port, "127.0.0.1");
	const [peer] = await accepted;
	server.close();
	return { client, peer };
}
