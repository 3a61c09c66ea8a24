/** An HTTP/2 client: `http2-client.mjs ORIGIN`. 20 streams at a time on one connection; prints lengths and sha256. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:http2";

const session = connect(process.argv[2]);
const results = await Promise.all(
	Array.from({ length: 20 }, async () => {
		const stream = session.request({ ":path": "/file" });
		const [headers] = await once(stream, "response");
		const hash = createHash("sha256");
		for await (const chunk of stream) hash.update(chunk);
		return `${headers[":status"]} ${hash.digest("hex")}`;
	}),
);
session.close();
console.log(results.length, ...new Set(results));
