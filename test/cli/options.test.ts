import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { nearest, OPTIONS, parseRun } from "../../src/cli/options.ts";
import { MillraceError } from "../../src/errors.ts";
import { linkEnds } from "../../src/node/run-checks.ts";
import { parseRunOptions, type RunOptions } from "../../src/node/run-options.ts";
import { readStreamEnd } from "../../src/node/stream-end.ts";

/** The options of a command line that ends in a script. */
const options = (line: string): RunOptions => parseRun([...line.split(" ").filter(Boolean), "app.js"]).options;

/** The one line that a command line is refused with. */
function refusal(words: string | readonly string[]): string {
	try {
		parseRun(typeof words === "string" ? words.split(" ").filter(Boolean) : words);
	} catch (error) {
		assert.ok(error instanceof MillraceError, String(error));
		assert.doesNotMatch(error.message, /\n/);
		return error.message.replace(/^millrace: /, "");
	}
	return assert.fail("was accepted");
}

describe("the command line of millrace run", () => {
	test("the first word that is no option is the script, and all that follows is the script's", () => {
		const { options, script, args } = parseRun(["--stats", "--link=loopback", "app.js", "--loss", "2%", "--", "-x"]);
		assert.deepEqual([script, args], ["app.js", ["--loss", "2%", "--", "-x"]]);
		assert.deepEqual([options.stats, options.link, options.impair], [true, { kind: "loopback" }, null]);
	});

	test("-- ends the options, so a script may begin with a dash", () => {
		assert.equal(parseRun(["--quiet", "--", "-app.js"]).script, "-app.js");
	});

	test("every option of the issue is read into its unit", () => {
		const all = options(
			"--link user --loss 2% --delay 20ms --jitter 5ms --rate 100mbit --reorder --duplicate 3% --corrupt=0.5% --seed 7 --capture a.pcapng --mtu 1400 --memory 64mb --congestion newreno --spin 50us --publish 8080:80,9000 --publish 0.0.0.0:53:53 --kernel-ports 9229,9230 --stats --quiet",
		);
		assert.deepEqual(all, {
			link: { kind: "user" },
			address: null,
			ports: [],
			outgoingPorts: null,
			kernelAddress: null,
			gateway: null,
			routes: [],
			publish: [
				{ address: "127.0.0.1", port: 8080, to: 80 },
				{ address: "127.0.0.1", port: 9000, to: 9000 },
				{ address: "0.0.0.0", port: 53, to: 53 },
			],
			impair: { loss: 0.02, reorder: 0.01, duplicate: 0.03, corrupt: 0.005, delay: 20_000, jitter: 5000, rate: 100_000_000, seed: 7 },
			capture: "a.pcapng",
			mac: null,
			xdpMode: null,
			zeroCopy: null,
			queues: null,
			fanout: null,
			steering: null,
			rps: null,
			ioUring: null,
			landing: null,
			expressLane: null,
			slabs: null,
			holdWindows: null,
			pageOrder: null,
			offload: null,
			ring: null,
			qdiscBypass: null,
			txRing: null,
			rxQueues: [],
			ringSize: null,
			speed: null,
			kernelPorts: [9229, 9230],
			stats: true,
			mtu: 1400,
			memory: 64 * 1024 * 1024,
			congestion: "newreno",
			largePages: null,
			spin: 50,
			pooledChunks: null,
			quiet: true,
		} satisfies RunOptions);
	});

	test("an interface is taken by its ports or with an address of its own", () => {
		const ports = options("--link xdp:eth0 --ports 80,443 --ports 8080 --outgoing-ports 50000-50999");
		assert.deepEqual(ports.link, { kind: "xdp", name: "eth0" });
		assert.deepEqual([ports.ports, ports.outgoingPorts, ports.address], [[80, 443, 8080], { first: 50000, last: 50999 }, null]);
		assert.deepEqual(parseRunOptions(JSON.stringify(ports)), ports);
		const own = options("--link xdp:eth0 --address 192.168.1.50 --gateway 192.168.1.1");
		assert.deepEqual([own.ports, own.address, own.gateway], [[], "192.168.1.50/24", "192.168.1.1"]);
	});

	test("what an interface link has of its own: hardware address, mode, copies, queues, rings", () => {
		const xdp = options(
			"--link xdp:eth0 --address 10.0.0.2 --mac 02:AA:00:00:00:01 --xdp-mode generic --zero-copy never --rx-queues 0,2 --rx-queues 3 --ring-size 512",
		);
		const { mac, xdpMode, zeroCopy, rxQueues, ringSize } = xdp;
		assert.deepEqual([mac, xdpMode, zeroCopy, rxQueues, ringSize], ["02:aa:00:00:00:01", "generic", "never", [0, 2, 3], 512]);
		assert.deepEqual(parseRunOptions(JSON.stringify(xdp)), xdp);
		assert.equal(options("--link packet:eth0 --address 10.0.0.2 --mac interface").mac, "interface");
	});

	test("what a packet link and a TAP device have of their own: who deals out flows, ring, offload, disciplines", () => {
		const packet = options(
			"--link packet:eth0 --address 10.0.0.2 --queues 4 --fanout ebpf --ring v3 --offload off --qdisc-bypass on --tx-ring on",
		);
		const { queues, fanout, ring, offload, qdiscBypass, txRing } = packet;
		assert.deepEqual([queues, fanout, ring, offload, qdiscBypass, txRing], [4, "ebpf", "v3", false, true, true]);
		assert.deepEqual(parseRunOptions(JSON.stringify(packet)), packet);
		assert.equal(options("--link packet:eth0 --address 10.0.0.2 --qdisc-bypass off").qdiscBypass, false);
		const tap = options("--queues 2 --steering flow-group --offload on --io-uring off --landing off");
		const { link, steering, ioUring, landing } = tap;
		assert.deepEqual([link, tap.queues, steering, tap.offload, ioUring, landing], [null, 2, "flow-group", true, false, false]);
		assert.deepEqual(parseRunOptions(JSON.stringify(tap)), tap);
		assert.equal(parseRunOptions('{"link":"tap","offload":"off"}').offload, false);
	});

	test("a capture is replayed at a speed", () => {
		const speed = (text: string) => options(`--link pcap:a:b.pcap --speed ${text}`).speed;
		assert.deepEqual(["10", "10x", "0.5x", "max"].map(speed), [10, 10, 0.5, "max"]);
		assert.deepEqual(options("--link pcap:a:b.pcap").link, { kind: "pcap", name: "a:b.pcap" });
		const max = options("--link pcap:x --speed max --address 10.0.0.2");
		assert.deepEqual(parseRunOptions(JSON.stringify(max)), max);
	});

	test("a stream has its far end behind the colon, as a connection, a listener or a pair of datagram sockets", () => {
		const read = (text: string) => {
			const { link } = options(`--link stream:${text} --address 10.0.2.2`);
			assert.deepEqual(link, { kind: "stream", name: text });
			return readStreamEnd(text);
		};
		assert.deepEqual(read("unix:/tmp/a:b.sock"), { how: "connect", path: "/tmp/a:b.sock" });
		assert.deepEqual(read("listen:unix:vm.sock"), { how: "listen", path: "vm.sock" });
		assert.deepEqual(read("tcp:localhost:5000"), { how: "connect", host: "localhost", port: 5000 });
		assert.deepEqual(read("tcp:[::1]:5000"), { how: "connect", host: "::1", port: 5000 });
		assert.deepEqual(read("listen:tcp:5000"), { how: "listen", host: "127.0.0.1", port: 5000 });
		assert.deepEqual(read("listen:tcp:0.0.0.0:5000"), { how: "listen", host: "0.0.0.0", port: 5000 });
		assert.deepEqual(read("udp:5001:127.0.0.1:5002"), {
			how: "datagrams",
			local: { host: "127.0.0.1", port: 5001 },
			peer: { host: "127.0.0.1", port: 5002 },
		});
		assert.deepEqual(read("udp:10.0.0.1:1:10.0.0.2:2"), {
			how: "datagrams",
			local: { host: "10.0.0.1", port: 1 },
			peer: { host: "10.0.0.2", port: 2 },
		});
	});

	test("an optional percentage is taken only if it looks like one", () => {
		const { options, script } = parseRun(["--reorder", "5%", "--duplicate", "app.js"]);
		assert.deepEqual([options.impair?.reorder, options.impair?.duplicate, script], [0.05, 0.01, "app.js"]);
	});

	test("an optional time, too", () => {
		assert.deepEqual([parseRun(["--spin", "40us", "app.js"]).options.spin, parseRun(["--spin", "app.js"]).options.spin], [40, 100]);
		assert.equal(parseRun(["app.js"]).options.spin, null);
		assert.equal(parseRun(["--spin", "off", "app.js"]).options.spin, 0);
		assert.equal(parseRun(["--spin=off", "app.js"]).options.spin, 0);
	});

	test("large pages go with any link, and are on, off, or as by default", () => {
		const given = ["--link user --large-pages on", "--link tap --large-pages off", "--link loopback"];
		assert.deepEqual(
			given.map((words) => options(words).largePages),
			[true, false, null],
		);
	});

	test("processors for the kernel's work are numbers, of a TAP device, or one that is found, or none", () => {
		assert.deepEqual(options("--link tap --rps 1,3 --rps 0").rps, [1, 3, 0]);
		assert.equal(options("--link tap --rps auto").rps, "auto");
		assert.deepEqual(options("--link tap --rps off").rps, []);
		for (const [words, message] of [
			["--link tap --rps one a.js", /--rps: "one" is not auto, off or the number of a processor, from 0 on$/],
			["--link tap --rps auto,1 a.js", /--rps: "auto" is not/],
			["--link tap --rps off --rps 1 a.js", /--rps: "off" is not/],
			["--rps 8192 a.js", /--rps: "8192" is not auto/],
			["--link user --rps 1 a.js", /--rps/],
		] as const)
			assert.throws(() => parseRun(words.split(" ")), { message });
	});

	test("pooled chunks go with any link, and are on, off, or as by default", () => {
		const given = ["--link user --pooled-chunks on", "--link tap --pooled-chunks off", "--link loopback"];
		assert.deepEqual(
			given.map((words) => options(words).pooledChunks),
			[true, false, null],
		);
	});

	test("addresses, routes and device names", () => {
		const tap = options(
			"--link tap:mr7 --address 10.9.0.2/16 --kernel-address 10.9.0.1/16 --gateway 10.9.0.1 --route 192.168.0.0/16=10.9.0.3 --route 172.16.0.0/12",
		);
		assert.deepEqual(tap.link, { kind: "tap", name: "mr7" });
		assert.deepEqual([tap.address, tap.kernelAddress, tap.gateway], ["10.9.0.2/16", "10.9.0.1/16", "10.9.0.1"]);
		assert.deepEqual(tap.routes, [{ to: "192.168.0.0/16", via: "10.9.0.3" }, { to: "172.16.0.0/12" }]);
	});
});

describe("a command line that is refused names what is wrong with it", () => {
	const cases: [string, RegExp][] = [
		["", /^no script: /],
		["--stats", /^no script: /],
		["--lost 2% a.js", /^unknown option --lost; did you mean --loss\?$/],
		["--adress 10.0.0.1 a.js", /^unknown option --adress; did you mean --address\?$/],
		["--dealy 1ms a.js", /^unknown option --dealy; did you mean --delay\?$/],
		["-l tap a.js", /^unknown option -l; /],
		["--zzzzzz a.js", /^unknown option --zzzzzz; millrace help /],
		["--stats=yes a.js", /^--stats takes no value$/],
		["--loss", /^--loss needs a value: /],
		["--loss --delay 2ms a.js", /^--loss needs a value: /],
		["--loss 2% --loss 3% a.js", /^--loss is given twice$/],
		["--spin 2ms a.js", /^--spin: "2ms" is not a time from 1us to 1ms, such as 100us, or off$/],
		["--spin 5 a.js", /^--spin: "5" is not a time/],
		["--reorder 5 a.js", /^--reorder: "5" is not a percentage/],
		["--spin=0us a.js", /^--spin: "0us" is not a time/],
		["--loss 2 a.js", /^--loss: "2" is not a percentage between 0% and 100%, such as 2%$/],
		["--loss 101% a.js", /^--loss: "101%" is not a percentage/],
		["--loss -1% a.js", /^--loss: "-1%" is not a percentage/],
		["--loss= a.js", /^--loss: "" is not a percentage/],
		["--reorder=x a.js", /^--reorder: "x" is not a percentage/],
		["--delay 20 a.js", /^--delay: "20" is not a time such as 20ms/],
		["--delay 20min a.js", /^--delay: "20min" is not a time/],
		["--delay 3000s a.js", /^--delay: "3000s" is not a time/],
		["--jitter 5ms a.js", /^--jitter: more than --delay: /],
		["--rate 100 a.js", /^--rate: "100" is not a rate such as 100mbit/],
		["--rate 1bit a.js", /^--rate: "1bit" is not a rate/],
		["--seed -1 a.js", /^--seed: "-1" is not a whole number/],
		["--seed 4294967296 a.js", /^--seed: /],
		["--mtu 100 a.js", /^--mtu: "100" is not a number of bytes between 576 and 1500$/],
		["--memory 1mb a.js", /^--memory: "1mb" is not a size between 8mb and 1910mb/],
		["--memory 1911mb a.js", /^--memory: "1911mb" is not a size between 8mb and 1910mb/],
		["--memory 4gb a.js", /^--memory: /],
		["--congestion reno a.js", /^--congestion: "reno" is not cubic, newreno or bbr$/],
		["--link wifi a.js", /^--link: "wifi" is not tap, tap:NAME, xdp:INTERFACE, packet:INTERFACE, stream:..., pcap:FILE, user or loopback$/],
		["--link user:x a.js", /^--link: "user:x" is not tap/],
		["--link tap: a.js", /^--link: "tap:" is not tap/],
		["--link tap:aaaaaaaaaaaaaaaa a.js", /^--link: /],
		["--link tap:../x a.js", /^--link: /],
		["--link xdp a.js", /^--link: "xdp" is not tap/],
		["--link xdp:eth/0 a.js", /^--link: /],
		["--link xdp:eth0 a.js", /^link xdp needs --ports \(of the machine's own address\) or --address \(one of its own\)$/],
		["--link xdp:eth0 --ports 80 --address 10.0.0.2 a.js", /^--ports takes ports of the machine's own address, --address is for /],
		["--link xdp:eth0 --ports 0 a.js", /^--ports: "0" is not a port/],
		["--link xdp:eth0 --outgoing-ports 9-8 a.js", /^--outgoing-ports: "9-8" is not a range of ports such as 61000-65535$/],
		["--link xdp:eth0 --address 10.0.0.2 --gateway 10.1.0.1 a.js", /^--gateway: next hop 10.1.0.1 is not in the network of 10.0.0.2\/24$/],
		["--link xdp:eth0 --ports 80 --mtu 1400 a.js", /^--mtu does not go with link xdp/],
		["--link packet a.js", /^--link: "packet" is not tap/],
		["--link packet:eth0 a.js", /^link packet needs --address, one of its own$/],
		["--link packet:eth0 --address 10.0.0.2 --ports 80 a.js", /^--ports does not go with link packet, only with xdp$/],
		["--ports 80 a.js", /^--ports is for link xdp: name the interface, --link xdp:INTERFACE$/],
		["--link tap --ports 80 a.js", /^--ports does not go with link tap, only with xdp$/],
		["--link memory a.js", /^--link: "memory" is not .* \(memory joins hosts of one program: it is for the library\)$/],
		["--link stream a.js", /^--link: "stream" is not stream:unix:PATH, stream:tcp:HOST:PORT, stream:listen:unix:PATH, /],
		["--link stream:x a.js", /^--link: "stream:x" is not stream:unix:PATH, /],
		["--link stream:unix: a.js", /^--link: "stream:unix:" is not a UNIX socket, whose path has 1 to 107 bytes$/],
		["--link stream:tcp:5000 a.js", /^--link: "stream:tcp:5000" is not stream:tcp:HOST:PORT, such as /],
		["--link stream:tcp:a:99999 a.js", /^--link: "stream:tcp:a:99999" is not stream:tcp:HOST:PORT/],
		["--link stream:listen:tcp:x a.js", /^--link: .* is not stream:listen:tcp:\[HOST:\]PORT, such as /],
		["--link stream:listen:udp:1 a.js", /^--link: "stream:listen:udp:1" is not stream:unix:PATH, /],
		["--link stream:udp:1:2 a.js", /^--link: "stream:udp:1:2" is not stream:udp:\[ADDR:\]PORT:ADDR:PORT, /],
		["--link stream:udp:1:10.0.0.1:2 a.js", /^--link: .*; towards another machine, the address here is not of 127.0.0.0\/8$/],
		["--link stream:ws://x/ a.js", /^--link: .* \(a WebSocket is for the library: webSocketPipe of millrace\/link\/stream\)$/],
		["--link stream:dgram:x a.js", /^--link: .* \(datagrams go over UDP; Node has no UNIX datagram sockets\)$/],
		["--link stream:unix:a a.js", /^link stream needs --address, one of its own$/],
		[
			"--link stream:unix:a --address 10.0.2.2 --kernel-address 10.0.2.3 a.js",
			/^--kernel-address does not go with link stream, only with /,
		],
		["--link stream:unix:a --address 10.0.2.2 --mac interface a.js", /^--mac: link stream has no interface; give six bytes$/],
		["--link pcap a.js", /^--link: "pcap" is not tap/],
		["--link pcap: a.js", /^--link: "pcap:" is not pcap:FILE, with the name of a capture file$/],
		["--link pcap:x --speed 0 a.js", /^--speed: "0" is not a speed such as 10x or 0.5x, or max$/],
		["--link pcap:x --speed fast a.js", /^--speed: "fast" is not a speed/],
		["--link pcap:x --mtu 1400 a.js", /^--mtu does not go with link pcap, only with tap or user or loopback or stream$/],
		["--link tap --speed 10x a.js", /^--speed does not go with link tap, only with pcap$/],
		["--speed 10x a.js", /^--speed is for link pcap: name the file, --link pcap:FILE$/],
		["--mac 02:00:00:00:00:01 a.js", /^--mac is for link xdp or packet or stream: name the interface, --link xdp:INTERFACE$/],
		[
			"--link xdp:eth0 --address 10.0.0.2 --mac 01:00:00:00:00:01 a.js",
			/^--mac: .* is not a hardware address of a single station, such as /,
		],
		["--link xdp:eth0 --ports 80 --mac 02:00:00:00:00:01 a.js", /^--ports takes ports of the machine's own address, --mac is for /],
		["--link xdp:eth0 --ports 80 --xdp-mode fast a.js", /^--xdp-mode: "fast" is not auto, native or generic$/],
		["--link xdp:eth0 --ports 80 --zero-copy yes a.js", /^--zero-copy: "yes" is not auto, always or never$/],
		["--link xdp:eth0 --ports 80 --rx-queues 0,x a.js", /^--rx-queues: "x" is not the number of a queue, from 0 on$/],
		["--link xdp:eth0 --ports 80 --ring-size 0 a.js", /^--ring-size: "0" is not a number of frames between 1 and 32768$/],
		["--link xdp:eth0 --ports 80 --ring-size 100 a.js", /^--ring-size: 100 is not a power of two from 64 to 32768, as link xdp needs$/],
		["--link packet:eth0 --address 10.0.0.2 --ring-size 5000 a.js", /^--ring-size: 5000 is not between 1 and 4096, as link packet needs$/],
		["--link packet:eth0 --address 10.0.0.2 --queues 100 a.js", /^--queues: 100 is not between 1 and 64, as link packet needs$/],
		["--link packet:eth0 --address 10.0.0.2 --xdp-mode native a.js", /^--xdp-mode does not go with link packet, only with xdp$/],
		["--link user --zero-copy never a.js", /^--zero-copy does not go with link user, only with xdp$/],
		["--link packet:eth0 --address 10.0.0.2 --rx-queues 1 a.js", /^--rx-queues does not go with link packet, only with xdp$/],
		["--link tap --queues 0 a.js", /^--queues: "0" is not a number of queues between 1 and 256$/],
		["--link tap --queues 257 a.js", /^--queues: /],
		["--link user --queues 2 a.js", /^--queues does not go with link user, only with tap or packet$/],
		["--queues 2 --publish 80 a.js", /^--publish is for link user, --queues for link tap: choose one$/],
		["--offload off --publish 80 a.js", /^--publish is for link user, --offload for link tap: choose one$/],
		["--link tap --queues 2 --steering hash a.js", /^--steering: "hash" is not kernel or flow-group$/],
		[
			"--link tap --steering flow-group a.js",
			/^--steering says which of several queues a flow comes by: give --queues as well, 2 or more$/,
		],
		["--link tap --queues 1 --steering kernel a.js", /^--steering says which of several queues a flow comes by: /],
		["--link tap --queues 2 --fanout hash a.js", /^--fanout does not go with link tap, only with packet$/],
		["--fanout hash a.js", /^--fanout is for link packet: name the interface, --link packet:INTERFACE$/],
		["--link packet:eth0 --address 10.0.0.2 --queues 2 --steering kernel a.js", /^--steering does not go with link packet, only with tap$/],
		[
			"--link packet:eth0 --address 10.0.0.2 --fanout ebpf a.js",
			/^--fanout says which of several queues a flow comes by: give --queues as well/,
		],
		["--link packet:eth0 --address 10.0.0.2 --queues 2 --fanout rr a.js", /^--fanout: "rr" is not hash, ebpf, cpu or queue$/],
		["--link packet:eth0 --address 10.0.0.2 --ring v1 a.js", /^--ring: "v1" is not v2 or v3$/],
		["--link xdp:eth0 --address 10.0.0.2 --ring v3 a.js", /^--ring does not go with link xdp, only with packet$/],
		["--link packet:eth0 --address 10.0.0.2 --offload a.js", /^--offload: "a.js" is not on or off$/],
		["--slabs maybe a.js", /^--slabs: "maybe" is not on or off$/],
		["--link user --landing off a.js", /^--landing does not go with link user, only with tap$/],
		["--link user --io-uring on a.js", /^--io-uring does not go with link user, only with tap$/],
		["--link user --offload on a.js", /^--offload does not go with link user, only with tap or packet$/],
		["--link xdp:eth0 --address 10.0.0.2 --offload on a.js", /^--offload does not go with link xdp, only with tap or packet$/],
		["--link xdp:eth0 --address 10.0.0.2 --tx-ring on a.js", /^--tx-ring does not go with link xdp, only with packet$/],
		["--link packet:eth0 --address 10.0.0.2 --tx-ring yes a.js", /^--tx-ring: "yes" is not on or off$/],
		["--link user --qdisc-bypass on a.js", /^--qdisc-bypass does not go with link user, only with tap or packet$/],
		["--link packet:eth0 --address 10.0.0.2 --qdisc-bypass=maybe a.js", /^--qdisc-bypass: "maybe" is not on or off$/],
		["--link tap --ring-size 512 a.js", /^--ring-size does not go with link tap, only with xdp or packet$/],
		["--address 10.77.0.256 a.js", /^--address: "10.77.0.256" is not an IPv4 address/],
		["--address 10.77.0.02 a.js", /^--address: "10.77.0.02" is not an IPv4 address/],
		["--address 10.77.0.2/33 a.js", /^--address: /],
		["--address 10.77.0.0/24 a.js", /^--address: "10.77.0.0\/24" is not an address that one host can have$/],
		["--address 10.77.0.255/24 a.js", /^--address: /],
		["--address 224.0.0.1 a.js", /^--address: /],
		["--address 10.77.0.2/32 a.js", /^--address: .* leaves no address for the other end/],
		["--address 10.77.0.1/24 --kernel-address 10.77.0.1/24 a.js", /^--address and --kernel-address are both 10.77.0.1\/24/],
		[
			"--address 10.78.0.1/24 --kernel-address 10.77.0.1/24 a.js",
			/^--address 10.78.0.1\/24 and --kernel-address 10.77.0.1\/24 are not in one network$/,
		],
		["--address fe80::1 a.js", /^--address: /],
		["--gateway 10.99.0.1 a.js", /^--gateway: next hop 10.99.0.1 is not in the network of 10.77.0.2\/24$/],
		["--route x a.js", /^--route: "x" is not a route/],
		["--route 10.0.0.0/8=10.99.0.1 a.js", /^--route: next hop 10.99.0.1 is not in the network/],
		["--publish 80: a.js", /^--publish: "80:" is not a port/],
		["--publish 1:2:3:4 a.js", /^--publish: /],
		["--publish 0:80 a.js", /^--publish: /],
		["--publish 8080:80,8080:81 a.js", /^--publish: port 8080 is given twice$/],
		["--publish 80,x a.js", /^--publish: "x" is not a port, PORT:PORT/],
		["--kernel-ports 9229,70000 a.js", /^--kernel-ports: "70000" is not a port between 1 and 65535$/],
		["--link tap --publish 80 a.js", /^--publish does not go with link tap, only with user$/],
		[
			"--link loopback --address 127.0.0.2 a.js",
			/^--address does not go with link loopback, only with tap or user or xdp or packet or stream or pcap$/,
		],
		["--link user --gateway 10.0.2.2 a.js", /^--gateway does not go with link user, only with tap or xdp or packet or stream$/],
		["--link loopback --route 10.0.0.0/8 a.js", /^--route does not go with link loopback/],
		["--publish 80 --gateway 10.77.0.1 a.js", /^--publish is for link user, --gateway for link tap: choose one$/],
		["--seed 7 a.js", /^--seed chooses what impairments do: give one as well, such as --loss 2%$/],
		["--queues 2 --express-lane on a.js", /^--express-lane on does not go with --queues: choose one$/],
		["--offload off --landing on a.js", /^--landing on does not go with --offload off: choose one$/],
		["--offload off --page-order on a.js", /^--page-order on does not go with --offload off: choose one$/],
		["--offload on --loss 1% a.js", /^--offload on does not go with --loss: impairments want each frame as on a wire\. Choose one$/],
		["--slabs on --delay 5ms a.js", /^--slabs on does not go with --delay: /],
		["--landing on --rate 1mbit a.js", /^--landing on does not go with --rate: /],
		[
			"--landing on --capture a.pcapng a.js",
			/^--landing on does not go with --capture: a capture wants each frame as on a wire\. Choose one$/,
		],
		["--slabs on --congestion bbr a.js", /^--slabs on does not go with --congestion bbr: choose one$/],
		[
			"--link user --publish 8080:80 --kernel-ports 80 a.js",
			/^--publish leads to port 80 of the program, --kernel-ports leaves it to the kernel: choose one$/,
		],
		[
			"--link xdp:eth0 --ports 80,443 --kernel-ports 443 a.js",
			/^--ports takes port 443, --kernel-ports leaves it to the kernel: choose one$/,
		],
		[
			"--link xdp:eth0 --ports 80 --route 10.1.0.0/16 a.js",
			/^--ports takes ports of the machine's own address, --route is for an address of its own: choose one$/,
		],
		[
			"--link xdp:eth0 --ports 80 --xdp-mode generic --zero-copy always a.js",
			/^--xdp-mode generic copies every frame, --zero-copy always none: choose one$/,
		],
	];
	for (const [line, message] of cases) test(`millrace run ${line || "(nothing)"}`, () => assert.match(refusal(line), message));

	test("any words are either understood or refused in one line, never with another error", () => {
		const word = fc.oneof(
			fc.constantFrom(...OPTIONS.map((option) => `--${option.name}`), "app.js", "2%", "20ms", "10.77.0.2/24", "8080:80", "--"),
			fc.string(),
		);
		fc.assert(
			fc.property(fc.array(word, { maxLength: 8 }), (words) => {
				try {
					parseRun(words);
				} catch (error) {
					assert.ok(error instanceof MillraceError, String(error));
				}
			}),
			{ numRuns: 2000 },
		);
	});
});

describe("options as JSON, for millrace/register", () => {
	test("nothing, an empty text and an empty object mean the defaults", () => {
		assert.deepEqual(parseRunOptions(""), parseRunOptions("{}"));
		assert.equal(parseRunOptions({}).link, null);
	});

	test("values may be written as people do, or as numbers in the unit of the field", () => {
		const text = '{"link":"tap:mr1","impair":{"loss":"2%","delay":"20ms"},"publish":null,"kernelPorts":[9229,"9230"]}';
		assert.deepEqual(
			parseRunOptions(text),
			parseRunOptions({ link: { kind: "tap", name: "mr1" }, impair: { loss: 0.02, delay: 20_000 }, kernelPorts: [9229, 9230] }),
		);
	});

	const cases: [string, RegExp][] = [
		["{", /^millrace: MILLRACE_OPTIONS is not JSON: /],
		["[]", /^millrace: MILLRACE_OPTIONS must be an object$/],
		['{"lnk":"tap"}', /^millrace: MILLRACE_OPTIONS has no option "lnk"; there are link, address, /],
		['{"impair":{"los":1}}', /^millrace: MILLRACE_OPTIONS: impair has no option "los"; there are loss, /],
		['{"impair":{"loss":2}}', /^millrace: MILLRACE_OPTIONS: impair.loss: 2 is not a percentage/],
		['{"link":"tap","offload":1}', /^millrace: MILLRACE_OPTIONS: offload: 1 is not on or off$/],
		[
			'{"link":"tap","steering":"flow-group"}',
			/^millrace: MILLRACE_OPTIONS: steering says which .*: give MILLRACE_OPTIONS: queues as well, /,
		],
		['{"stats":"yes"}', /^millrace: MILLRACE_OPTIONS: stats: "yes" is not true or false$/],
		['{"link":{"kind":"tap","nme":"x"}}', /^millrace: MILLRACE_OPTIONS: link has no option "nme"; /],
		['{"link":{"kind":"stream","name":5}}', /^millrace: MILLRACE_OPTIONS: link: {"kind":"stream","name":5} is not tap/],
		['{"link":"pcap:x","speed":null,"outgoingPorts":5}', /^millrace: MILLRACE_OPTIONS: outgoingPorts: /],
		['{"link":"xdp:x","ports":[80],"rxQueues":[-1]}', /^millrace: MILLRACE_OPTIONS: rxQueues: -1 is not the number of a queue/],
		['{"publish":[{"port":80,"too":80}]}', /^millrace: MILLRACE_OPTIONS: publish: /],
		['{"__proto__":{"stats":true},"x":1}', /has no option/],
	];
	for (const [text, message] of cases) {
		test(`${text} is refused`, () =>
			assert.throws(() => parseRunOptions(text), { name: "MillraceError", code: "MILLRACE_BAD_OPTION", message }));
	}

	test("what was read can be written and read again: options travel from the command line to the preload unchanged", () => {
		const part = fc.constantFrom(
			"--link=tap:mr1",
			"--loss=0.3%",
			"--delay=7.5ms",
			"--rate=1.5mbit",
			"--reorder",
			"--seed=4294967295",
			"--capture=x y.pcapng",
			"--mtu=576",
			"--memory=1910mb",
			"--congestion=bbr",
			"--kernel-ports=1,2,3",
			"--stats",
			"--quiet",
			"--address=10.77.0.9",
			"--route=10.0.0.0/8",
		);
		fc.assert(
			fc.property(fc.uniqueArray(part), (words) => {
				// An impairment, which a seed needs.
				const { options } = parseRun(["--duplicate", ...words, "app.js"]);
				assert.deepEqual(parseRunOptions(JSON.stringify(options)), options);
			}),
		);
	});
});

describe("the ends of a link", () => {
	const given = (address: string | null, kernelAddress: string | null) => linkEnds("tap", { address, kernelAddress });
	test("have their defaults, which for user are QEMU's", () => {
		assert.deepEqual(given(null, null), { address: "10.77.0.2/24", kernelAddress: "10.77.0.1/24" });
		assert.deepEqual(linkEnds("user", { address: null, kernelAddress: null }), { address: "10.0.2.15/24", kernelAddress: "10.0.2.2/24" });
	});
	test("are neighbours when one of them is given", () => {
		assert.deepEqual(given("192.168.5.9/24", null), { address: "192.168.5.9/24", kernelAddress: "192.168.5.1/24" });
		assert.deepEqual(given("192.168.5.1/24", null), { address: "192.168.5.1/24", kernelAddress: "192.168.5.2/24" });
		assert.deepEqual(given(null, "192.168.5.2/24"), { address: "192.168.5.1/24", kernelAddress: "192.168.5.2/24" });
		assert.deepEqual(given("10.1.1.1/31", null), { address: "10.1.1.1/31", kernelAddress: "10.1.1.0/31" });
	});
});

test("a suggestion is made only where the word is near", () => {
	const names = OPTIONS.map((option) => option.name);
	assert.deepEqual(
		["sede", "capt", "kernelports", "x", "qwertz"].map((word) => nearest(word, names)),
		["seed", "capture", "kernel-ports", null, null],
	);
});
