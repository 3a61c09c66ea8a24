/**
 * The preload: `node --import millrace/register server.js`, or `-r millrace/register`, puts the TCP sockets of a program on Millrace.
 *
 * Only the main thread can have the stack. Worker threads load the preloads of their process anew, one by one, before their program begins: here
 * they find nothing but the question, instead of a hundred modules (90 ms). By `require`, for that is at once, and `-r` takes no module that awaits.
 */
import { createRequire } from "node:module";
import { debuglog } from "node:util";
import { isMainThread } from "node:worker_threads";

if (isMainThread) createRequire(import.meta.url)("./preload.js");
else debuglog("millrace")("worker thread: its sockets are the kernel's");
