/**
 * The choice of a link: what `--link` may say, and which other options go with which link.
 *
 * Hides the list of links from everything that reads options. A link that joins something is written KIND:WHAT; an option that has no
 * meaning for the link that was chosen is refused by its name, for somebody who gave it expects it to do something.
 */
import { bad } from "../link/known-options.ts";
import { type Complain, Fields, type OptionLabel, type Read } from "./option-fields.ts";
import { readStreamEnd, STREAM_FORMS } from "./stream-end.ts";

/** Which link carries the frames. */
export interface LinkChoice {
	kind: "tap" | "user" | "loopback" | "xdp" | "packet" | "stream" | "pcap";
	/**
	 * Name of the TAP device, the link's own default when absent; otherwise always there: the interface (`xdp`, `packet`), the capture file
	 * (`pcap`), the far end as written (`stream`, see stream-end.ts).
	 */
	name?: string;
}

/** How each link is written, and whether something stands behind the colon. */
const LINKS: Readonly<Record<LinkChoice["kind"], { form: string; name: "none" | "may" | "must"; missing: string }>> = {
	tap: { form: "tap, tap:NAME", name: "may", missing: "" },
	xdp: { form: "xdp:INTERFACE", name: "must", missing: "name the interface" },
	packet: { form: "packet:INTERFACE", name: "must", missing: "name the interface" },
	stream: { form: "stream:...", name: "must", missing: "say to whom" },
	pcap: { form: "pcap:FILE", name: "must", missing: "name the file" },
	user: { form: "user", name: "none", missing: "say so" },
	loopback: { form: "loopback", name: "none", missing: "say so" },
};

const KINDS = Object.keys(LINKS) as LinkChoice["kind"][];
const FORMS = KINDS.map((kind) => LINKS[kind].form);
/** All links as they are written. */
export const LINK_FORMS = `${FORMS.slice(0, -1).join(", ")} or ${FORMS.at(-1)}`;

/** Which links an option has a meaning for; those that are not here have one for all. */
const ONLY: Readonly<Record<string, readonly LinkChoice["kind"][]>> = {
	address: ["tap", "user", "xdp", "packet", "stream", "pcap"],
	kernelAddress: ["tap", "user"],
	gateway: ["tap", "xdp", "packet", "stream"],
	routes: ["tap", "xdp", "packet", "stream"],
	publish: ["user"],
	mtu: ["tap", "user", "loopback", "stream"],
	ports: ["xdp"],
	outgoingPorts: ["xdp"],
	mac: ["xdp", "packet", "stream"],
	xdpMode: ["xdp"],
	zeroCopy: ["xdp"],
	queues: ["tap", "packet"],
	fanout: ["packet"],
	steering: ["tap"],
	rps: ["tap"],
	ioUring: ["tap"],
	offload: ["tap", "packet"],
	landing: ["tap"],
	expressLane: ["tap"],
	pageOrder: ["tap"],
	slabs: ["tap", "packet", "user"],
	ring: ["packet"],
	qdiscBypass: ["tap", "packet"],
	txRing: ["packet"],
	rxQueues: ["xdp"],
	ringSize: ["xdp", "packet"],
	speed: ["pcap"],
};

/** IFNAMSIZ of the kernel, less the closing zero. */
const DEVICE_NAME = /^[A-Za-z0-9_.-]{1,15}$/;

const isKind = (value: unknown): value is LinkChoice["kind"] => KINDS.includes(value as LinkChoice["kind"]);

/** Reads a link, as text or as the object that it stands for. */
export const readLink: Read<LinkChoice> = (value, complain, path, label) => {
	if (typeof value === "string") {
		const colon = value.indexOf(":");
		const kind = colon < 0 ? value : value.slice(0, colon);
		return readLink(colon < 0 ? { kind } : { kind, name: value.slice(colon + 1) }, complain, path, label);
	}
	const fields = new Fields(value, path, label);
	const kind = fields.take("kind", (v) =>
		isKind(v) ? v : complain(v === "memory" ? `${LINK_FORMS} (memory joins hosts of one program: it is for the library)` : LINK_FORMS),
	);
	const name = fields.take("name", (v) => v);
	fields.end();
	if (kind === null) return complain(LINK_FORMS);
	const rule = LINKS[kind].name;
	if (name === null ? rule === "must" : rule === "none") return complain(name === null && kind === "stream" ? STREAM_FORMS : LINK_FORMS);
	return name === null ? { kind } : { kind, name: readName(kind, name, complain) };
};

function readName(kind: LinkChoice["kind"], name: unknown, complain: Complain): string {
	if (typeof name !== "string") return complain(LINK_FORMS);
	if (kind === "stream") {
		const end = readStreamEnd(name);
		return typeof end === "string" ? complain(end) : name;
	}
	if (kind === "pcap") return name === "" || name.includes("\0") ? complain("pcap:FILE, with the name of a capture file") : name;
	if (DEVICE_NAME.test(name) && name !== "." && name !== "..") return name;
	return complain(`${LINK_FORMS}, with a device name of 1 to 15 letters, digits, "_", "." or "-"`);
}

/** The first option that was given and has no meaning for a link; null for none. */
export function foreignOption(options: object, kind: LinkChoice["kind"]): string | null {
	return given(options).find((path) => !ONLY[path]!.includes(kind)) ?? null;
}

/** Refuses the first option that was given and has no meaning for the chosen link; null: `tap` or `user`, as the machine allows. */
export function refuseForeign(options: object, kind: LinkChoice["kind"] | null, label: OptionLabel): void {
	if (kind !== null) {
		const path = foreignOption(options, kind);
		if (path !== null) throw bad(`${label(path)} does not go with link ${kind}, only with ${ONLY[path]!.join(" or ")}`);
		return;
	}
	for (const path of given(options)) {
		const kinds = ONLY[path]!;
		if (kinds.includes("tap") || kinds.includes("user")) continue;
		const { missing, form } = LINKS[kinds[0]!];
		throw bad(`${label(path)} is for link ${kinds.join(" or ")}: ${missing}, ${label("link")} ${form}`);
	}
}

/** Those options with a meaning for some links only that were given. */
function given(options: object): string[] {
	return Object.keys(ONLY).filter((path) => {
		const value = (options as Record<string, unknown>)[path];
		return value !== null && value !== undefined && !(Array.isArray(value) && value.length === 0);
	});
}
