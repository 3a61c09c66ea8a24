/**
 * Large pages for memory that is used at random: fewer entries of the processor's address cache for the same bytes.
 *
 * Hides transparent huge pages (the kernel's Documentation/admin-guide/mm/transhuge.rst, madvise(2) MADV_HUGEPAGE): what the machine allows, and how
 * long such a page is. What was asked for is a hint. From then on the first touch of 2 MB that lie in one piece takes all of them at once, where
 * the kernel finds as much in one piece; else small pages come, as ever. Where there is no hint to give (no Linux, no koffi, a kernel
 * without it, "never"), nothing happens, and nothing is said but by the result.
 */
import { readFileSync } from "node:fs";
import { libc } from "./libc.ts";

const MADV_HUGEPAGE = 14;
const SETTINGS = "/sys/kernel/mm/transparent_hugepage";
/** Of x86-64, and of ARM with pages of 4 KiB. With longer ones (ARM with pages of 64 KiB: 512 MB) a byte touched would cost too much. */
const LARGE_PAGE = 2 << 20;

/** What the machine says of large pages: "always" needs no hint, and "never" takes none; null: it does not say. */
export function largePagePolicy(): "always" | "madvise" | "never" | null {
	if (process.platform !== "linux") return "never";
	// A process may have been forbidden them: prctl(PR_SET_THP_DISABLE).
	if (/^THP_enabled:\s*0$/m.test(text("/proc/self/status"))) return "never";
	const length = text(`${SETTINGS}/hpage_pmd_size`);
	if (length !== "" && Number(length) !== LARGE_PAGE) return "never";
	return (/\[(always|madvise|never)\]/.exec(text(`${SETTINGS}/enabled`))?.[1] as "always" | "madvise" | "never" | undefined) ?? null;
}

/**
 * Asks for large pages under all whole ones of `memory`, which must be outside of the JavaScript heap. Pages that were touched
 * already stay small, for a while at least.
 *
 * @returns For how many bytes they may come; 0: for none.
 */
export function adviseLargePages(memory: Uint8Array): number {
	if (largePagePolicy() === "never") return 0;
	try {
		const c = libc();
		const address = c.address(memory);
		const start = ((address + BigInt(LARGE_PAGE - 1)) / BigInt(LARGE_PAGE)) * BigInt(LARGE_PAGE);
		const length = Math.floor((memory.length - Number(start - address)) / LARGE_PAGE) * LARGE_PAGE;
		return length > 0 && c.madvise(start, length, MADV_HUGEPAGE) === 0 ? length : 0;
	} catch {
		return 0;
	}
}

function text(path: string): string {
	try {
		return readFileSync(path, "latin1");
	} catch {
		return "";
	}
}
