/** A worker of a cluster with a host of its own, whose server is given a handle; used by register.test.ts. */
import net from "node:net";
import { createNet } from "../../src/node/net.ts";
import { loopbackHost } from "./loopback-host.ts";

const host = loopbackHost();
const kernel = net.createServer().listen({ port: 0, host: "127.0.0.1", exclusive: true }, () => {
	const handle = (kernel as unknown as { _handle: object })._handle;
	const server = createNet(host).createServer();
	server.on("error", (error) => process.send!(String(error), () => process.exit()));
	server.listen(handle, () => {
		const same = (server as unknown as { _handle: object })._handle === handle;
		process.send!(`listens by it: ${same}`, () => process.exit());
	});
});
