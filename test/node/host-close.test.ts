import assert from "node:assert/strict";
import { once } from "node:events";
import { it } from "node:test";
import { createHost } from "../../src/index.ts";
import { loopbackLink } from "../../src/link/loopback.ts";

it("closing the host closes the servers of host.net and lets their process end", async () => {
	const host = createHost({ link: loopbackLink(), addresses: ["10.0.0.2/24"] });
	const server = host.net.createServer();
	server.listen(80, "10.0.0.2");
	await once(server, "listening");
	const closed = once(server, "close");
	await host.close();
	await closed;
	assert.equal(server.listening, false);
	// Whoever closes it as well is told what Node tells in such a case.
	const error = await new Promise<NodeJS.ErrnoException | undefined>((resolve) => server.close(resolve));
	assert.equal(error?.code, "ERR_SERVER_NOT_RUNNING");
});
