//! The rules of the tree that no compiler checks: who may depend on whom, what a pure crate may not name, how
//! long files, functions and lines may be.

mod edges;
mod pure;
mod style;
mod text;
mod tree;
