/**
 * The constants of a connection record: states, flags, events, errors.
 *
 * Code that runs for each segment imports them as a namespace and makes constants of its own of them. V8 folds a constant of the
 * module itself into the code; one that is imported it reads from memory, checks and converts at each use: 0.35 ns, and some bytecodes
 * of the budget that decides what is inlined.
 */

/** RFC 9293 3.3.2. Two are not here: LISTEN, for listeners are not connections, and TIME-WAIT; both have a table of their own. */
export const CLOSED = 0;
export const SYN_SENT = 1;
export const SYN_RECEIVED = 2;
export const ESTABLISHED = 3;
export const FIN_WAIT_1 = 4;
export const FIN_WAIT_2 = 5;
export const CLOSE_WAIT = 6;
export const CLOSING = 7;
export const LAST_ACK = 8;

/** Names of the states, by number, as RFC 9293 writes them. */
export const STATE_NAMES: readonly string[] = [
	"CLOSED",
	"SYN-SENT",
	"SYN-RECEIVED",
	"ESTABLISHED",
	"FIN-WAIT-1",
	"FIN-WAIT-2",
	"CLOSE-WAIT",
	"CLOSING",
	"LAST-ACK",
];

/** Timestamps are in use (RFC 7323). */
export const C_TS = 1 << 0;
/** SACK is in use (RFC 2018). */
export const C_SACK = 1 << 1;
/** Window scaling is in use (RFC 7323). */
export const C_SCALE = 1 << 2;
/** Nagle's algorithm is off. */
export const C_NODELAY = 1 << 3;
export const C_KEEPALIVE = 1 << 4;
/** The application has given the connection up; nobody reads and no event is due. */
export const C_DETACHED = 1 << 5;
/** The application writes no more. */
export const C_FINISHED = 1 << 6;
/** The FIN has no page yet, for want of one. */
export const C_FIN_PENDING = 1 << 7;
/** The peer's FIN has come, in order. */
export const C_FIN_RECEIVED = 1 << 8;
/** Our FIN is acknowledged. */
export const C_FIN_ACKED = 1 << 9;
/** An ACK goes out at the end of the turn. */
export const C_ACK_NOW = 1 << 10;
/** The SYN-ACK waits for the application's word. */
export const C_HELD = 1 << 11;
/** Fast recovery (RFC 6675, 6582). */
export const C_RECOVERY = 1 << 12;
/** Recovery after a retransmission time-out. */
export const C_LOSS = 1 << 13;
/** RFC 8985: reordering has been seen. */
export const C_REORDERED = 1 << 14;
/** RFC 8985 7: a tail loss probe that repeated old data waits for its answer. */
export const C_TLP_REPEATED = 1 << 15;
/** The application was told that there is no room and waits for E_WRITABLE. */
export const C_WANT_ROOM = 1 << 16;
/** Output stopped for want of congestion window since the last ACK: only then may the window grow. */
export const C_CWND_LIMITED = 1 << 17;
/** RFC 9406: initial slow start, HyStart++ watches. */
export const C_HYSTART = 1 << 18;
/** Passive open. */
export const C_PASSIVE = 1 << 19;
/** The (re)transmission of SYN or SYN-ACK is due. */
export const C_SEND_SYN = 1 << 20;
/** The SYN or SYN-ACK was sent again: the handshake measures nothing, the first RTO for data is 3 seconds (RFC 6298 5.7), the window one segment. */
export const C_SYN_RETRANSMITTED = 1 << 21;
/** An SACK block or duplicate has to be reported in an ACK of its own. */
export const C_PURE_ACK = 1 << 22;
/** A segment in order found no page: the peer is told a window of nothing, until there are pages again. */
export const C_NO_PAGE = 1 << 23;
/** An ACK has waited in vain: the peer sends one way, so ACKs do not wait, until something is written (as in Linux). */
export const C_ONE_WAY = 1 << 28;
/** A model of the path sets window and rate (congestion.ts, PathModel). */
export const C_MODEL = 1 << 27;

/** The path has a link below MIN_PATH_MTU: routers may cut what is sent (RFC 1191 3). */
export const C_FRAGMENT = 1 << 29;

/** What the timer `rtxAt` means, in bits 24 to 26 of the flags. */
export const TIMER_SHIFT = 24;
export const TIMER_MASK = 7 << TIMER_SHIFT;
export const TIMER_RTO = 1;
export const TIMER_TLP = 2;
export const TIMER_REORDER = 3;
export const TIMER_PERSIST = 4;

/** Events for the application. */
export const E_CONNECTED = 1 << 0;
export const E_READABLE = 1 << 1;
export const E_ENDED = 1 << 2;
export const E_WRITABLE = 1 << 3;
export const E_CLOSED = 1 << 4;
export const E_ACCEPT = 1 << 5;

/** Lists that a record can be on. */
export const L_READY = 1 << 0;
export const L_OUTPUT = 1 << 1;
export const L_STARVED = 1 << 2;

/** Flags of a page in a send segment. */
export const P_SENT = 1;
export const P_SACKED = 2;
export const P_LOST = 4;
/** Sent more than once: no round-trip time is taken from it (Karn). */
export const P_RETRANSMITTED = 8;
/** The FIN follows the page's last byte. */
export const P_FIN = 16;

/** Why connections end, by number; the words are the operating system's. */
export const ERRORS: readonly (string | null)[] = [null, "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH"];
export const ERR_NONE = 0;
export const ERR_REFUSED = 1;
export const ERR_RESET = 2;
export const ERR_TIMEOUT = 3;
export const ERR_HOST = 4;
export const ERR_NET = 5;
