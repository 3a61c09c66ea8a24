/**
 * Options that nobody knows: a name that was misspelled must not be taken for one that was left out.
 */
import { MillraceError } from "../errors.ts";

/**
 * Refuses options by other names than these, by name.
 *
 * @param what Who has the options, with its article: "a TAP link".
 */
export function refuseUnknown(what: string, options: object, known: readonly string[], code = "MILLRACE_OPTION"): void {
	for (const key of Object.keys(options))
		if (!known.includes(key)) throw new MillraceError(code, `${what} has no option "${key}". It has ${known.join(", ")}`);
}
