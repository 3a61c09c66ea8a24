/**
 * `millrace/wire`: packet formats for tools and tests.
 *
 * Each format is a module of offsets and accessors over a byte array and an offset, as the stack itself uses them: small,
 * without bounds checks, made for memory that was checked before. To look at a frame, use `decodeFrame`.
 *
 * ```ts
 * import { decodeFrame, tcp } from "millrace/wire";
 * const frame = decodeFrame(bytes);
 * if (frame.tcp?.flags === "S") console.log(`${frame.ipv4?.source} opens port ${frame.tcp.destinationPort}`);
 * ```
 */
export * from "./address.ts";
export * as arp from "./arp.ts";
export { get16, get32, set16, set32 } from "./bytes.ts";
export { checksum, fold, pseudoHeader4, pseudoHeader6, sum, update16, update32 } from "./checksum.ts";
export * from "./decode.ts";
export * as ethernet from "./ethernet.ts";
export * as icmp from "./icmp.ts";
export * as ipv4 from "./ipv4.ts";
export * as tcp from "./tcp.ts";
export * as udp from "./udp.ts";
