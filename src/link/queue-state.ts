/** What a queue of a device has left after it was read: for its link to act on. */

/** More frames may be waiting. */
export const READY = 0;
/** Nothing was left: there is no point in looking again before there is word of more. */
export const DRAINED = 1;
/** Frames are waiting but no page is free. */
export const STARVED = 2;
/** The device is gone. */
export const GONE = 3;
