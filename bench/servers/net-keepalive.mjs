// A small HTTP answer to each request, connections kept open: the plainest server on `net`.
import { createServer } from "node:net";

const answer = Buffer.from("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, world\n");

const server = createServer((socket) => {
	socket.on("data", (request) => {
		if (request.includes("\r\n\r\n")) socket.write(answer);
	});
	socket.on("error", () => {});
});
server.listen({ port: Number(process.env.PORT ?? 8080), host: "0.0.0.0", backlog: 4096 });
