//! The scripts of products in memory.

use std::{collections::VecDeque, sync::Arc};

use super::model::{Model, push_bounded};
use crate::{
    ids::UnixMillis,
    paging::Page,
    ports::StoreError,
    rules::scripts::{
        self, Next, NotChanged, Present, ProductScript, ScriptDraft, ScriptPut, ScriptStands, ScriptVersion,
        VERSIONS_MAX, VersionedScript,
    },
};

/// What is kept of a product's script.
#[derive(Debug, Default)]
pub(super) struct Scripts {
    draft: Option<ScriptDraft>,
    /// Oldest first.
    versions: VecDeque<VersionedScript>,
}

impl Scripts {
    fn find(&self, version: u32) -> Option<&VersionedScript> {
        self.versions.iter().find(|kept| kept.about.version == version)
    }

    fn put(&mut self, put: &ScriptPut, at: UnixMillis) -> Result<ScriptStands, NotChanged> {
        let restored = match put {
            ScriptPut::RollBack { version, .. } => self.find(*version).map(|kept| Arc::clone(&kept.source)),
            _ => None,
        };
        let present = Present {
            version: self.versions.back().map_or(0, |newest| newest.about.version),
            published: self.versions.back().map(|newest| &*newest.source),
            draft: self.draft.as_ref().map(|draft| &*draft.source),
            restored: restored.as_ref(),
        };
        match scripts::put(present, put, at)? {
            Next::Same => {}
            Next::Draft(draft) => self.draft = Some(draft),
            Next::NoDraft => self.draft = None,
            Next::Version(next, drops_draft) => {
                push_bounded(&mut self.versions, next, VERSIONS_MAX);
                if drops_draft {
                    self.draft = None;
                }
            }
        }
        Ok(ScriptStands(self.versions.back().map_or(0, |newest| newest.about.version)))
    }
}

impl Model {
    /// See [`crate::ports::Registry::script`].
    pub fn script(&self, product_key: &str) -> ProductScript {
        let row = self.product_row(product_key);
        row.map(|row| ProductScript {
            draft: row.scripts.draft.clone(),
            published: row.scripts.versions.back().cloned(),
        })
        .unwrap_or_default()
    }

    /// See [`crate::ports::Registry::script_versions`].
    pub fn script_versions(&self, product_key: &str) -> Page<ScriptVersion> {
        let row = self.product_row(product_key);
        let versions = row.into_iter().flat_map(|row| row.scripts.versions.iter().rev());
        Page { items: versions.map(|version| version.about.clone()).collect(), ..Page::empty() }
    }

    /// See [`crate::ports::Registry::script_version`].
    pub fn script_version(&self, product_key: &str, version: u32) -> Option<VersionedScript> {
        self.product_row(product_key)?.scripts.find(version).cloned()
    }

    /// See [`crate::ports::Change::PutScript`].
    pub(super) fn put_script(
        &mut self,
        product_key: &str,
        put: &ScriptPut,
        at: UnixMillis,
    ) -> Result<Result<ScriptStands, NotChanged>, StoreError> {
        let Some(row) = self.product_row_mut(product_key) else {
            return Err(StoreError::Missing { what: "product", key: product_key.to_owned() });
        };
        Ok(row.scripts.put(put, at))
    }
}
