// The smallest server on `node:http`; it honours the client's `Connection: close` by itself.
import { createServer } from "node:http";

const server = createServer((_request, response) => {
	response.writeHead(200, { "Content-Type": "text/plain", "Content-Length": 13 });
	response.end("Hello, world\n");
});
server.listen({ port: Number(process.env.PORT ?? 8080), host: "0.0.0.0", backlog: 4096 });
