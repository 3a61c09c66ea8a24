// The sink, and beside it one that answers.
import "./beside.mjs";
import "./sink.mjs";
