/** The certificate of the tests, for localhost and 127.0.0.1; it signs itself. */
import { readFileSync } from "node:fs";

const read = (name: string) => readFileSync(new URL(`../../../test/fixtures/${name}`, import.meta.url), "utf8");

export const certificate = { key: read("test-key.pem"), cert: read("test-cert.pem") };
