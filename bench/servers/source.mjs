// Sends as fast as the connection takes it, until the client closes.
import { createServer } from "node:net";

const block = Buffer.alloc(65536, "millrace");

const server = createServer((socket) => {
	const fill = () => {
		while (!socket.destroyed && socket.write(block));
	};
	socket.on("drain", fill);
	socket.on("error", () => {});
	socket.resume();
	fill();
});
server.listen({ port: Number(process.env.PORT ?? 8080), host: "0.0.0.0", backlog: 4096 });
