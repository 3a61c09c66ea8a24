/**
 * Compiles the other user-level stacks' servers (bench/peers/) with the compilers and libraries of Debian's packages.
 *
 * Hides where they come from and that they are compiled once: a program's file name carries a hash of its sources, its
 * command and the versions of what it is made with, so a changed one is made anew and an unchanged one is there. Nothing is
 * fetched: what is missing is said, as the command that brings it, and the others go on without.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Child } from "./child.ts";
import { root } from "./contestants.ts";
import { installed } from "./lab.ts";

/** Programs and fetched sources; ignored by git, removed by hand. */
export const buildsFolder = join(root, "build-bench-peers");
const peersFolder = join(root, "bench/peers");
/** Debian's place for sources of Go packages. */
const GO_PATH = "/usr/share/gocode";
/** A first compilation of gVisor takes minutes on a small machine. */
const COMPILE_SECONDS = 900;

/** How one program is made. */
export interface Recipe {
	readonly name: string;
	/** Debian packages, each with what shows that it is there: a program, or a file by its full path. */
	readonly packages: Readonly<Record<string, string>>;
	/** Files of bench/peers/ that the program consists of, headers included. */
	readonly sources: readonly string[];
	/** The command that makes the program `to`. */
	readonly command: (to: string) => readonly string[];
	readonly env?: Readonly<Record<string, string>>;
}

const source = (name: string): string => join(peersFolder, name);

const goSources = ["gvisor/main.go", "gvisor/device.go"];

export const gvisor: Recipe = {
	name: "gvisor",
	packages: { "golang-gvisor-gvisor-dev": `${GO_PATH}/src/gvisor.dev/gvisor/pkg/tcpip/tcpip.go`, "golang-go": "go" },
	sources: goSources,
	command: (to) => ["go", "build", "-o", to, ...goSources.map(source)],
	// Debian's Go packages are found by path, without modules and without a network.
	env: { GO111MODULE: "off", GOPATH: GO_PATH, GOFLAGS: "" },
};

export const slirp: Recipe = {
	name: "slirp",
	packages: { "libslirp-dev": "/usr/include/slirp/libslirp.h", gcc: "gcc" },
	sources: ["slirp.c", "tap.h"],
	command: (to) => ["gcc", "-O2", "-o", to, source("slirp.c"), "-I/usr/include/slirp", "-lslirp"],
};

export const lwipLibrary: Recipe = {
	name: "lwip-library",
	packages: { "liblwip-dev": "/usr/include/lwip/lwipopts.h", gcc: "gcc" },
	sources: ["lwip.c", "tap.h"],
	command: (to) => ["gcc", "-O2", "-o", to, source("lwip.c"), "-I/usr/include/lwip", "-llwip"],
};

/** lwIP from the sources in `folder`, with options of our own. */
export function lwipSources(folder: string): Recipe {
	const core = (part: string): string[] =>
		readdirSync(join(folder, "src", part))
			.filter((name) => name.endsWith(".c"))
			.sort()
			.map((name) => join(folder, "src", part, name));
	return {
		name: "lwip-sources",
		packages: { gcc: "gcc" },
		sources: ["lwip.c", "tap.h", "lwip/lwipopts.h", "lwip/arch/cc.h"],
		command: (to) => [
			...["gcc", "-O3", "-march=native", "-flto", "-DOFFLOAD=1", "-o", to, source("lwip.c")],
			...[`-I${source("lwip")}`, `-I${join(folder, "src/include")}`],
			...[...core("core"), ...core("core/ipv4"), join(folder, "src/netif/ethernet.c")],
		],
	};
}

/** The folder that `apt-get source lwip` has made in `within`, or undefined. */
export function lwipFolder(within = buildsFolder): string | undefined {
	if (!existsSync(within)) return undefined;
	const name = readdirSync(within)
		.sort()
		.find((each) => each.startsWith("lwip-") && existsSync(join(within, each, "src/core/tcp.c")));
	return name === undefined ? undefined : join(within, name);
}

/** How to get lwIP's sources. */
export const LWIP_SOURCES_REMEDY = "its sources: mkdir -p build-bench-peers && cd build-bench-peers && apt-get source lwip";

/** The command that installs what is missing, or undefined if nothing is. */
export function lacking(recipe: Recipe, present: (evidence: string) => boolean = isPresent): string | undefined {
	const missing = Object.entries(recipe.packages).filter(([, evidence]) => !present(evidence));
	return missing.length === 0 ? undefined : `apt-get install ${missing.map(([name]) => name).join(" ")}`;
}

const isPresent = (evidence: string): boolean => (evidence.startsWith("/") ? existsSync(evidence) : installed(evidence));

/** Versions of the packages, as dpkg has them; empty where there is no dpkg. */
function versions(recipe: Recipe): string {
	const { stdout } = spawnSync("dpkg-query", ["-W", ...Object.keys(recipe.packages)], { encoding: "utf8", timeout: 10_000 });
	return stdout ?? "";
}

/** Where the program of a recipe lies, or will: another place when anything has changed that it is made of. */
export function programPath(recipe: Recipe, made = versions(recipe)): string {
	const hash = createHash("sha256")
		.update(recipe.command("").join("\0"))
		.update(JSON.stringify(recipe.env ?? {}))
		.update(made);
	for (const name of recipe.sources) hash.update(readFileSync(source(name)));
	return join(buildsFolder, `${recipe.name}-${hash.digest("hex").slice(0, 16)}`);
}

/** Why a recipe is not compiled for a short run, or undefined: a look at whether all works must not take minutes. */
export function tooLong(recipe: Recipe, present = (): boolean => existsSync(programPath(recipe))): string | undefined {
	const slow = recipe.command("")[0] === "go";
	return slow && !present() ? "it takes minutes to compile, which a short run leaves to a full one" : undefined;
}

/**
 * Compiles a program, unless it is there already.
 *
 * @returns Its path.
 * @throws What to install, or what the compiler complained of.
 */
export async function build(recipe: Recipe): Promise<string> {
	const missing = lacking(recipe);
	if (missing !== undefined) throw new Error(missing);
	const path = programPath(recipe);
	if (existsSync(path)) return path;
	mkdirSync(buildsFolder, { recursive: true });
	const draft = `${path}.${process.pid}`;
	console.log(`compiling ${recipe.name} (once)`);
	try {
		await new Child(["nice", "-n", "19", ...recipe.command(draft)], { env: { ...recipe.env }, seconds: COMPILE_SECONDS }).output();
		renameSync(draft, path);
	} finally {
		rmSync(draft, { force: true });
	}
	return path;
}
