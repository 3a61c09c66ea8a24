/** A worker of a cluster; used by register.test.ts. */
import http from "node:http";
import type { AddressInfo } from "node:net";

const server = http.createServer((_request, response) => void response.end("from a worker"));
server.listen(0, "127.0.0.1", () => process.send?.({ port: (server.address() as AddressInfo).port }));
