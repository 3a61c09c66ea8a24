/**
 * A small Linux to run in QEMU: a kernel of the distribution's and one static program, busybox, in a file system in memory that is made here.
 *
 * Hides where the kernel comes from and how it is started. It is looked for where it is installed, or in the folder that
 * GUEST_KERNEL names: one with boot/ and lib/modules/, as `dpkg -x` makes of Debian's linux-image packages, which saves installing a
 * second kernel. No root file system, no disk, no hardware support for virtual machines: the processor is emulated.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const QEMU = "qemu-system-x86_64";
/** What the network card needs, besides what these need themselves; virtio_pci finds the card, but nothing names it. */
const MODULES = ["virtio_pci", "virtio_net"];
/** Kernels of today have their modules packed. */
const PACKED: readonly (readonly [extension: string, unpack: string])[] = [
	[".ko", "cat"],
	[".ko.xz", "xz -dc"],
	[".ko.zst", "zstd -dc"],
	[".ko.gz", "gzip -dc"],
];

/** What a guest is made of. */
export interface Guest {
	readonly kernel: string;
	/** Unpacked, in the order in which they are to be loaded; those that the kernel has built in are not there. */
	readonly modules: readonly { readonly name: string; readonly bytes: Uint8Array }[];
	readonly busybox: string;
}

/** Looks for the parts of a guest; a text says what is missing. */
export function findGuest(): Guest | string {
	if (process.arch !== "x64")
		return `needs an x64 machine, this is ${process.arch}: the guest's kernel and its programs are those of the machine`;
	const { stdout, error } = spawnSync(QEMU, ["-M", "none", "-netdev", "help"], { encoding: "utf8" });
	if (error !== undefined) return `needs ${QEMU} (apt-get install --no-install-recommends qemu-system-x86)`;
	if (!/^stream$/m.test(stdout)) return `needs ${QEMU} 7.2 or later, for -netdev stream`;
	const busybox = ["/bin/busybox", "/usr/bin/busybox"].find((path) => existsSync(path) && isStatic(readFileSync(path)));
	if (busybox === undefined) return "needs a static busybox (apt-get install busybox-static)";
	for (const root of [process.env.GUEST_KERNEL, "/"]) {
		if (!root || !existsSync(join(root, "boot"))) continue;
		for (const name of readdirSync(join(root, "boot")).sort().reverse()) {
			const folder = join(root, "lib/modules", name.replace("vmlinuz-", ""), "kernel");
			if (!name.startsWith("vmlinuz-") || !existsSync(folder)) continue;
			const modules = modulesOf(folder);
			return typeof modules === "string" ? modules : { kernel: join(root, "boot", name), modules, busybox };
		}
	}
	return "needs a Linux kernel to boot: vmlinuz in /boot with its modules, or unpacked by dpkg -x where GUEST_KERNEL says (package linux-image-cloud-amd64)";
}

/** Whether a program needs no other files: an ELF file without an interpreter (program header of type 3). */
function isStatic(elf: Buffer): boolean {
	if (elf.readUInt32BE(0) !== 0x7f454c46 || elf[4] !== 2) return false;
	const [at, size, count] = [Number(elf.readBigUInt64LE(32)), elf.readUInt16LE(54), elf.readUInt16LE(56)];
	return Array.from({ length: count }, (_, i) => elf.readUInt32LE(at + i * size)).every((type) => type !== 3);
}

/** The modules below a folder, each after those that it names in its section .modinfo (modules.dep is made only when a kernel is installed); a text says what is missing. */
function modulesOf(folder: string): Guest["modules"] | string {
	const paths = readdirSync(folder, { recursive: true }).map((path) => join(folder, String(path)));
	const modules: { name: string; bytes: Uint8Array }[] = [];
	let lack: string | null = null;
	const add = (name: string): void => {
		for (const [extension, unpack] of PACKED) {
			const path = paths.find((path) => path.replaceAll("-", "_").endsWith(`/${name.replaceAll("-", "_")}${extension}`));
			if (path === undefined || modules.some((module) => module.name === `${name}.ko`)) continue;
			const { stdout, status } = spawnSync("sh", ["-c", `${unpack} "$0"`, path], { maxBuffer: 1 << 26 });
			if (status !== 0 || stdout.length === 0) {
				lack = `needs ${unpack.split(" ")[0]} to unpack the kernel's modules (apt-get install xz-utils zstd)`;
				return;
			}
			const depends = /\0depends=([^\0]*)\0/.exec(stdout.toString("latin1"))?.[1] ?? "";
			for (const needed of depends.split(",").filter(Boolean)) add(needed);
			modules.push({ name: `${name}.ko`, bytes: stdout });
		}
	};
	for (const name of MODULES) add(name);
	return lack ?? modules;
}

/**
 * Starts the guest. It runs `script` (busybox sh) when its network card `eth0` is there, and ends when the script does; what the
 * script writes comes out of the process's standard output, between the kernel's own lines.
 *
 * @param netdev What follows `-netdev`, with `id=n0`.
 * @param folder Where its file system can be written to.
 */
export function boot(guest: Guest, netdev: string, script: string, folder: string): ChildProcess {
	const init = `#!/bin/busybox sh
		export PATH=/bin
		/bin/busybox --install -s /bin
		mount -t devtmpfs dev /dev; mount -t proc proc /proc; mount -t sysfs sys /sys
		for module in ${guest.modules.map(({ name }) => name).join(" ")}; do insmod /modules/$module || echo "guest: cannot load $module"; done
		tries=0; until [ -e /sys/class/net/eth0 ] || [ $tries -gt 50 ]; do sleep 0.1; tries=$((tries + 1)); done
		${script}
		reboot -f
	`;
	const image = join(folder, "guest.cpio.gz");
	const files: Entry[] = [
		...["dev", "proc", "sys", "bin", "modules"].map((name) => ({ name, mode: 0o040755 })),
		{ name: "dev/console", mode: 0o020600, device: [5, 1] },
		{ name: "bin/busybox", mode: 0o100755, bytes: readFileSync(guest.busybox) },
		{ name: "init", mode: 0o100755, bytes: Buffer.from(init) },
		...guest.modules.map(({ name, bytes }) => ({ name: `modules/${name}`, mode: 0o100644, bytes })),
	];
	writeFileSync(image, gzipSync(archive(files), { level: 1 }));
	const machine = [
		"-M",
		"pc",
		"-accel",
		"tcg",
		"-m",
		"256",
		"-nodefaults",
		"-no-user-config",
		"-no-reboot",
		"-display",
		"none",
		"-serial",
		"stdio",
	];
	const linux = ["-kernel", guest.kernel, "-initrd", image, "-append", "console=ttyS0 quiet panic=-1"];
	// No ROM file: the card need not boot from the network.
	const network = ["-netdev", netdev, "-device", "virtio-net-pci,netdev=n0,romfile="];
	return spawn(QEMU, [...machine, ...linux, ...network], { stdio: ["ignore", "pipe", "inherit"] });
}

interface Entry {
	name: string;
	mode: number;
	bytes?: Uint8Array;
	/** Major and minor number. */
	device?: number[];
}

/** A cpio archive in the "newc" format, which is what Linux unpacks at its start (kernel: Documentation/driver-api/early-userspace/buffer-format.rst). */
function archive(entries: readonly Entry[]): Buffer {
	const parts: Uint8Array[] = [];
	let length = 0;
	const put = (bytes: Uint8Array): void => {
		const padded = Buffer.alloc((bytes.length + 3) & ~3);
		padded.set(bytes);
		parts.push(padded);
		length += padded.length;
	};
	for (const [at, { name, mode, bytes = new Uint8Array(0), device = [0, 0] }] of [
		...entries,
		{ name: "TRAILER!!!", mode: 0 } as Entry,
	].entries()) {
		const fields = [at + 1, mode, 0, 0, 1, 0, bytes.length, 0, 0, ...device, name.length + 1, 0];
		put(Buffer.from(`070701${fields.map((field) => (field as number).toString(16).padStart(8, "0")).join("")}${name}\0`));
		put(bytes);
	}
	return Buffer.concat(parts, length);
}
