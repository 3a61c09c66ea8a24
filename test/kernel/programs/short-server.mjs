/** A node:net server that reads one request, answers it and closes, as HTTP servers do with `Connection: close`. */
import { createServer } from "node:net";

const ANSWER = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\nConnection: close\r\n\r\nshort\n";

createServer((socket) => {
	socket.on("error", (error) => console.log(`error ${error.code}`));
	socket.once("data", () => socket.end(ANSWER));
}).listen(8080);
