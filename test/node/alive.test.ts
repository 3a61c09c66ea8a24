/** What keeps a process alive: each script, on the kernel and on the stack, must end (or not) in the same way. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { describe, it } from "node:test";

const preload = new URL("./preload-loopback.js", import.meta.url).href;

/** Scripts see `net`, and `server` listening on 127.0.0.1 at `port`. They print; what counts is output and whether they end. */
const scripts: Record<string, string> = {
	"a server that listens": "",
	"a server that was unreferenced": "server.unref()",
	"a server that was unreferenced and referenced": "server.unref().ref()",
	"a server that was closed": "server.close()",
	"an idle connection": "server.unref(); net.connect(port, '127.0.0.1').on('connect', () => console.log('connected'))",
	"an idle connection, unreferenced on both sides":
		"server.unref(); server.on('connection', (s) => s.unref()); net.connect(port, '127.0.0.1').on('connect', function () { console.log('connected'); this.unref(); })",
	"a connection that is being made, unreferenced":
		"server.unref(); server.on('connection', (s) => s.unref()); net.connect(port, '127.0.0.1').unref().on('connect', () => console.log('connected'))",
	"a paused connection":
		"server.unref(); server.on('connection', (s) => s.unref()); net.connect({ port, host: '127.0.0.1' }).on('connect', function () { this._handle.readStop(); console.log('connected'); })",
	"a half-open connection after the peer's end, with nothing to do":
		"server.unref(); server.allowHalfOpen = true; server.on('connection', (s) => { s.resume(); s.on('end', () => console.log('end')); }); const c = net.connect({ port, host: '127.0.0.1' }, () => c.end()); c.unref();",
	"a write that nobody reads":
		"server.unref(); server.pauseOnConnect = true; const c = net.connect(port, '127.0.0.1', () => { c.unref(); c.write(Buffer.alloc(20e6)); console.log('written'); })",
	"a connection that ended":
		"server.on('connection', (s) => s.end('bye')); net.connect(port, '127.0.0.1').resume().on('close', () => { console.log('closed'); server.close(); })",
	"a socket that was never connected": "server.close(); new net.Socket()",
	"a timeout on an unreferenced connection":
		"server.unref(); server.on('connection', (s) => s.unref()); const c = net.connect(port, '127.0.0.1', () => { c.unref(); c.setTimeout(50, () => console.log('timeout')); })",
	"keep-alive connections of an agent":
		"const http = require('node:http'); const h = http.createServer((q, r) => r.end('x')).listen(0, '127.0.0.1', () => { server.close(); const agent = new http.Agent({ keepAlive: true }); http.get({ port: h.address().port, host: '127.0.0.1', agent }, (r) => { r.resume(); r.on('end', () => { console.log('end'); h.unref(); }); }); })",
	"process.exit in the middle": "net.connect(port, '127.0.0.1', () => { console.log('connected'); process.exit(3); })",
	"an exception in a handler": "net.connect(port, '127.0.0.1', () => { console.log('connected'); throw new Error('mine'); })",
	"an error that nobody listens for": "server.close(() => net.connect(port, '127.0.0.1'))",
};

/** Runs a script; a script that does not end by itself within the time is ended, and says so. */
async function run(script: string, options: string[]): Promise<string> {
	const source = `const net = require("node:net"); const server = net.createServer(); server.listen(0, "127.0.0.1", () => { const { port } = server.address(); console.error("go"); ${script} });`;
	const child = spawn(process.execPath, [...options, "-e", source], { stdio: ["ignore", "pipe", "pipe"] });
	let output = "";
	let errors = "";
	child.stdout.on("data", (chunk) => (output += chunk));
	let timer: NodeJS.Timeout | undefined;
	child.stderr.on("data", (chunk) => {
		errors += chunk;
		timer ??= setTimeout(() => child.kill("SIGKILL"), 1000);
	});
	const [code, signal] = await new Promise<[number | null, string | null]>((resolve) => child.on("close", (...args) => resolve(args)));
	clearTimeout(timer);
	const error = /^(?:Uncaught )?Error: .*$/m.exec(errors)?.[0].replace(/\d{4,}/g, "PORT") ?? "";
	return `${output}${signal === null ? `ended with ${code}` : "goes on"} ${error}`;
}

describe("a process with sockets on the stack lives as long as with the kernel's", { concurrency: 2 }, () => {
	for (const [name, script] of Object.entries(scripts)) {
		it(name, async () => {
			const [actual, expected] = await Promise.all([run(script, ["--import", preload]), run(script, [])]);
			assert.equal(actual, expected);
		});
	}
});

describe("host.ref and host.unref", () => {
	it("are counted from nothing on: an unref too many takes no later ref away", () => {
		const index = new URL("../../src/index.js", import.meta.url).href;
		const source = `
			import { createHost, loopbackLink } from ${JSON.stringify(index)};
			const host = createHost({ link: loopbackLink(), memory: 1 << 20 });
			host.unref();
			host.unref();
			host.ref();
			setTimeout(() => { console.log("held"); host.unref(); }, 50).unref();
			setTimeout(() => { console.log("still held"); process.exit(); }, 5000).unref();`;
		const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", source], { encoding: "utf8", timeout: 20_000 });
		assert.equal(stdout + stderr, "held\n");
	});
});
