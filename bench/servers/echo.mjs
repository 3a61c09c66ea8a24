// Sends back what it gets.
import { createServer } from "node:net";

const server = createServer({ noDelay: true }, (socket) => {
	socket.on("data", (bytes) => socket.write(bytes));
	socket.on("error", () => {});
});
server.listen({ port: Number(process.env.PORT ?? 8080), host: "0.0.0.0", backlog: 4096 });
