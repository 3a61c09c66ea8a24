/**
 * A network namespace of its own for a test file that works with kernel devices.
 *
 * The file calls `isolate()` first. In the process that the test runner started, this runs the same file once more under
 * `unshare -n`, passes its output on and exits with its code; so the code after the call only ever runs inside. Devices,
 * addresses and routes made there vanish with the process, and no packet can leave by the machine's own routes.
 */
import { spawnSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { NetworkInterface } from "../../src/sys/interface.ts";

const INSIDE = "MILLRACE_TEST_NAMESPACE";

/**
 * Runs the current test file in a new network namespace with `lo` up. Returns false inside, or why that is not possible here.
 *
 * @param sysfs Whether /sys shows the devices of that namespace, too.
 */
export function isolate(sysfs = false): string | false {
	if (process.env[INSIDE] !== undefined) {
		const lo = new NetworkInterface("lo");
		lo.up = true;
		lo.close();
		return false;
	}
	const lack =
		lacking() ??
		(sysfs && spawnSync("unshare", ["-nm", "mount", "-t", "sysfs", "sysfs", "/sys"]).status !== 0 ? "needs to mount sysfs" : null);
	if (lack !== null) return lack;
	const own = sysfs ? ["-nm", "sh", "-c", 'mount -t sysfs sysfs /sys && exec "$@"', "sh"] : ["-n"];
	const { status } = spawnSync("unshare", [...own, process.execPath, ...process.execArgv, ...process.argv.slice(1)], {
		stdio: "inherit",
		env: { ...process.env, [INSIDE]: "1" },
	});
	process.exit(status ?? 1);
}

function lacking(): string | null {
	if (process.platform !== "linux") return "needs Linux";
	if (process.getuid?.() !== 0) return "needs root (for TAP devices and network namespaces)";
	try {
		accessSync("/dev/net/tun", constants.R_OK | constants.W_OK);
	} catch (error) {
		return `needs /dev/net/tun (${(error as NodeJS.ErrnoException).code})`;
	}
	const { status, error } = spawnSync("unshare", ["-n", "true"]);
	return status === 0 ? null : `needs network namespaces (unshare -n: ${error?.message ?? `exit code ${status}`})`;
}
