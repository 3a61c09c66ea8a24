/**
 * The event loop's timers and its clock, as they were when the stack was loaded.
 *
 * Hides that programs replace them: test frameworks put timers in their place that stand still until they are told to go on
 * (`mock.timers` of `node:test`, fake timers of others). That is meant for the program's time; kernel sockets do not notice, so
 * the stack must not either.
 */

export const { clearInterval, clearTimeout, setImmediate, setInterval, setTimeout } = globalThis;

/** `performance.now()`: milliseconds, with a fraction. */
export const milliseconds: () => number = performance.now.bind(performance);
