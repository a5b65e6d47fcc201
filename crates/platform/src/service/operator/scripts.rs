//! Scripts of products.

use narrowgate_api::{
    device::NamedDevice,
    page::Page,
    problem::Problem,
    script::{
        NewScript, PublishScript, RollBackScript, ScriptPublished, ScriptVersionRow, ScriptVersionView,
        ScriptView, Tried, TryScript,
    },
};

use super::{Named, Operator, over::WhenOver};
use crate::service::error::ServiceError;

impl Operator {
    /// The script of a product: draft and published version.
    ///
    /// # Errors
    /// There is no such product.
    pub async fn show_script(&self, product_key: &str) -> Result<ScriptView, Problem> {
        let shown = self.registrar.script(product_key).await;
        self.tell("cannot show the script", Named::product(product_key), shown).await
    }

    /// Puts a draft in the place of the one before.
    ///
    /// # Errors
    /// There is no such product; the source is not acceptable.
    pub async fn draft_script(&self, product_key: &str, new: NewScript) -> Result<ScriptView, Problem> {
        let drafted = self.registrar.draft_script(product_key, new.source).await;
        self.tell("cannot keep the script", Named::product(product_key), drafted).await
    }

    /// Publishes a script, or the draft: it runs from the next message on.
    ///
    /// # Errors
    /// There is no such product, or no draft; the source is not acceptable.
    pub async fn publish_script(
        &self,
        product_key: &str,
        wanted: PublishScript,
    ) -> Result<ScriptPublished, Problem> {
        let read_anew = WhenOver::new(|| self.sessions.product_changed(product_key));
        let published = read_anew.decide(self.registrar.publish_script(product_key, wanted).await);
        self.tell("cannot publish the script", Named::product(product_key), published).await
    }

    /// Publishes an older version again, as a version of its own.
    ///
    /// # Errors
    /// There is no such product; the version is not kept.
    pub async fn roll_back_script(
        &self,
        product_key: &str,
        RollBackScript { version }: RollBackScript,
    ) -> Result<ScriptPublished, Problem> {
        let read_anew = WhenOver::new(|| self.sessions.product_changed(product_key));
        let published = read_anew.decide(self.registrar.roll_back_script(product_key, version).await);
        self.tell("cannot roll back the script", Named::product(product_key), published).await
    }

    /// The versions that are kept of a product's script, newest first.
    ///
    /// # Errors
    /// There is no such product.
    pub async fn list_script_versions(&self, product_key: &str) -> Result<Page<ScriptVersionRow>, Problem> {
        let versions = self.registrar.script_versions(product_key).await;
        self.tell("cannot list the versions of the script", Named::product(product_key), versions).await
    }

    /// One of them.
    ///
    /// # Errors
    /// There is no such product; the version is not kept.
    pub async fn show_script_version(
        &self,
        product_key: &str,
        version: &str,
    ) -> Result<ScriptVersionView, Problem> {
        let found = self.registrar.script_version(product_key, version).await;
        self.tell("cannot show that version of the script", Named::product(product_key), found).await
    }

    /// Tries a script: on bytes, on a message, or on what a device sent of late.
    ///
    /// # Errors
    /// There is no such product or device, or no script; what is to be tried is none; scripts cannot be run
    /// now.
    pub async fn try_script(&self, product_key: &str, wanted: TryScript) -> Result<Tried, Problem> {
        const TITLE: &str = "cannot try the script";
        let Some(from) = wanted.from.clone() else {
            let tried = self.registrar.try_script(product_key, wanted).await;
            return self.tell(TITLE, Named::product(product_key), tried).await;
        };
        if wanted.hex.is_some() || wanted.json.is_some() {
            let message = "does not go with hex or json".to_owned();
            return self.tell(TITLE, None, Err(ServiceError::Invalid { field: "from", message })).await;
        }
        let name = match from.split_once('/') {
            Some(_) => NamedDevice::by_name(from),
            None => NamedDevice::by_keys(product_key, from),
        };
        let device = self.resolved(&name).await;
        let device = self.tell(TITLE, Named::device(&name), device).await?;
        let bodies = self.sessions.recent_raw(device.id);
        let tried = self.registrar.replay_script(product_key, &device, bodies, wanted.source).await;
        self.tell(TITLE, Named::product(product_key), tried.map(Tried::Replayed)).await
    }
}
