//! The rules of the tree that no compiler checks: who may depend on whom, what a pure crate may not name, how
//! long files, functions and lines may be, and which faults the tests notice.

mod edges;
mod mutants;
mod pure;
mod style;
mod text;
mod tree;
mod verbs;
