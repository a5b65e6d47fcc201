//! The tables of a day's message file. Times are Unix milliseconds.
