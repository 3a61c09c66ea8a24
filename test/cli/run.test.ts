import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import net, { type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { millrace, start } from "./helpers.ts";

const dir = mkdtempSync(join(tmpdir(), "millrace-run-"));
after(() => rmSync(dir, { recursive: true }));

let scripts = 0;
/** Writes a program into a file of its own. */
function script(source: string, extension = "mjs"): string {
	const path = join(dir, `app${scripts++}.${extension}`);
	writeFileSync(path, source);
	return path;
}

/** A port of 127.0.0.1 that was free a moment ago. */
async function freePort(): Promise<number> {
	const server = net.createServer().listen(0, "127.0.0.1");
	await once(server, "listening");
	const { port } = server.address() as AddressInfo;
	server.close();
	await once(server, "close");
	return port;
}

function get(url: string): Promise<string> {
	return new Promise((resolve, reject) => {
		const request = http.get(url, { agent: false }, (response) => {
			let body = "";
			response.setEncoding("utf8").on("data", (chunk: string) => {
				body += chunk;
			});
			response.on("end", () => resolve(body));
			response.on("error", reject);
		});
		request.on("error", reject);
	});
}

const HELLO = `
	import http from "node:http";
	const server = http.createServer((request, response) => response.end("hello from " + request.socket.localAddress));
	server.listen(Number(process.argv[2]), () => console.log("listening"));`;

describe("millrace run, the program", () => {
	test("sees what node itself would have shown it: arguments, main module, environment, execArgv", async () => {
		const path = script(
			"console.log(JSON.stringify([process.argv.slice(1), require.main === module, process.execArgv, Object.keys(process.env).filter((name) => name.startsWith('MILLRACE') && !name.startsWith('MILLRACE_TEST'))]))",
			"cjs",
		);
		const { code, stdout, stderr } = await millrace(["run", "--link", "loopback", "--quiet", path, "--loss", "2%", "x y"]);
		assert.equal(stderr, "");
		assert.deepEqual(JSON.parse(stdout), [[path, "--loss", "2%", "x y"], true, [], []]);
		assert.equal(code, 0);
	});

	test("may be a module, and ends when it has nothing more to do", async () => {
		const { code, stdout, stderr } = await millrace(["run", "--link=loopback", script('await null; console.log("module");')]);
		assert.deepEqual([code, stdout], [0, "module\n"]);
		assert.match(stderr, /^millrace: link loopback \(as asked for\): [^\n]+\n$/);
	});

	test("decides the exit code: by process.exit, by an exception, by a top-level await that never settles", async () => {
		const run = async (source: string) => (await millrace(["run", "--link=loopback", "--quiet", script(source)])).code;
		assert.deepEqual(
			[await run("process.exit(3)"), await run("throw new Error('x')"), await run("await new Promise(() => {})")],
			[3, 1, 13],
		);
	});

	test("whose handler throws ends with its own line first, as on the kernel", async () => {
		const program = (setup: string) =>
			script(
				`import net from "node:net";
				import http from "node:http";
				${setup}`,
			);
		for (const setup of [
			`const server = net.createServer((socket) => socket.on("data", () => { throw new Error("boom"); })).listen(0, () => net.connect(server.address().port).write("x"));`,
			`const server = net.createServer(() => { throw new Error("boom"); }).listen(0, () => net.connect(server.address().port));`,
			`const server = net.createServer().listen(0, () => net.connect(server.address().port, () => { throw new Error("boom"); }));`,
			`const server = http.createServer(() => { throw new Error("boom"); }).listen(0, () => http.get({ port: server.address().port }));`,
		]) {
			const path = program(setup);
			const { code, stderr } = await millrace(["run", "--link=loopback", "--quiet", path]);
			assert.equal(code, 1);
			assert.match(stderr, new RegExp(`^file://${path}:3\n[^]*boom[^]*\n\\s*\\^[^]*Error: boom\n`), setup);
		}
	});

	test("serves and fetches within itself on the loopback link, also with frames lost and doubled", async () => {
		const source = `
			import http from "node:http";
			const server = http.createServer((request, response) => response.end("x".repeat(100000)));
			server.listen(8080, async () => {
				const text = await (await fetch("http://127.0.0.1:8080/", { headers: { connection: "close" } })).text();
				console.log(text.length);
				server.close();
			});`;
		const { code, stdout, stderr } = await millrace(["run", "--link=loopback", "--loss=1%", "--duplicate", "--seed=7", script(source)]);
		assert.deepEqual([code, stdout], [0, "100000\n"]);
		assert.match(stderr, /^millrace: port 8080 of the program is open at 127\.0\.0\.1:8080 for this process alone$/m);
	});

	test("leaves a capture that ends with its last frame", async () => {
		const file = join(dir, "run.pcapng");
		const source = `
			import net from "node:net";
			const server = net.createServer((socket) => socket.end("bye")).listen(7, () => net.connect(7, "127.0.0.1").resume().on("close", () => server.close()));`;
		const { code } = await millrace(["run", "--link=loopback", "--capture", file, script(source)]);
		const bytes = readFileSync(file);
		assert.equal(code, 0);
		assert.equal(bytes.readUInt32LE(0), 0x0a0d0d0a);
		assert.ok(bytes.includes("bye"));
	});
});

describe("millrace run --capture to what takes no more", { skip: !existsSync("/dev/full") && "no /dev/full" }, () => {
	test("says so once, whatever else is quiet, and the program goes on", async () => {
		// Longer than the capture waits before it writes, and frames before and after.
		const source = `
			import net from "node:net";
			import { setTimeout } from "node:timers/promises";
			const server = net.createServer((socket) => socket.end("x".repeat(100_000))).listen(7);
			let bytes = 0;
			for (let i = 0; i < 3; i++) {
				for await (const chunk of net.connect(7, "127.0.0.1")) bytes += chunk.length;
				await setTimeout(300);
			}
			console.log(bytes);
			server.close();`;
		const { code, stdout, stderr } = await millrace(["run", "--link=loopback", "--quiet", "--capture=/dev/full", script(source)]);
		assert.deepEqual([code, stdout], [0, "300000\n"]);
		assert.match(stderr, /^millrace: the capture in "\/dev\/full" has ended: no space left on the device\. [^\n]+\n$/);
	});
});

describe("millrace run --link user", () => {
	test("what the program listens on is reachable on 127.0.0.1 under the same port, and Ctrl-C ends it", async () => {
		const port = await freePort();
		const running = start(["run", "--link=user", "--stats", script(HELLO), String(port)]);
		await running.says(
			new RegExp(`^millrace: port ${port} of the program is open at 127\\.0\\.0\\.1:${port} \\(http://127\\.0\\.0\\.1:${port}/ `, "m"),
		);
		assert.equal(await get(`http://127.0.0.1:${port}/`), "hello from 10.0.2.15");
		await running.says(/^millrace: \d+ connections?, in \d+ segments\/s .*, out .*, retransmits 0/m);
		running.child.kill("SIGINT");
		const { code, stderr } = await running.outcome;
		assert.equal(code, "SIGINT");
		assert.match(stderr, /^millrace: link user \(as asked for\): 10\.0\.2\.15\/24 /);
		await assert.rejects(get(`http://127.0.0.1:${port}/`), { code: "ECONNREFUSED" });
	});

	test("a port that another process has is an error of listen, as with the kernel, and the program can take another", async () => {
		const other = net.createServer((socket) => socket.destroy()).listen(0, "127.0.0.1");
		await once(other, "listening");
		const { port } = other.address() as AddressInfo;
		const source = `
			import http from "node:http";
			const server = http.createServer((request, response) => response.end("from the next port"));
			server.once("error", ({ code, syscall, port }) => {
				console.log("refused", code, syscall, port);
				server.listen(0);
			});
			server.on("listening", () => console.log("listening on", server.address().port));
			server.listen(${port});`;
		const running = start(["run", "--link=user", "--quiet", script(source)]);
		const [, next] = await running.says(/listening on (\d+)/);
		assert.equal(await get(`http://127.0.0.1:${next}/`), "from the next port");
		running.child.kill("SIGTERM");
		const { stdout, stderr } = await running.outcome;
		other.close();
		assert.deepEqual([stdout, stderr], [`refused EADDRINUSE listen ${port}\nlistening on ${next}\n`, ""]);
	});

	test("a port that is closed and opened again at once is reachable again", async () => {
		const port = await freePort();
		const source = `
			import http from "node:http";
			const first = http.createServer().listen(${port}, () =>
				first.close(() => http.createServer((request, response) => response.end("the second")).listen(${port}, () => console.log("listening"))),
			);`;
		const running = start(["run", "--link=user", "--quiet", script(source)]);
		await running.says(/listening/);
		assert.equal(await get(`http://127.0.0.1:${port}/`), "the second");
		running.child.kill("SIGTERM");
		assert.equal((await running.outcome).stderr, "");
	});

	test("--publish leads one port of the machine to another of the program, and publishes no other", async () => {
		const [outside, inside] = [await freePort(), await freePort()];
		const running = start(["run", "--publish", `${outside}:${inside}`, script(HELLO), String(inside)]);
		await running.says(/^listening$/m);
		assert.equal(await get(`http://127.0.0.1:${outside}/`), "hello from 10.0.2.15");
		await assert.rejects(get(`http://127.0.0.1:${inside}/`), { code: "ECONNREFUSED" });
		running.child.kill("SIGTERM");
		const { code, stderr } = await running.outcome;
		assert.equal(code, "SIGTERM");
		assert.match(stderr, /^millrace: link user \(for there are ports to publish\)/);
	});

	test("the program reaches servers of this machine at the gateway's address, and a refusal is a refusal", async () => {
		const server = http.createServer((_, response) => response.end("from the kernel")).listen(0, "127.0.0.1");
		await once(server, "listening");
		const { port } = server.address() as AddressInfo;
		const closed = await freePort();
		const source = `
			import net from "node:net";
			const text = await (await fetch("http://10.0.2.2:${port}/", { headers: { connection: "close" } })).text();
			net.connect(${closed}, "10.0.2.2").on("error", (error) => console.log(text, error.code));`;
		const { code, stdout } = await millrace(["run", "--link=user", script(source)]);
		server.close();
		assert.deepEqual([code, stdout], [0, "from the kernel ECONNREFUSED\n"]);
	});

	test("a program that has nothing more to do stays until its slow client has everything", async () => {
		const port = await freePort();
		const source = `
			import net from "node:net";
			const server = net.createServer((socket) => {
				socket.end(Buffer.alloc(2_000_000));
				socket.unref();
				server.close();
			}).listen(${port});`;
		const running = start(["run", "--link=user", "--rate=20mbit", script(source)]);
		await running.says(/is open at/);
		let bytes = 0;
		for await (const chunk of net.connect(port, "127.0.0.1")) bytes += (chunk as Uint8Array).length;
		assert.equal(bytes, 2_000_000);
		assert.equal((await running.outcome).code, 0);
	});

	test("what a program wrote before process.exit arrives outside, and an end behind it", async () => {
		const port = await freePort();
		const source = `
			import net from "node:net";
			net.createServer((socket) => {
				socket.write(Buffer.alloc(200_000));
				console.log("left with", 200_000 - socket.writableLength);
				process.exit(3);
			}).listen(${port});`;
		const running = start(["run", "--link=user", "--delay=5ms", script(source)]);
		await running.says(/is open at/);
		let bytes = 0;
		for await (const chunk of net.connect(port, "127.0.0.1")) bytes += (chunk as Uint8Array).length;
		const { code, stdout } = await running.outcome;
		assert.deepEqual([code, stdout], [3, `left with ${bytes}\n`]);
		assert.ok(bytes > 10_000, `${bytes} bytes`);
	});

	test("what a program writes at its exit arrives outside, too", async () => {
		const port = await freePort();
		const source = `
			import net from "node:net";
			net.createServer((socket) => {
				process.on("exit", () => socket.write("farewell"));
				setImmediate(() => process.exit());
			}).listen(${port});`;
		const running = start(["run", "--link=user", script(source)]);
		await running.says(/is open at/);
		let text = "";
		for await (const chunk of net.connect(port, "127.0.0.1").setEncoding("utf8")) text += chunk;
		assert.equal(text, "farewell");
	});

	test("goes through a network that loses and delays", async () => {
		const port = await freePort();
		const running = start(["run", "--link=user", "--loss=2%", "--delay=5ms", "--seed=3", script(HELLO), String(port)]);
		await running.says(/is open at/);
		for (let i = 0; i < 5; i++) assert.equal(await get(`http://127.0.0.1:${port}/`), "hello from 10.0.2.15");
		running.child.kill("SIGTERM");
		assert.equal((await running.outcome).code, "SIGTERM");
	});
});

describe("millrace run says in one line what it cannot have, with exit code 2, and the program does not begin", () => {
	const path = script('console.log("must not run")');
	const refused = async (words: string[], message: RegExp): Promise<void> => {
		const { code, stdout, stderr } = await millrace(["run", ...words, path]);
		assert.match(stderr.replace(/^millrace: link .*\n/, ""), /^[^\n]+\n$/);
		assert.match(stderr, message);
		assert.deepEqual([code, stdout], [2, ""]);
	};

	test("a port to publish that is taken", async () => {
		const server = net.createServer().listen(0, "127.0.0.1");
		await once(server, "listening");
		const { port } = server.address() as AddressInfo;
		await refused(
			["--publish", `${port}:80`],
			new RegExp(`^millrace: cannot publish port ${port} on 127\\.0\\.0\\.1: EADDRINUSE\\. `, "m"),
		);
		server.close();
	});

	test("a capture file that cannot be written", () =>
		refused(["--link=loopback", "--capture", join(dir, "absent", "x.pcapng")], /^millrace: cannot write capture file .*no such directory/));

	test("an unreadable MILLRACE_OPTIONS is not the command line's business", async () => {
		const { code, stdout } = await millrace(["run", "--link=loopback", "--quiet", script("console.log(process.env.MILLRACE_OPTIONS)")], {
			MILLRACE_OPTIONS: "{",
		});
		assert.deepEqual([code, stdout], [0, "{\n"]);
	});
});
