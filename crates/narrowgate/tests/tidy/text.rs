//! How the text looks: files, functions and lines of a length that a reader can follow.

use crate::tree::all_sources;

/// Lines of a file. One that is longer says why in its head, by [`REASON`].
const LINES_MAX: usize = 500;
/// Lines of a file whatever it says.
const LINES_MAX_WITH_REASON: usize = 800;
/// How a long file gives its reason.
const REASON: &str = "Longer than 500 lines: ";
#[test]
fn no_source_file_is_too_long_and_no_test_is_ignored() {
    for source in all_sources() {
        let lines = source.text.lines().count();
        let has_reason = source.text.lines().take(30).any(|line| line.contains(REASON));
        let lines_max = if has_reason { LINES_MAX_WITH_REASON } else { LINES_MAX };
        assert!(lines <= lines_max, "{} has {lines} lines: find its seam", source.name());
        let ignored = concat!("#[", "ignore");
        assert!(!source.text.contains(ignored), "{} has a test that does not run", source.name());
    }
}
