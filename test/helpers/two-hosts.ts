/** Two hosts on one wire in virtual time, for tests of the application's faces. */
import assert from "node:assert/strict";
import type { Host, SocketEvents, TcpSocket } from "../../src/host/host.ts";
import { type Segment, type SegmentOptions, type SimulatedHostOptions, type Simulation, simulate } from "../../src/sim/index.ts";

export const SERVER = "10.0.0.1";
export const CLIENT = "10.0.0.2";

export interface World {
	sim: Simulation;
	wire: Segment;
	server: Host;
	client: Host;
	/** Cuts the wire. */
	cut(): void;
}

export interface WorldOptions {
	segment?: SegmentOptions;
	server?: Partial<SimulatedHostOptions>;
	client?: Partial<SimulatedHostOptions>;
	/** The scenario closes the hosts by itself. */
	keep?: boolean;
}

/** Runs a scenario; afterwards both hosts must be empty once TIME-WAIT has passed. */
export async function world(scenario: (world: World) => Promise<void> | void, options: WorldOptions = {}): Promise<void> {
	await simulate({ seed: 1, seconds: 86_400 }, async (sim) => {
		const wire = sim.segment({ medium: "ip", delay: 1000, ...options.segment });
		const server = sim.host("server", { addresses: [`${SERVER}/24`], ...options.server, on: wire });
		const client = sim.host("client", { addresses: [`${CLIENT}/24`], ...options.client, on: wire });
		await scenario({ sim, wire, server, client, cut: () => wire.partition(["server"], ["client"]) });
		if (options.keep) return;
		await sim.sleep(600);
		for (const host of [server, client]) {
			assert.equal(host.shard.pool.inUse, 0, "pages left");
			assert.deepEqual(host.connections(), [], "connections left");
			assert.equal(host.stats().connections.timeWait, 0, "TIME-WAIT records left");
		}
	});
}

/** What a socket was told, one word each. */
export class Ear implements SocketEvents {
	readonly heard: string[] = [];
	socket!: TcpSocket;
	connected(): void {
		this.heard.push("connected");
	}
	readable(): void {
		this.heard.push("readable");
	}
	ended(): void {
		this.heard.push("ended");
	}
	writable(): void {
		this.heard.push("writable");
	}
	closed(error: string | null): void {
		this.heard.push(`closed ${error}`);
	}
}

/** A connection on the event face: the client's end, then the server's. */
export async function connected({ sim, server, client }: World, port = 80): Promise<[Ear, Ear]> {
	const there = new Ear();
	const here = new Ear();
	const listener = server.tcpListen({ address: SERVER, port });
	listener.onconnection = (socket) => {
		there.socket = socket;
		socket.events = there;
	};
	here.socket = client.tcpConnect({ address: SERVER, port }, here);
	await sim.sleep(1);
	listener.close();
	assert.deepEqual(here.heard.splice(0), ["connected"]);
	return [here, there];
}

/** Matches a MillraceError. */
export function coded(code: string): (error: unknown) => boolean {
	return (error) => {
		assert.equal((error as { code?: string }).code, code);
		assert.match((error as Error).message, /^millrace: \S/);
		return true;
	};
}
