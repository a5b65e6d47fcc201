//! The script of a product: one draft, and versions of which the newest is the one that runs.
//!
//! Versions are counted from 1 for each product. A source that is the published one already makes none. To
//! roll back is to publish the source of an older version again, as a version of its own that names it. The
//! newest [`VERSIONS_MAX`] are kept; a further one takes the place of the oldest. A draft that is published
//! is no draft any more; any other stays.

use std::sync::Arc;

use crate::ids::UnixMillis;

/// Versions that are kept of a product's script, the published one among them.
pub const VERSIONS_MAX: usize = 20;

/// A version of a product's script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptVersion {
    /// Which one, from 1 on.
    pub version: u32,
    /// When it was published.
    pub created: UnixMillis,
    /// By whom.
    pub by: String,
    /// The version that was published again by it.
    pub restores: Option<u32>,
    /// Bytes of its source.
    pub bytes: u32,
}

/// A version with its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionedScript {
    /// Which one.
    pub about: ScriptVersion,
    /// The JavaScript.
    pub source: Arc<str>,
}

/// A draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptDraft {
    /// When it was given.
    pub saved: UnixMillis,
    /// The JavaScript.
    pub source: Arc<str>,
}

/// The script of a product.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProductScript {
    /// What is not published yet.
    pub draft: Option<ScriptDraft>,
    /// What runs.
    pub published: Option<VersionedScript>,
}

/// What is to become of it. A source was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScriptPut {
    /// It is the draft from now on.
    Draft {
        /// The JavaScript.
        source: Arc<str>,
    },
    /// It runs from now on.
    Publish {
        /// The JavaScript.
        source: Arc<str>,
        /// Who wants it.
        by: String,
    },
    /// The source of a version that is kept runs again from now on.
    RollBack {
        /// Which one.
        version: u32,
        /// Who wants it.
        by: String,
    },
}

/// The version that runs from now on; 0: none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScriptStands(pub u32);

/// Why nothing is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotChanged {
    /// This version is not kept.
    NoVersion(u32),
}

/// What a product has at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Present<'a> {
    /// The number of the newest version; 0: there is none.
    pub version: u32,
    /// Its source.
    pub published: Option<&'a str>,
    /// The draft.
    pub draft: Option<&'a str>,
    /// The source of the version that is to run again.
    pub restored: Option<&'a Arc<str>>,
}

/// What to store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing changes.
    Same,
    /// A draft in the place of the one before.
    Draft(ScriptDraft),
    /// A version, and whether the draft goes.
    Version(VersionedScript, bool),
    /// The draft goes: it is what runs already.
    NoDraft,
}

/// Decides.
///
/// # Errors
/// Nothing is to be changed.
pub fn put(present: Present<'_>, put: &ScriptPut, at: UnixMillis) -> Result<Next, NotChanged> {
    let (source, by, restores) = match put {
        ScriptPut::Draft { source } if present.draft == Some(source) => return Ok(Next::Same),
        ScriptPut::Draft { source } => {
            return Ok(Next::Draft(ScriptDraft { saved: at, source: Arc::clone(source) }));
        }
        ScriptPut::Publish { source, by } => (source, by, None),
        ScriptPut::RollBack { version, by } => {
            let source = present.restored.ok_or(NotChanged::NoVersion(*version))?;
            (source, by, Some(*version))
        }
    };
    let is_draft = restores.is_none() && present.draft == Some(source);
    if present.published == Some(source) {
        return Ok(if is_draft { Next::NoDraft } else { Next::Same });
    }
    let about = ScriptVersion {
        version: present.version.saturating_add(1),
        created: at,
        by: by.clone(),
        restores,
        bytes: u32::try_from(source.len()).unwrap_or(u32::MAX),
    };
    Ok(Next::Version(VersionedScript { about, source: Arc::clone(source) }, is_draft))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: UnixMillis = UnixMillis(7);

    fn publish(source: &str) -> ScriptPut {
        ScriptPut::Publish { source: source.into(), by: "o".into() }
    }

    #[test]
    fn each_publication_is_a_version_and_what_runs_already_is_none() {
        let none = Present { version: 0, published: None, draft: None, restored: None };
        let Ok(Next::Version(first, false)) = put(none, &publish("a"), AT) else { panic!("it is new") };
        assert_eq!((first.about.version, first.about.bytes, first.about.restores), (1, 1, None));
        let present = Present { version: 3, published: Some("a"), draft: Some("b"), restored: None };
        assert_eq!(put(present, &publish("a"), AT), Ok(Next::Same));
        let Ok(Next::Version(next, true)) = put(present, &publish("b"), AT) else { panic!("the draft goes") };
        assert_eq!((next.about.version, &*next.source), (4, "b"));
        let same = Present { draft: Some("a"), ..present };
        assert_eq!(put(same, &publish("a"), AT), Ok(Next::NoDraft));
        assert_eq!(put(present, &ScriptPut::Draft { source: "b".into() }, AT), Ok(Next::Same));
        let draft = ScriptDraft { saved: AT, source: "c".into() };
        assert_eq!(put(present, &ScriptPut::Draft { source: "c".into() }, AT), Ok(Next::Draft(draft)));
    }

    #[test]
    fn rolling_back_is_a_version_that_names_the_one_that_runs_again() {
        let back = ScriptPut::RollBack { version: 2, by: "o".into() };
        let old: Arc<str> = "old".into();
        let present =
            Present { version: 3, published: Some("new"), draft: Some("old"), restored: Some(&old) };
        let Ok(Next::Version(next, false)) = put(present, &back, AT) else { panic!("the draft stays") };
        assert_eq!((next.about.version, next.about.restores, next.source), (4, Some(2), old.clone()));
        assert_eq!(put(Present { published: Some("old"), ..present }, &back, AT), Ok(Next::Same));
        assert_eq!(put(Present { restored: None, ..present }, &back, AT), Err(NotChanged::NoVersion(2)));
    }
}
