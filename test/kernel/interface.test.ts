/**
 * Programs on an interface of this machine, past its kernel (`millrace run --link xdp:INTERFACE`) or beside it (`packet:INTERFACE`),
 * with ports of the machine's address and with an address of their own. The interface is one end of a veth pair; the other end, with the clients and servers that
 * the programs talk to, lies in a network namespace of its own.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { xdpAvailable } from "../../src/link/xdp.ts";
import { millrace, type Running, start } from "../cli/helpers.ts";
import { isolate } from "../helpers/namespace.ts";
import { lacksTools, output, scratch } from "../helpers/peers.ts";
import { farNamespace, ip, vethPair } from "../helpers/veth.ts";

const NEAR = "10.98.0.1";
const FAR = "10.98.0.2";
const OWN = "10.98.0.50";
const NEAR_OWN = "10.98.0.60";

const available = (): string | false => {
	const { ok, reason } = xdpAvailable();
	return ok ? false : reason;
};
const skip = isolate() || lacksTools("ip", "curl", "nsenter") || available();
const dir = scratch();

const server = join(dir, "server.mjs");
writeFileSync(
	server,
	`import http from "node:http";
	import { createHash } from "node:crypto";
	http.createServer(async (request, response) => {
		const hash = createHash("sha256");
		let bytes = 0;
		for await (const chunk of request) { hash.update(chunk); bytes += chunk.length; }
		if (request.url === "/large") return response.end(Buffer.alloc(3_000_000, "millrace"));
		response.end(JSON.stringify({ stack: true, bytes, remote: request.socket.remoteAddress, local: request.socket.localPort }));
	}).listen(8080, () => console.log("listening"));
	http.createServer((_, response) => response.end("kernel's")).listen(8081, () => console.log("also"));`,
);
const client = join(dir, "client.mjs");
writeFileSync(
	client,
	`import http from "node:http";
	import net from "node:net";
	// A server of this machine that stays with the kernel, and a client of it.
	const local = net.createServer((socket) => socket.end("local")).listen(9555, async () => {
		for (const host of ["127.0.0.1", process.argv[3]].filter(Boolean)) {
			let text = "";
			for await (const chunk of net.connect(9555, host)) text += chunk;
			console.log(host + " says " + text);
		}
		local.close();
	});
	http.get(process.argv[2], async (response) => {
		const { localPort } = response.socket;
		let text = "";
		for await (const chunk of response) text += chunk;
		console.log(text + " to port " + localPort);
	});`,
);

const upload = join(dir, "upload");
writeFileSync(upload, Buffer.alloc(5_000_000, "upload"));

/** Runs a command in the far namespace. */
let far: (...words: string[]) => Promise<string> = async () => "";
let farPid = 0;
if (skip === false) {
	farPid = farNamespace();
	after(() => process.kill(farPid));
	vethPair("near", "far", 1, farPid);
	ip("address", "add", `${NEAR}/24`, "dev", "near");
	far = (...words) => output("nsenter", "-n", "-t", `${farPid}`, ...words);
	await far("ip", "address", "add", `${FAR}/24`, "dev", "far");
}

const curl = (...words: string[]): Promise<string> => far("curl", "-sS", "--fail", "--max-time", "20", ...words);

async function running<T>(words: readonly string[], use: (program: Running) => Promise<T>): Promise<T> {
	const program = start(["run", ...words]);
	program.outcome.catch(() => {});
	try {
		return await use(program);
	} finally {
		program.child.kill("SIGKILL");
		await program.outcome;
	}
}

describe("ports of the machine's own address", { skip }, () => {
	test("the stack has the port, the kernel has everything else: other ports, UDP, ARP", async () => {
		await running(["--link", "xdp:near", "--ports", "8080", server], async (program) => {
			await program.says(/also/);
			await program.says(
				/^millrace: link xdp:near \(as asked for\): ports 8080 of 10\.98\.0\.1\/24, the rest is the kernel's; native XDP, copy mode, 1 queue$/m,
			);
			await far("ip", "neighbor", "flush", "all");
			assert.deepEqual(JSON.parse(await curl(`http://${NEAR}:8080/`)), { stack: true, bytes: 0, remote: FAR, local: 8080 });
			assert.equal(await curl(`http://${NEAR}:8081/`), "kernel's");
			assert.equal(await datagram(), "over UDP");
			const refused = new Promise((resolve) => net.connect(8080, NEAR).once("error", resolve));
			assert.equal(((await refused) as NodeJS.ErrnoException).code, "ECONNREFUSED", "a program on this machine does not get there");
		});
	});

	test("the kernel answers for the machine also while the program cannot", async () => {
		const kernel = http.createServer((_, response) => response.end("kernel")).listen(8090);
		await once(kernel, "listening");
		await running(["--link", "xdp:near", "--ports", "8080", server], async (program) => {
			await program.says(/listening/);
			program.child.kill("SIGSTOP");
			await far("ip", "neighbor", "flush", "all");
			assert.equal(await curl(`http://${NEAR}:8090/`), "kernel", "ARP and TCP of other ports need nothing of the program");
			program.child.kill("SIGCONT");
			assert.equal(JSON.parse(await curl(`http://${NEAR}:8080/`)).stack, true);
		});
		kernel.close();
	});

	test("bulk, both ways", async () => {
		await running(["--link", "xdp:near", "--ports", "8080", server], async (program) => {
			await program.says(/listening/);
			assert.equal(JSON.parse(await curl("-T", upload, `http://${NEAR}:8080/`)).bytes, 5_000_000);
			assert.equal((await curl(`http://${NEAR}:8080/large`)).length, 3_000_000);
		});
	});

	test("kill -9 gives the port back at once", async () => {
		const program = start(["run", "--link", "xdp:near", "--ports", "8080", server]);
		await program.says(/listening/);
		assert.equal(JSON.parse(await curl(`http://${NEAR}:8080/`)).stack, true);
		program.child.kill("SIGKILL");
		await program.outcome;
		const kernel = http.createServer((_, response) => response.end("kernel")).listen(8080);
		await once(kernel, "listening");
		assert.equal(await curl(`http://${NEAR}:8080/`), "kernel");
		// And a program has it from the kernel now.
		const busy = await millrace(["run", "--link", "xdp:near", "--ports", "8080", server]);
		assert.match(busy.stderr, /^millrace: cannot take port 8080: address already in use\. [^\n]+\n$/);
		assert.equal(busy.code, 2);
		kernel.close();
		kernel.closeAllConnections();
		await once(kernel, "close");
		await running(["--link", "xdp:near", "--ports", "8080", server], async (again) => {
			await again.says(/listening/);
			assert.equal(JSON.parse(await curl(`http://${NEAR}:8080/`)).stack, true);
		});
	});

	test("two programs cannot have one interface, and the one that has it goes on", async () => {
		await running(["--link", "xdp:near", "--ports", "8080", server], async (program) => {
			await program.says(/listening/);
			const second = await millrace(["run", "--link", "xdp:near", "--ports", "8082", server]);
			assert.match(second.stderr, /^millrace: cannot attach an XDP program to interface "near"[^\n]*: device or resource busy\. [^\n]+\n$/);
			assert.equal(second.code, 2);
			assert.equal(JSON.parse(await curl(`http://${NEAR}:8080/`)).stack, true);
		});
	});

	test("connections of the program leave from the reserved range, those within the machine by the kernel", async () => {
		await withFarServer(async () => {
			ip("neighbor", "flush", "all");
			await running(["--link", "xdp:near", "--ports", "8080", client, `http://${FAR}:9000/`, NEAR], async (program) => {
				const [, from, port, own] = await program.says(/far saw (\S+) (\d+) to port (\d+)/);
				assert.equal(from, NEAR);
				assert.equal(port, own);
				assert.ok(Number(port) >= 61000);
				await program.says(/127\.0\.0\.1 says local/);
				await program.says(/10\.98\.0\.1 says local/);
			});
		});
	});

	test("another range for outgoing connections is kept to", async () => {
		await withFarServer(async () => {
			const words = ["--link", "xdp:near", "--ports", "8080", "--outgoing-ports", "62000-62003", client, `http://${FAR}:9000/`];
			await running(words, async (program) => {
				const [, port] = await program.says(/far saw \S+ (\d+) to port/);
				assert.ok(Number(port) >= 62000 && Number(port) <= 62003);
			});
		});
	});

	test("a range for outgoing connections that the kernel uses is refused", async () => {
		const { code, stderr } = await millrace(["run", "--link", "xdp:near", "--ports", "8080", "--outgoing-ports", "50000-50999", server]);
		assert.match(stderr, /^millrace: ports 50000 to 50999 for outgoing connections overlap those of the kernel, [^\n]+\n$/);
		assert.equal(code, 2);
	});
});

describe("how frames cross, as asked for", { skip }, () => {
	const cases: [string[], RegExp][] = [
		[["--ports", "8080", "--xdp-mode", "generic"], /; generic XDP, copy mode, 1 queue$/m],
		[["--ports", "8080", "--xdp-mode", "native", "--zero-copy", "never"], /; native XDP, copy mode, 1 queue$/m],
		[["--ports", "8080", "--rx-queues", "0", "--ring-size", "64"], /; native XDP, copy mode, 1 queue$/m],
		[["--address", NEAR_OWN, "--mac", "02:00:00:00:00:77"], /: 10\.98\.0\.60\/24; native XDP/m],
	];
	for (const [words, how] of cases) {
		test(`--link xdp:near ${words.join(" ")}`, async () => {
			await running(["--link", "xdp:near", ...words, server], async (program) => {
				await program.says(how);
				await program.says(/listening/);
				const address = words[0] === "--ports" ? NEAR : NEAR_OWN;
				assert.equal((await curl(`http://${address}:8080/large`)).length, 3_000_000);
				if (address !== NEAR) assert.match(await far("ip", "neighbor", "show", address), /02:00:00:00:00:77/);
			});
		});
	}

	test("what the driver or the interface does not have is one line and exit code 2", async () => {
		for (const [words, message] of [
			[["--zero-copy", "always"], /^millrace: cannot bind an AF_XDP socket [^\n]+zero-copy[^\n]*\n$/],
			[["--rx-queues", "7"], /^millrace: interface "near" has no receive queue 7\. It has 0 to 0\n$/],
		] as const) {
			const { code, stderr } = await millrace(["run", "--link", "xdp:near", "--ports", "8080", ...words, server]);
			assert.match(stderr, message);
			assert.equal(code, 2);
		}
	});

	test("--link packet:near with a ring of its own size and the interface's hardware address", async () => {
		// A namespace begins with what the machine has, which may forward.
		writeFileSync("/proc/sys/net/ipv4/conf/near/forwarding", "0");
		const words = ["--link", "packet:near", "--address", NEAR_OWN, "--mac", "interface", "--ring-size", "64", server];
		await running(words, async (program) => {
			await program.says(/listening/);
			assert.equal((await curl(`http://${NEAR_OWN}:8080/large`)).length, 3_000_000);
		});
	});
});

for (const [link, how] of [
	["xdp:near", "; native XDP, copy mode, 1 queue"],
	["packet:near", ""],
] as const) {
	ownAddress(link, how);
}

function ownAddress(link: string, how: string): void {
	describe(`an address of the stack's own, --link ${link}`, { skip }, () => {
		test("is the stack's alone: all its ports, ARP; the machine's address stays the kernel's", async () => {
			await running(["--link", link, "--address", `${OWN}/24`, server], async (program) => {
				await program.says(new RegExp(`^millrace: link ${link} \\(as asked for\\): 10\\.98\\.0\\.50/24${how}$`, "m"));
				await program.says(/listening/);
				await far("ip", "neighbor", "flush", "all");
				assert.equal(JSON.parse(await curl(`http://${OWN}:8080/`)).stack, true);
				assert.equal(await curl(`http://${OWN}:8081/`), "kernel's", "all its ports are the stack's");
				assert.equal(await datagram(), "over UDP");
				assert.equal((await curl(`http://${OWN}:8080/large`)).length, 3_000_000);
				assert.equal(JSON.parse(await curl("-T", upload, `http://${OWN}:8080/`)).bytes, 5_000_000);
			});
			await assert.rejects(curl("--max-time", "2", `http://${OWN}:8080/`));
		});

		test("under a wrapper, which wants frames as on a wire, the kernel's come whole and with their checksums", async () => {
			const capture = join(dir, `${link.slice(0, link.indexOf(":"))}.pcapng`);
			await running(["--link", link, "--address", `${OWN}/24`, "--capture", capture, server], async (program) => {
				await program.says(/listening/);
				assert.equal(JSON.parse(await curl("-T", upload, `http://${OWN}:8080/`)).bytes, 5_000_000);
			});
		});

		test("the program connects from it", async () => {
			await withFarServer(async () => {
				await running(["--link", link, "--address", OWN, client, `http://${FAR}:9000/`], async (program) => {
					const [, from] = await program.says(/far saw (\S+) \d+ to port/);
					assert.equal(from, OWN);
				});
			});
		});
	});
}

describe("an interface that cannot be had", { skip }, () => {
	test("an address that the kernel has, an interface that there is not, or that is down, are one line and exit code 2", async () => {
		const cases: [string[], RegExp][] = [
			[["--link", "xdp:near", "--address", NEAR], /^millrace: the kernel has 10\.98\.0\.1 on interface "near"\. /],
			[["--link", "packet:near", "--address", NEAR], /^millrace: the kernel has 10\.98\.0\.1 on interface "near"\. /],
			[["--link", "packet:nowhere", "--address", OWN], /^millrace: there is no interface "nowhere"\. /],
			[["--link", "packet:still", "--address", OWN], /^millrace: interface "still" is down\. /],
			[["--link", "xdp:nowhere", "--address", OWN], /^millrace: there is no interface "nowhere"\. /],
			[["--link", "xdp:lo", "--address", OWN], /^millrace: interface "lo" is no Ethernet\. /],
			[["--link", "xdp:still", "--address", OWN], /^millrace: interface "still" is down\. /],
			[["--link", "xdp:still", "--ports", "80"], /^millrace: interface "still" has no IPv4 address whose ports could be taken\. /],
		];
		ip("link", "add", "still", "type", "veth", "peer", "name", "still1");
		for (const [words, message] of cases) {
			const { code, stderr } = await millrace(["run", ...words, server]);
			assert.match(stderr, message);
			assert.match(stderr, /^[^\n]+\n$/);
			assert.equal(code, 2);
		}
	});
});

test("doctor says which ways of XDP the interfaces have, and what to do where there is none", { skip }, async () => {
	const { stdout } = await millrace(["doctor"]);
	assert.match(stdout, /^link xdp generic +yes +permitted; (\S+, )*near(, \S+)*; with --ports or --address$/m);
	assert.match(stdout, /^link xdp native +(yes +(\S+, )*near[,;]|may +this kernel \(before 6\.3\) does not say)/m);
	// veth has none; another interface of this namespace there is not.
	assert.match(stdout, /^link xdp zero-copy +(no +the driver of (\S+, )*near(, \S+)* cannot; |may )/m);
	const lacking = await millrace(["doctor"], {}, ["setpriv", "--bounding-set=-net_admin,-bpf,-sys_admin,-perfmon"]);
	for (const way of ["generic", "native", "zero-copy"])
		assert.match(
			lacking.stdout,
			new RegExp(`^link xdp ${way} +no +cannot make a BPF map: operation not permitted\\. Run as root, .*--link packet`, "m"),
		);
});

/** What a UDP socket of this machine's kernel gets from the far side at the port that the stack has of TCP. */
async function datagram(): Promise<string> {
	const socket = createSocket("udp4").bind(8080);
	await once(socket, "listening");
	const message = once(socket, "message");
	await far("bash", "-c", `echo -n "over UDP" > /dev/udp/${NEAR}/8080`);
	const [bytes] = await message;
	socket.close();
	return String(bytes);
}

/** A server on the far side, on kernel sockets, that says whom it saw. */
async function withFarServer(use: () => Promise<void>): Promise<void> {
	const code =
		'require("http").createServer((q, r) => r.end("far saw " + q.socket.remoteAddress + " " + q.socket.remotePort)).listen(9000, "0.0.0.0", () => console.log("open"))';
	const child = spawn("nsenter", ["-n", "-t", `${farPid}`, process.execPath, "-e", code], { stdio: ["ignore", "pipe", "inherit"] });
	try {
		await once(child.stdout, "data");
		await use();
	} finally {
		child.kill();
		await once(child, "close");
	}
}
