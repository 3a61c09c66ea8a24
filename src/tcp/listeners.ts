/**
 * Listeners: who takes connections to which address and port. The LISTEN state of RFC 9293, apart from connections.
 *
 * Hides the choice between an exact address, any address, and the one listener that takes every port (gateways). Both of
 * its queues have a bound: half-open connections by `synBacklog`, established ones that the application has not been
 * handed yet by `backlog`.
 */

export class Listener {
	readonly id: number;
	/** Address words; all 0 for any. */
	readonly address: readonly [number, number, number, number];
	/** 0 with `any`. */
	readonly port: number;
	/** Most established connections that wait to be handed over. */
	readonly backlog: number;
	/** The application is told of the SYN and says when the SYN-ACK goes out. */
	readonly held: boolean;
	/** Takes any port that nobody else listens on. */
	readonly any: boolean;
	/** The application's side; tcp does not look into it. */
	owner: unknown = null;
	/** The owner takes connections without running code of the application's: see `quiet` of a socket. */
	quiet = false;
	/** Half-open connections. */
	halfOpen = 0;
	/** Established connections that wait to be handed over. */
	pending = 0;
	closed = false;

	constructor(id: number, address: readonly [number, number, number, number], port: number, backlog: number, held: boolean, any: boolean) {
		this.id = id;
		this.address = address;
		this.port = port;
		this.backlog = backlog;
		this.held = held;
		this.any = any;
	}

	get wildcard(): boolean {
		return (this.address[0] | this.address[1] | this.address[2] | this.address[3]) === 0;
	}

	covers(a0: number, a1: number, a2: number, a3: number): boolean {
		const [b0, b1, b2, b3] = this.address;
		return a3 === b3 && a2 === b2 && a1 === b1 && a0 === b0;
	}
}

export class ListenerTable {
	readonly #byPort = new Map<number, Listener[]>();
	readonly #byId = new Map<number, Listener>();
	#catchAll: Listener | null = null;
	#nextId = 0;

	get count(): number {
		return this.#byId.size;
	}

	/** Null when the address and port are taken: by the same address, or by any address against a specific one. */
	add(address: readonly [number, number, number, number], port: number, backlog: number, held: boolean, any: boolean): Listener | null {
		const listener = new Listener(this.#nextId++, address, port, backlog, held, any);
		if (any) {
			if (this.#catchAll !== null) return null;
			this.#catchAll = listener;
		} else {
			const others = this.#byPort.get(port);
			if (others === undefined) this.#byPort.set(port, [listener]);
			else {
				for (const other of others) if (other.wildcard || listener.wildcard || other.covers(...address)) return null;
				others.push(listener);
			}
		}
		this.#byId.set(listener.id, listener);
		return listener;
	}

	remove(listener: Listener): void {
		listener.closed = true;
		this.#byId.delete(listener.id);
		if (this.#catchAll === listener) this.#catchAll = null;
		const others = this.#byPort.get(listener.port);
		const at = others?.indexOf(listener) ?? -1;
		if (others === undefined || at < 0) return;
		others.splice(at, 1);
		if (others.length === 0) this.#byPort.delete(listener.port);
	}

	/** The listener with this number, unless it is closed. */
	byId(id: number): Listener | undefined {
		return this.#byId.get(id);
	}

	/** Who takes a SYN to this address and port. */
	find(a0: number, a1: number, a2: number, a3: number, port: number): Listener | null {
		return this.holder(a0, a1, a2, a3, port) ?? this.#catchAll;
	}

	/** Who listens on just this port, at this address or at all. */
	holder(a0: number, a1: number, a2: number, a3: number, port: number): Listener | null {
		const candidates = this.#byPort.get(port);
		if (candidates !== undefined) {
			for (const listener of candidates) if (listener.wildcard || listener.covers(a0, a1, a2, a3)) return listener;
		}
		return null;
	}

	/** How many listen on the port, each on an address of its own. */
	on(port: number): number {
		return this.#byPort.get(port)?.length ?? 0;
	}

	/** All listeners. */
	all(): IterableIterator<Listener> {
		return this.#byId.values();
	}
}
