/** What cannot be the name of an interface is none, however much of it the kernel would read as one. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { NetworkInterface } from "../../src/sys/interface.ts";

const skip = process.platform !== "linux" ? "needs Linux" : false;

const indexOf = (name: string): number => {
	const device = new NetworkInterface(name);
	try {
		return device.index;
	} finally {
		device.close();
	}
};

test("names that begin like one of an interface are not that interface", { skip }, () => {
	assert.ok(indexOf("lo") > 0);
	// The kernel reads 15 bytes, up to a zero, and passes over what stands behind a colon.
	for (const name of ["lo:1", "lo\0", "", "lo\0 and more than an interface's name can have"])
		assert.equal(indexOf(name), 0, JSON.stringify(name));
});
