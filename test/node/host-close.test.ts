import assert from "node:assert/strict";
import { once } from "node:events";
import { it } from "node:test";
import { createHost } from "../../src/index.ts";
import { loopbackLink } from "../../src/link/loopback.ts";

it("what host.net is asked for after the host was closed fails as with a network that is down", async () => {
	const host = createHost({ link: loopbackLink(), addresses: ["10.0.0.2/24"] });
	const { net } = host;
	await host.close();
	const [refused] = (await once(net.connect(80, "10.0.0.2").resume(), "error")) as [NodeJS.ErrnoException];
	assert.match(refused.message, /^connect ENETDOWN 10\.0\.0\.2:80/);
	const server = net.createServer();
	server.listen(80, "10.0.0.2");
	const [unheard] = (await once(server, "error")) as [NodeJS.ErrnoException];
	assert.equal(unheard.code, "ENETDOWN");
	assert.equal(server.listening, false);
});

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
