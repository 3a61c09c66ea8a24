/** A WebSocket server on port 8080: what comes goes back, text as text and bytes as bytes; "close" closes. */
import { WebSocketServer } from "ws";

new WebSocketServer({ port: 8080, maxPayload: 1 << 26 }, () => console.log("serving")).on("connection", (socket, request) => {
	console.log(`from ${request.socket.remoteAddress}`);
	socket.on("message", (data, binary) => {
		if (String(data) === "close") socket.close(4001, "as you wish");
		else socket.send(data, { binary });
	});
	socket.on("close", (code) => console.log(`closed with ${code}`));
});
