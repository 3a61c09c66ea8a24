/**
 * A virtual machine whose only network is Millrace: Linux in QEMU, without hardware support, its network card joined to a program by
 * the stream link. What fetches there is busybox's wget, on the guest's own TCP; what serves is an unmodified node:http server.
 */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { start } from "../cli/helpers.ts";
import { boot, findGuest, type Guest } from "../helpers/guest.ts";
import { isolate } from "../helpers/namespace.ts";
import { freePort, scratch } from "../helpers/peers.ts";

const found = isolate() || findGuest();
const skip = typeof found === "string" && found;
const guest = found as Guest;
const folder = scratch();

const HOST = "10.0.2.2";
const file = join(folder, "file");
// Text, for busybox's wget takes what it sends as a string.
const contents = randomBytes(2_250_000).toString("base64");
writeFileSync(file, contents);
const expected = createHash("sha256").update(contents).digest("hex");

const server = join(folder, "server.mjs");
writeFileSync(
	server,
	`import http from "node:http";
	import { createReadStream } from "node:fs";
	import { createHash } from "node:crypto";
	http.createServer(async (request, response) => {
		if (request.method === "GET") return createReadStream(process.argv[2]).pipe(response);
		const hash = createHash("sha256");
		for await (const chunk of request) hash.update(chunk);
		response.end(hash.digest("hex"));
	}).listen(80, () => console.log("listening"));`,
);

/** Fetches the file, keeps it, says its checksum; sends it back, and says which checksum the server saw. */
const SCRIPT = `
	ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up
	wget -q -O /file http://${HOST}/file
	echo "guest: fetched $(sha256sum < /file)"
	echo "guest: server saw $(wget -q -O - --post-file /file http://${HOST}/)"`;

async function guestFetches(link: string, netdev: string): Promise<void> {
	const program = start(["run", "--link", link, "--address", `${HOST}/24`, server, file]);
	program.outcome.catch(() => {});
	let said = "";
	try {
		await program.says(/listening/);
		const machine = boot(guest, netdev, SCRIPT, folder);
		try {
			machine.stdout!.setEncoding("latin1").on("data", (text: string) => {
				said += text;
			});
			await once(machine, "close");
		} finally {
			machine.kill("SIGKILL");
		}
		assert.match(said, new RegExp(`guest: fetched ${expected}`), said);
		assert.match(said, new RegExp(`guest: server saw ${expected}`), said);
		if (link.startsWith("stream:listen:")) await program.says(/the peer at \S+ has left; the next one may come/);
	} finally {
		program.child.kill("SIGKILL");
		await program.outcome;
	}
}

test("a Linux guest on -netdev stream, by a UNIX socket, fetches a file and sends it back unchanged", { skip, timeout: 120_000 }, () => {
	const path = join(folder, "vm.sock");
	return guestFetches(`stream:listen:unix:${path}`, `stream,id=n0,server=off,addr.type=unix,addr.path=${path}`);
});

test("the same on -netdev socket, by TCP", { skip, timeout: 120_000 }, async () => {
	const port = await freePort();
	await guestFetches(`stream:listen:tcp:${port}`, `socket,id=n0,connect=127.0.0.1:${port}`);
});

test("the same on -netdev dgram", { skip, timeout: 120_000 }, async () => {
	const [here, there] = [await freePort(), await freePort()];
	const end = (name: string, port: number) => `${name}.type=inet,${name}.host=127.0.0.1,${name}.port=${port}`;
	await guestFetches(`stream:udp:${here}:127.0.0.1:${there}`, `dgram,id=n0,${end("local", there)},${end("remote", here)}`);
});
