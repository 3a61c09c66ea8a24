import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { MAIN, millrace } from "./helpers.ts";

const dir = mkdtempSync(join(tmpdir(), "millrace-cli-"));
after(() => rmSync(dir, { recursive: true }));
const script = join(dir, "app.mjs");
writeFileSync(script, 'console.log("must not run")');

describe("millrace", () => {
	test("--version prints the version of the package", async () => {
		const { code, stdout, stderr } = await millrace(["--version"]);
		assert.match(stdout, /^\d+\.\d+\.\d+\n$/);
		assert.deepEqual([code, stderr], [0, ""]);
	});

	for (const words of [["help"], ["--help"], ["run", "--help"]]) {
		test(`${words.join(" ")} explains every option within 120 columns`, async () => {
			const { code, stdout, stderr } = await millrace(words);
			for (const option of ["--link", "--loss", "--kernel-ports", "--capture"]) assert.ok(stdout.includes(`  ${option} `));
			assert.ok(
				stdout.split("\n").every((line) => line.length <= 120),
				"a line is too long",
			);
			assert.deepEqual([code, stderr], [0, ""]);
		});
	}

	for (const words of [["--version"], ["help"], ["doctor"]])
		test(`${words[0]} takes nothing else`, async () => {
			const { code, stderr } = await millrace([...words, "x"]);
			assert.deepEqual([code, stderr], [2, `millrace: ${words[0]} takes no argument x\n`]);
		});

	test("doctor goes on where no temporary folder can be made", async () => {
		const { code, stdout, stderr } = await millrace(["doctor"], { TMPDIR: "/nonexistent" });
		assert.match(stdout, /^link stream +may +cannot make a folder in \/nonexistent to try it: ENOENT\. Set TMPDIR [^\n]+$/m);
		assert.match(stdout, /^default link /m);
		assert.deepEqual([code, stderr], [0, ""]);
	});

	test("doctor goes on, and run says in a line what to do, where there is no WebAssembly to have memory of", async () => {
		const jitless = { NODE_OPTIONS: "--jitless" };
		const { code, stdout, stderr } = await millrace(["doctor"], jitless);
		assert.match(stdout, /^memory +no +[^\n]*no WebAssembly[^\n]*--jitless/m);
		assert.match(stdout, /^large pages +no +no memory to work in$/m);
		assert.match(stdout, /^default link /m);
		// Node itself has a line to say of that option.
		const said = (text: string) => text.replace(/^Warning: disabling flag .*\n/gm, "");
		assert.deepEqual([code, said(stderr)], [1, ""]);
		const run = await millrace(["run", "--link=loopback", script], jitless);
		assert.match(said(run.stderr), /^millrace: [^\n]*no WebAssembly[^\n]*--jitless[^\n]*\n$/);
		assert.deepEqual([run.code, run.stdout], [2, ""]);
	});

	test("doctor ends in peace when nobody reads on", async () => {
		const child = spawn(process.execPath, [MAIN, "doctor"], { stdio: ["ignore", "pipe", "pipe"] });
		let stderr = "";
		child.stderr.on("data", (chunk) => {
			stderr += chunk;
		});
		child.stdout.destroy();
		const [code, signal] = await once(child, "close");
		assert.deepEqual([code, signal, stderr], [0, null, ""]);
	});

	test("doctor says of each link whether it can run here, and why", async () => {
		const { code, stdout, stderr } = await millrace(["doctor"]);
		const links = [
			"tap",
			"tap io_uring",
			"tap queues",
			"tap steering",
			"tap lane",
			"xdp generic",
			"xdp native",
			"xdp zero-copy",
			"packet",
			"stream",
			"pcap",
			"user",
			"loopback",
			"memory",
		];
		for (const what of ["node", "memory", "large pages", ...links.map((link) => `link ${link}`)])
			assert.match(stdout, new RegExp(`^${what} +(yes|no |may)  \\S`, "m"));
		assert.match(stdout, /^default link +(tap|user)$/m);
		assert.deepEqual([code, stderr], [0, ""]);
	});
});

describe("what cannot be done is said in one line on stderr, with exit code 2, before the program runs", () => {
	const cases: [string[], RegExp][] = [
		[[], /^millrace: no command; /],
		[["start"], /^millrace: unknown command start; /],
		[["rnu"], /^millrace: unknown command rnu; did you mean millrace run\?$/],
		[["--stats"], /^millrace: unknown option --stats; /],
		[["doctor", "--fast"], /^millrace: doctor takes no option --fast$/],
		[["run"], /^millrace: no script: /],
		[["run", "--lost", "2%", script], /^millrace: unknown option --lost; did you mean --loss\?$/],
		[["run", "--loss", "two", script], /^millrace: --loss: "two" is not a percentage/],
		[["run", "--address", "10.77.0.300", script], /^millrace: --address: "10.77.0.300" is not an IPv4 address/],
		[["run", join(dir, "absent.js")], /^millrace: script not found: .*absent\.js; /],
		[["run", dir], /^millrace: script not found: /],
		[["run", "bad\nname.js"], /^millrace: script not found: bad name.js; /],
	];
	for (const [words, message] of cases) {
		test(`millrace ${words.join(" ").replaceAll(dir, "DIR").replace("\n", "\\n")}`, async () => {
			const { code, stdout, stderr } = await millrace(words);
			assert.match(stderr, /^[^\n]+\n$/);
			assert.match(stderr.trimEnd(), message);
			assert.deepEqual([code, stdout], [2, ""]);
		});
	}
});
