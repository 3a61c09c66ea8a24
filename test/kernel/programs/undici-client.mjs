/** undici as a client: `undici-client.mjs ORIGIN`. 40 requests over 4 connections, each pipelined; prints lengths and sha256. */
import { createHash } from "node:crypto";
import { Pool } from "undici";

const pool = new Pool(process.argv[2], { connections: 4, pipelining: 4 });
const results = await Promise.all(
	Array.from({ length: 40 }, async () => {
		const { statusCode, body } = await pool.request({ path: "/file", method: "GET" });
		const hash = createHash("sha256");
		for await (const chunk of body) hash.update(chunk);
		return `${statusCode} ${hash.digest("hex")}`;
	}),
);
await pool.close();
console.log(results.length, ...new Set(results));
