/**
 * Where the records of TLS end in a stream of bytes.
 *
 * Hides the header of a record: a type, a version and a length of two bytes (RFC 8446, section 5.1; the same since SSL 3.0). Nothing is checked:
 * that is TLS's own business, and where the bytes are none of TLS's, the ends are anywhere.
 */

const HEADER = 5;
/** Where in the header the length is. */
const LENGTH = 3;

export class TlsRecords {
	/** Bytes of the record under way that are still to come. */
	#left = 0;
	/** Bytes of its header that came, while some are missing. */
	#header = 0;
	#length = 0;

	/** Bytes until the record under way is over, or its header where that is not whole: at least 1. */
	get next(): number {
		return this.#left > 0 ? this.#left : HEADER - this.#header;
	}

	/** Whether the header of the record under way is known, and more of it to come. */
	get inside(): boolean {
		return this.#left > 0;
	}

	/** The first `length` of `bytes` came. */
	came(bytes: Uint8Array, length: number): void {
		let at = 0;
		while (at < length) {
			if (this.#left > 0) {
				const part = Math.min(this.#left, length - at);
				this.#left -= part;
				at += part;
				continue;
			}
			if (this.#header >= LENGTH) this.#length = (this.#length << 8) | bytes[at]!;
			at++;
			if (++this.#header < HEADER) continue;
			this.#left = this.#length;
			this.#header = 0;
			this.#length = 0;
		}
	}
}
