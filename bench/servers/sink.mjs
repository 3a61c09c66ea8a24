// Reads everything and forgets it.
import { createServer } from "node:net";

const server = createServer((socket) => {
	socket.on("data", () => {});
	socket.on("error", () => {});
});
server.listen({ port: Number(process.env.PORT ?? 8080), host: "0.0.0.0", backlog: 4096 });
