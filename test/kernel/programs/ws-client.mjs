/** A WebSocket client: `ws-client.mjs URL`. What comes goes back; it says with which code the connection was closed. */
import { WebSocket } from "ws";

const socket = new WebSocket(process.argv[2], { maxPayload: 1 << 26 });
socket.on("message", (data, binary) => socket.send(data, { binary }));
socket.on("close", (code, reason) => console.log(`closed with ${code} ${reason}`));
socket.on("error", (error) => console.log(`error ${error.code}`));
