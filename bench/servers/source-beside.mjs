// The source, and beside it one that answers.
import "./beside.mjs";
import "./source.mjs";
