/** The preload as users load it, and where it keeps away. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";

const register = new URL("../../src/node/register.js", import.meta.url);
const loopback = { MILLRACE_OPTIONS: JSON.stringify({ link: "loopback", quiet: true, kernelPorts: [20999] }) };

/** Runs a script; returns its output, or its errors if it failed. */
async function run(options: string[], source: string, env: Record<string, string> = loopback): Promise<string> {
	const { code, output, errors } = await outcome(options, source, env);
	return code === 0 ? output.trim() : `exit code ${code}: ${errors}`;
}

async function outcome(
	options: string[],
	source: string,
	env: Record<string, string>,
): Promise<{ code: unknown; output: string; errors: string }> {
	const child = spawn(process.execPath, [...options, "-e", source], { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } });
	let output = "";
	let errors = "";
	child.stdout.on("data", (chunk) => (output += chunk));
	child.stderr.on("data", (chunk) => (errors += chunk));
	const timer = setTimeout(() => child.kill("SIGKILL"), 20_000);
	const code = await new Promise((resolve) => child.on("close", resolve));
	clearTimeout(timer);
	return { code, output, errors };
}

/** Prints which kind of handle a listener has, then ends. */
const kind = (port = 0) =>
	`require("node:net").createServer().listen(${port}, function () { console.log(this._handle.constructor.name); this.close(); process.disconnect?.(); })`;

describe("millrace/register", { concurrency: 2 }, () => {
	it("works with --import and with --require", async () => {
		const source = `
			const http = require("node:http");
			const server = http.createServer((request, response) => response.end("from " + request.socket.remoteAddress)).listen(0, async () => {
				const response = await fetch("http://localhost:" + server.address().port);
				console.log(await response.text(), server._handle.constructor.name);
				server.close();
				server.closeAllConnections();
			});`;
		assert.equal(await run(["--import", register.href], source), "from 127.0.0.1 ServerHandle");
		assert.equal(await run(["--require", fileURLToPath(register)], source), "from 127.0.0.1 ServerHandle");
	});

	it("goes on where nobody reads what it has to say", async () => {
		const env = { MILLRACE_OPTIONS: JSON.stringify({ link: "loopback" }) };
		const child = spawn(process.execPath, ["--import", register.href, "-e", kind()], {
			stdio: ["ignore", "pipe", "pipe"],
			env: { ...process.env, ...env },
		});
		child.stderr.destroy(); // long before the program's first line runs
		let output = "";
		child.stdout.on("data", (chunk) => (output += chunk));
		const timer = setTimeout(() => child.kill("SIGKILL"), 20_000);
		const code = await new Promise((resolve) => child.on("close", resolve));
		clearTimeout(timer);
		assert.deepEqual([code, output], [0, "ServerHandle\n"]);
	});

	it("warns of nothing deprecated that the program does not use itself", async () => {
		const source = `
			const net = require("node:net");
			const server = net.createServer((socket) => { server.close(); socket.end("x"); }).listen(0, "127.0.0.1", () => {
				net.connect(server.address().port, "127.0.0.1").on("data", () => {
					console.log(server._handle === null);
					process.on("warning", ({ code }) => console.log(code));
					PROGRAM
				});
			});`;
		const flags = ["--pending-deprecation", "--throw-deprecation", "--import", register.href];
		assert.equal(await run(flags, source.replace("PROGRAM", "")), "true");
		// Its own calls are told as without the stack.
		const own = source.replace("PROGRAM", `process.binding("stream_wrap"); process._tickCallback();`);
		const told = await run(["--pending-deprecation", "--import", register.href], own);
		assert.deepEqual(told.split("\n"), ["true", "DEP0111", "DEP0134"]);
	});

	it("leaves kernel ports, UNIX sockets and other programs' ports to the kernel", async () => {
		assert.equal(await run(["--import", register.href], kind(20999)), "TCP");
		const path = `/tmp/millrace-test-${process.pid}.sock`;
		const source = `const net = require("node:net"); const server = net.createServer((socket) => socket.end("hello"));
			server.listen(${JSON.stringify(path)}, () => net.connect(${JSON.stringify(path)}).on("data", (data) => { console.log(String(data)); server.close(); }));`;
		assert.equal(await run(["--import", register.href], source), "hello");
	});

	it("worker threads and child processes keep the kernel's sockets", async () => {
		const worker = `const { Worker } = require("node:worker_threads"); new Worker(${JSON.stringify(kind())}, { eval: true });`;
		assert.equal(await run(["--import", register.href], worker), "TCP");
		const child = `console.log(require("node:child_process").execFileSync(process.execPath, ["-e", ${JSON.stringify(kind())}]).toString()); ${kind()}`;
		const both = await run([], child, { ...loopback, NODE_OPTIONS: `--import=${register.href}` });
		assert.deepEqual(both.split(/\s+/), ["TCP", "ServerHandle"]);
	});

	it("worker threads do not load the stack: they begin when the preloads have run", async () => {
		const folder = mkdtempSync(join(tmpdir(), "millrace-test-"));
		const file = join(folder, "worker.cjs");
		writeFileSync(
			file,
			`const { Session } = require("node:inspector"), session = new Session(), urls = [];
			session.connect();
			session.on("Debugger.scriptParsed", ({ params }) => urls.push(params.url));
			session.post("Debugger.enable");
			console.log(urls.filter((url) => url.startsWith(${JSON.stringify(new URL("..", register).href)})).map((url) => url.split("/src/").pop()).join());`,
		);
		const source = `const { Worker } = require("node:worker_threads"); new Worker(${JSON.stringify(file)});`;
		for (const option of ["--import", "--require"]) assert.equal(await run([option, fileURLToPath(register)], source), "node/register.js");
		rmSync(folder, { recursive: true });
	});

	it("a cluster deals out kernel connections, and its primary keeps its own on the stack", async () => {
		const source = `
			const cluster = require("node:cluster"), http = require("node:http"), net = require("node:net");
			cluster.setupPrimary({ execArgv: ["--import", ${JSON.stringify(register.href)}], exec: ${JSON.stringify(fileURLToPath(new URL("./cluster-worker.js", import.meta.url)))} });
			const worker = cluster.fork();
			worker.on("message", ({ port }) => {
				const own = net.createServer().listen(0, async () => {
					// The port of the worker is the kernel's; this process has a loop-back link, so a child asks.
					const script = "fetch('http://127.0.0.1:" + port + "/').then((r) => r.text()).then(console.log)";
					require("node:child_process").execFile(process.execPath, ["-e", script], (error, out) => {
						console.log(error ?? out.trim(), own._handle.constructor.name);
						own.close();
						worker.kill();
					});
				});
			});`;
		assert.equal(await run(["--import", register.href], source), "from a worker ServerHandle");
	});

	it("in a cluster's worker, too, a server of a host that is given a handle is the kernel's", async () => {
		const source = `
			const cluster = require("node:cluster");
			cluster.setupPrimary({ execArgv: [], exec: ${JSON.stringify(fileURLToPath(new URL("./cluster-handle.js", import.meta.url)))} });
			cluster.fork().on("message", (said) => console.log(said));`;
		assert.equal(await run([], source), "listens by it: true");
	});

	const noPermission =
		!process.allowedNodeEnvironmentFlags.has("--allow-net") && `Node ${process.versions.node} has no permission for the network`;
	it("a program that Node keeps from the network is kept from the stack, too, from then on", { skip: noPermission }, async () => {
		const source = `
			const net = require("node:net");
			const tell = (error) => console.log(error.code);
			process.on("uncaughtException", tell);
			const server = net.createServer().listen(0, () => {
				console.log(server._handle.constructor.name);
				process.permission.drop("net");
				net.connect(server.address().port, "127.0.0.1").on("error", tell);
				server.close();
				net.createServer().on("error", tell).listen(0);
			});`;
		const flags = ["--permission", "--allow-fs-read=*", "--allow-net", "--import", register.href];
		assert.deepEqual((await run(flags, source)).split("\n"), ["ServerHandle", "ERR_ACCESS_DENIED", "ERR_ACCESS_DENIED"]);
	});

	it("a socket of the stack cannot be sent to another process", async () => {
		const source = `
			const { fork } = require("node:child_process"), net = require("node:net"), fs = require("node:fs");
			fs.writeFileSync("/tmp/millrace-child-${process.pid}.cjs", "setTimeout(() => {}, 1e6)");
			const child = fork("/tmp/millrace-child-${process.pid}.cjs");
			const server = net.createServer((socket) => {
				for (const handle of [server, socket]) try { child.send("x", handle); } catch (error) { console.log(error.code); }
				child.kill(); socket.destroy(); server.close(); fs.unlinkSync("/tmp/millrace-child-${process.pid}.cjs");
			}).listen(0, () => net.connect(server.address().port).on("error", () => {}));`;
		assert.deepEqual((await run(["--import", register.href], source)).split("\n"), [
			"MILLRACE_NOT_TRANSFERABLE",
			"MILLRACE_NOT_TRANSFERABLE",
		]);
	});

	const noMoves = !("BoundSocket" in net) && `Node ${process.versions.node} moves no sockets to threads`;
	it("a socket of the stack cannot be moved to another thread, and goes on", { skip: noMoves }, async () => {
		const source = `
				const net = require("node:net"), { MessageChannel } = require("node:worker_threads");
				const { port1 } = new MessageChannel();
				const server = net.createServer((socket) => {
					for (const one of [server, socket, client]) try { port1.postMessage(one, [one]); } catch (error) { console.log(error.code); }
					console.log(server.listening, socket.writable);
					port1.close(); socket.end("x"); server.close();
				});
				let client;
				server.listen(0, () => { client = net.connect(server.address().port).on("data", (data) => console.log(String(data))); });`;
		assert.deepEqual((await run(["--import", register.href], source)).split("\n"), [
			...Array(3).fill("MILLRACE_NOT_TRANSFERABLE"),
			"true true",
			"x",
		]);
	});

	it("a server that stays with the kernel is moved to another thread as ever", { skip: noMoves }, async () => {
		const source = `
			const net = require("node:net"), { MessageChannel } = require("node:worker_threads");
			const { port1, port2 } = new MessageChannel();
			const handle = new net.BoundSocket({ host: "127.0.0.1" });
			port2.on("message", (moved) => { console.log(moved.listening, server.listening); moved.close(); port1.close(); });
			const server = net.createServer().listen(handle, () => port1.postMessage(server, [server]));`;
		assert.equal(await run(["--import", register.href], source), "true false");
	});

	describe("a process whose parent has the stack and made nothing of it", () => {
		/** What `source` says on stderr as the child of a process that first does `before`, an expression or a promise. */
		async function said(source: string, { before = "0", options = {} as object } = {}): Promise<string> {
			const parent = `(async () => {
				const net = require("node:net");
				await ${before};
				require("node:child_process").spawn(process.execPath, ["-e", ${JSON.stringify(source)}], { stdio: "inherit" }).on("exit", process.exit);
			})()`;
			const env = {
				NODE_OPTIONS: `--import=${register.href}`,
				MILLRACE_OPTIONS: JSON.stringify({ link: "loopback", kernelPorts: [20999], ...options }),
			};
			const { code, errors } = await outcome([], parent, env);
			assert.equal(code, 0, errors);
			return errors.replace(/^millrace: (link|port) .*\n/gm, "");
		}
		const listens = `const net = require("node:net"); const server = net.createServer().listen(0, "127.0.0.1", () => {
			net.connect(server.address().port, "127.0.0.1").on("error", () => {}).unref();
			net.createServer().listen(0, "127.0.0.1", function () { this.close(); server.close(); });
		});`;

		it("says once that its sockets are the kernel's, when it has the first that it wanted on the stack", async () => {
			const line = /^millrace: process \d+ [^\n]+\n$/;
			assert.match(await said(listens), line);
			assert.match(await said(`require("node:net").connect(9, "localhost").on("error", () => {})`), line);
		});

		it("does not where the parent uses the stack, where the kernel was asked for, and where nothing was", async () => {
			const use = "new Promise((done) => net.createServer().listen(0, function () { this.close(done); }))";
			assert.equal(await said(listens, { before: use }), "");
			assert.equal(await said(listens, { options: { quiet: true } }), "");
			assert.equal(await said(kind(20999)), "");
			assert.equal(await said("console.log(1)"), "");
		});
	});

	it("a bad option is one line and exit code 2, before the program runs", async () => {
		const output = await run(["--import", register.href], "console.log('ran')", { MILLRACE_OPTIONS: '{"link":"nonsense"}' });
		assert.match(output, /^exit code 2: millrace: [^\n]+\n$/);
	});
});
