/**
 * When to take frames of many segments from a TAP device.
 *
 * Hides the judgement between two ways to read. Frames of one segment fit a page each and are read for the least; frames of up
 * to 64 KiB save a call for each segment but the first, and make every other frame dearer (tap-offload.ts). So the long ones
 * are asked for while bulk data come, and only then.
 *
 * On: several batches in a row of which three quarters are TCP frames of nearly full size. Off: of the last WINDOW frames hardly
 * one was long. A spell of long frames that was short was a mistake (many connections with a segment each look like bulk
 * before, but not after), and each mistake doubles the number of batches that the next one needs.
 */

/** Frames that make a batch worth a look: fewer are no reason to save calls. */
const BATCH_MIN = 16;
/** Batches of bulk in a row, at first, and at most. */
const PATIENCE = 4;
const PATIENCE_MAX = 1024;
/** Frames over which long ones are counted, and how many of them must be long. */
const WINDOW = 512;
const LONG_MIN = WINDOW / 64;
/** A spell that ends within so many frames was a mistake. */
const SPELL_MIN = 8 * WINDOW;

export class BulkSense {
	#patience = PATIENCE;
	/** Batches of bulk in a row. */
	#batches = 0;
	/** Frames of the window, and of the spell. */
	#frames = 0;
	#long = 0;
	#spell = 0;

	/** One-segment frames: a batch of `frames` came, `full` of them TCP and nearly as long as can be. True: ask for long ones. */
	batch(frames: number, full: number): boolean {
		if (frames < BATCH_MIN || full * 4 < frames * 3) {
			this.#batches = 0;
			return false;
		}
		if (++this.#batches < this.#patience) return false;
		this.#batches = 0;
		this.#frames = 0;
		this.#long = 0;
		this.#spell = 0;
		return true;
	}

	/** Long frames were asked for: a frame came. True: ask for no more. */
	frame(long: boolean): boolean {
		if (long) this.#long++;
		if (++this.#frames < WINDOW) return false;
		this.#spell += WINDOW;
		const off = this.#long < LONG_MIN;
		this.#frames = 0;
		this.#long = 0;
		if (off) this.#patience = this.#spell < SPELL_MIN ? Math.min(this.#patience * 2, PATIENCE_MAX) : PATIENCE;
		return off;
	}
}
