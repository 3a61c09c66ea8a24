import assert from "node:assert/strict";
import { once } from "node:events";
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { NetworkInterface } from "../../src/sys/interface.ts";
import { tapFacts } from "../../src/sys/tun-facts.ts";
import { millrace, start } from "../cli/helpers.ts";

const dir = mkdtempSync(join(tmpdir(), "millrace-cli-"));
after(() => rmSync(dir, { recursive: true }));
const server = join(dir, "server.mjs");
writeFileSync(
	server,
	'import http from "node:http"; http.createServer((_, response) => response.end("hello")).listen(8080, () => console.log("listening"));',
);

async function get(url: string): Promise<string> {
	const [response] = (await once(http.get(url, { agent: false }), "response")) as [http.IncomingMessage];
	let body = "";
	for await (const chunk of response.setEncoding("utf8")) body += chunk;
	return body;
}

/** The interface that has the address. */
function interfaceOf(address: string): string | undefined {
	return Object.entries(networkInterfaces()).find(([, entries]) => entries?.some((entry) => entry.address === address))?.[0];
}

test("millrace run takes a TAP device where that is permitted, says so, and serves the kernel's clients", async () => {
	const running = start(["run", "--stats", server]);
	await running.says(/^millrace: port 8080 of the program is open at 10\.77\.0\.2:8080 \(http:\/\/10\.77\.0\.2:8080\/ /m);
	assert.match(interfaceOf("10.77.0.1") ?? "none", /^mr\d+$/);
	assert.equal(await get("http://10.77.0.2:8080/"), "hello");
	await running.says(/^millrace: \d+ connections?, in /m);
	const client = net.connect(8080, "10.77.0.2");
	// An answer, so that the program has the connection: one that it was not handed is reset.
	client.write("GET / HTTP/1.1\r\nHost: millrace\r\n\r\n");
	await once(client, "data");
	const ended = once(client, "end");
	running.child.kill("SIGINT");
	await ended;
	const { code, stderr } = await running.outcome;
	assert.equal(code, "SIGINT");
	assert.match(stderr, /^millrace: link tap:mr\d+ \(permitted here\): 10\.77\.0\.2\/24, the kernel is 10\.77\.0\.1$/m);
	assert.equal(interfaceOf("10.77.0.1"), undefined);
});

test("--queues makes a device of several queues, which serves as one", async () => {
	const running = start(["run", "--link=tap:mrmany", "--queues", "3", server]);
	await running.says(/^millrace: link tap:mrmany \(as asked for\): [^\n]*; 3 queues$/m);
	await running.says(/listening/);
	const device = new NetworkInterface("mrmany");
	assert.deepEqual(tapFacts(device.index), { multiQueue: true, queues: 3 });
	device.close();
	for (const body of await Promise.all(Array.from({ length: 12 }, () => get("http://10.77.0.2:8080/")))) assert.equal(body, "hello");
	running.child.kill("SIGINT");
	await running.outcome;
	assert.equal(interfaceOf("10.77.0.1"), undefined);
});

test("--steering has our program deal out the flows, and --offload off makes frames plain", async () => {
	const running = start(["run", "--link=tap:mrsteer", "--queues=2", "--steering=flow-group", "--offload=off", server]);
	await running.says(/^millrace: link tap:mrsteer \(as asked for\): [^\n]*; 2 queues, by flow-group$/m);
	await running.says(/listening/);
	const device = new NetworkInterface("mrsteer");
	assert.deepEqual(tapFacts(device.index), { multiQueue: true, queues: 2 });
	device.close();
	for (const body of await Promise.all(Array.from({ length: 8 }, () => get("http://10.77.0.2:8080/")))) assert.equal(body, "hello");
	running.child.kill("SIGINT");
	await running.outcome;
});

test("no device is left behind by kill -9", async () => {
	const running = start(["run", "--link=tap:mrkill", server]);
	await running.says(/listening/);
	assert.equal(interfaceOf("10.77.0.1"), "mrkill");
	running.child.kill("SIGKILL");
	assert.equal((await running.outcome).code, "SIGKILL");
	assert.equal(interfaceOf("10.77.0.1"), undefined);
});

test("a device or a network that is taken is one line and exit code 2, and the one who has it goes on", async () => {
	const running = start(["run", "--link=tap:mrbusy", server]);
	await running.says(/listening/);
	const busy = await millrace(["run", "--link=tap:mrbusy", "--address=10.78.0.2", server]);
	assert.match(busy.stderr, /^millrace: [^\n]*TAP device "mrbusy"[^\n]*\n$/);
	const taken = await millrace(["run", server]);
	assert.match(taken.stderr, /^millrace: 10\.77\.0\.1 belongs to mrbusy already\. [^\n]+--address [^\n]+\n$/);
	assert.deepEqual([busy.code, taken.code], [2, 2]);
	assert.equal(await get("http://10.77.0.2:8080/"), "hello");
	running.child.kill("SIGTERM");
	await running.outcome;
});

test("a stale socket that may not be removed is one line and exit code 2", async () => {
	const folder = join(dir, "theirs");
	mkdirSync(folder);
	const words = ["run", "--link", `stream:listen:unix:${join(folder, "vm.sock")}`, "--address", "10.5.0.1", server];
	const killed = start(words);
	await killed.says(/listening$/m);
	killed.child.kill("SIGKILL");
	await killed.outcome;
	chownSync(folder, 65534, 65534);
	chmodSync(folder, 0o755);
	const { code, stderr } = await millrace(words, {}, ["setpriv", "--bounding-set=-dac_override"]);
	assert.match(stderr, /^millrace: cannot listen at unix:\S+: permission denied\. Choose one that you may use\n$/);
	assert.equal(code, 2);
});

test("without the privilege, --link tap is one line and exit code 2, and the default is user, with the reason", async () => {
	const path = join(dir, "exit.cjs");
	writeFileSync(path, "process.exit(5)");
	const lacking = ["setpriv", "--bounding-set=-net_admin"];
	const tap = await millrace(["run", "--link", "tap", path], {}, lacking);
	assert.match(tap.stderr, /^millrace: cannot create TAP device [^\n]*not permitted[^\n]*--link user\n$/i);
	assert.equal(tap.code, 2);
	const queues = await millrace(["run", "--queues", "2", path], {}, lacking);
	assert.match(queues.stderr, /^millrace: cannot create TAP device [^\n]*\n$/);
	assert.equal(queues.code, 2, "the user link has no queues");
	const any = await millrace(["run", path], {}, lacking);
	assert.match(any.stderr, /^millrace: link user \(no TAP device: [^\n]+\n$/);
	assert.equal(any.code, 5);
	const doctor = await millrace(["doctor"], {}, lacking);
	assert.match(doctor.stdout, /^link tap +no +not permitted[^\n]*--link user\n(link [^\n]*\n)*link user +yes .*\ndefault link +user\n$/ms);
});
