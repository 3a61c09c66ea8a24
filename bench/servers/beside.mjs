// What the source and the sink may have beside them: a port, 500 above theirs, that sends back what it gets.
import { createServer } from "node:net";

const server = createServer({ noDelay: true }, (socket) => {
	socket.on("data", (bytes) => socket.write(bytes));
	socket.on("error", () => {});
});
server.listen({ port: Number(process.env.PORT ?? 8080) + 500, host: "0.0.0.0", backlog: 4096 });
