import assert from "node:assert/strict";
import http2 from "node:http2";
import https from "node:https";
import net from "node:net";
import { it } from "node:test";
import { plainHandlesWork, wantsPlainHandles } from "../../src/node/plain-handle.ts";

it("this Node keeps the contract that plain handles need", () => {
	assert.equal(plainHandlesWork(), true);
});

it("servers whose connections are driven from C++ do not get plain handles", () => {
	assert.equal(wantsPlainHandles(net.createServer()), true);
	assert.equal(wantsPlainHandles(https.createServer()), false);
	assert.equal(wantsPlainHandles(http2.createServer()), false);
	assert.equal(wantsPlainHandles(http2.createSecureServer()), false);
});
