//! Programs that measure parts of narrowgate by themselves: see `src/bin`, and `benches/run` for the whole gateway.
#![forbid(unsafe_code)]
