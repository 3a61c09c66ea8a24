/**
 * An ordinary node:net echo server: what comes in goes out again, until the client ends.
 *
 *   millrace run examples/net-echo.mjs           # then: nc 10.77.0.2 7007
 *
 * PORT in the environment chooses the port, default 7007.
 */
import { createServer } from "node:net";

// allowHalfOpen: what the client sent before its end is still echoed after it.
const sockets = new Set();
const server = createServer({ allowHalfOpen: true }, (socket) => {
	sockets.add(socket);
	socket.on("close", () => sockets.delete(socket));
	socket.on("error", (error) => console.error(`${socket.remoteAddress}: ${error.code}`));
	socket.pipe(socket);
});
server.listen(Number(process.env.PORT ?? 7007), () => console.log(`echo server on port ${server.address().port}`));

function stop() {
	server.close();
	for (const socket of sockets) socket.destroy();
}
process.once("SIGINT", stop);
process.once("SIGTERM", stop);
