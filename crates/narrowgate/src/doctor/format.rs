//! The format of the store, as its registry's header says it.

use std::path::Path;

use narrowgate_adapters::sqlite::{FormatFound, OpenError, look_at_format};

use super::{Finding, Running};

const CHECK: &str = "storeFormat";

pub(super) fn check(data: &Path, server: Option<&Running>) -> Finding {
    judge(look_at_format(data), server.is_some_and(Running::is_of_this_version))
}

/// `is_served`: a server of this version has opened it.
fn judge(looked: Result<Option<FormatFound>, OpenError>, is_served: bool) -> Finding {
    match looked {
        Ok(None) => Finding::well(CHECK, "there is no store yet"),
        // Its log may hold a newer header.
        Ok(Some(FormatFound { found, known })) if found == known || is_served => {
            Finding::well(CHECK, format!("{known}, that of this program"))
        }
        Ok(Some(FormatFound { found, known })) => Finding::watch(
            CHECK,
            format!("{found}: the first start of this program upgrades it to {known}, and keeps a copy"),
            "take a backup first (narrowgate backup, of the version that wrote it)",
        ),
        Err(error) => Finding::act(CHECK, error.to_string(), error.advice()),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::State, *};

    #[test]
    fn a_store_of_another_format_is_named() {
        let ours = |found| Ok(Some(FormatFound { found, known: 18 }));
        assert_eq!(judge(Ok(None), false).state, State::Well);
        assert_eq!(judge(ours(18), false).state, State::Well);
        assert_eq!(judge(ours(17), true).state, State::Well);
        let older = judge(ours(17), false);
        assert!(older.state == State::Watch && older.detail.contains("upgrades it to 18"), "{older:?}");
        let newer =
            judge(Err(OpenError::Newer { file: "/d/registry.db".into(), found: 19, known: 18 }), false);
        assert!(newer.state == State::Act && newer.detail.contains("newer narrowgate"), "{newer:?}");
    }
}
