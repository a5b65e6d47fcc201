//! Organisation units, tokens, and who asks.

use narrowgate_api::{
    access::{Me, NewToken, NewUnit, TokenCreated, TokenView, UnitPatch, UnitView},
    page::Page,
    problem::Problem,
};

use super::Operator;
use crate::{firmware::Sha256Sum, model::access::Caller, service::error::ServiceError};

impl Operator {
    /// The same verbs for another caller: what does not belong to its unit does not exist. What a role may is
    /// decided before, by [`crate::model::access::Needs`].
    #[must_use]
    pub fn of(&self, caller: Caller) -> Self {
        Self { registrar: self.registrar.of(caller), sessions: self.sessions.clone() }
    }

    /// Who asks.
    pub fn caller(&self) -> &Caller {
        &self.registrar.caller
    }

    /// Who holds the token of this hash now; `None`: nobody, or it is not valid any more.
    ///
    /// # Errors
    /// Only the store's.
    pub async fn holder(&self, hash: Sha256Sum) -> Result<Option<Caller>, Problem> {
        self.tell("cannot look for the token", None, self.registrar.holder(hash).await).await
    }

    /// Whether what happens to a device of this product is shown to the caller.
    ///
    /// # Errors
    /// Only the store's.
    pub async fn sees(&self, product_key: &str) -> Result<bool, Problem> {
        if self.caller().unit().is_none() {
            return Ok(true);
        }
        let found = match self.registrar.existing_product(product_key).await {
            Err(ServiceError::Missing { .. }) => Ok(false),
            found => found.map(|_| true),
        };
        self.tell("cannot look for the product", None, found).await
    }

    /// What is known of the caller.
    pub fn show_me(&self) -> Me {
        let caller = self.caller();
        let (token, user) = match caller {
            Caller::Token { name, .. } => (Some(name.clone()), None),
            Caller::Owner | Caller::User { .. } => (None, Some(caller.name().to_owned())),
        };
        Me { token, user, role: caller.role(), ou: caller.unit().map(str::to_owned) }
    }

    /// All organisation units, the default one first.
    ///
    /// # Errors
    /// Only the store's.
    pub async fn list_units(&self) -> Result<Page<UnitView>, Problem> {
        self.tell("cannot list the organisation units", None, self.registrar.units().await).await
    }

    /// One organisation unit, by its key or its name.
    ///
    /// # Errors
    /// There is none.
    pub async fn show_unit(&self, named: &str) -> Result<UnitView, Problem> {
        self.tell("cannot show the organisation unit", None, self.registrar.unit(named).await).await
    }

    /// Creates an organisation unit.
    ///
    /// # Errors
    /// The name is not acceptable or taken; there are too many.
    pub async fn create_unit(&self, new: NewUnit) -> Result<UnitView, Problem> {
        let created = self.registrar.create_unit(new).await;
        self.tell("cannot create the organisation unit", None, created).await
    }

    /// Suspends an organisation unit, by its key or its name: the sessions of its devices end, they get none,
    /// and its callers may do nothing. What is stored stays.
    ///
    /// # Errors
    /// There is none; it is the default one.
    pub async fn suspend_unit(&self, named: &str) -> Result<UnitView, Problem> {
        self.switch_unit("cannot suspend the organisation unit", named, true).await
    }

    /// Ends that.
    ///
    /// # Errors
    /// There is none; it is the default one.
    pub async fn resume_unit(&self, named: &str) -> Result<UnitView, Problem> {
        self.switch_unit("cannot resume the organisation unit", named, false).await
    }

    async fn switch_unit(
        &self,
        title: &'static str,
        named: &str,
        is_suspended: bool,
    ) -> Result<UnitView, Problem> {
        let (registrar, sessions) = (self.registrar.clone(), self.sessions.clone());
        let named = named.to_owned();
        // Also where the caller goes before the store has answered, the products are read anew.
        let switched = self.to_its_end(async move {
            let (unit, products) = registrar.suspend_unit(named, is_suspended).await?;
            products.iter().for_each(|product_key| sessions.product_changed(product_key));
            Ok::<_, ServiceError>(unit)
        });
        self.tell(title, None, switched.await).await
    }

    /// Changes how much an organisation unit may have. What it has already stays.
    ///
    /// # Errors
    /// There is none; it is the default one.
    pub async fn update_unit(&self, named: &str, patch: UnitPatch) -> Result<UnitView, Problem> {
        let (registrar, sessions) = (self.registrar.clone(), self.sessions.clone());
        let named = named.to_owned();
        let updated = self.to_its_end(async move {
            let (unit, products) = registrar.update_unit(named, patch).await?;
            products.iter().for_each(|product_key| sessions.product_changed(product_key));
            Ok::<_, ServiceError>(unit)
        });
        self.tell("cannot change the organisation unit", None, updated.await).await
    }

    /// Passes a caller whose organisation unit is not suspended. To be asked of the service of all units.
    ///
    /// # Errors
    /// It is suspended; the store's.
    pub async fn check_unit_of(&self, caller: &Caller) -> Result<(), Problem> {
        let checked = self.registrar.check_unit_of(caller).await;
        self.tell("nothing is done for this organisation unit now", None, checked).await
    }

    /// One token, without its text.
    ///
    /// # Errors
    /// There is none.
    pub async fn show_token(&self, name: &str) -> Result<TokenView, Problem> {
        self.tell("cannot show the token", None, self.registrar.token(name).await).await
    }

    /// All tokens, by name, without their texts.
    ///
    /// # Errors
    /// Only the store's.
    pub async fn list_tokens(&self) -> Result<Page<TokenView>, Problem> {
        self.tell("cannot list the tokens", None, self.registrar.tokens().await).await
    }

    /// Creates a token.
    ///
    /// # Errors
    /// A name or a time is not acceptable; the name is taken; there is no such unit; there are too many.
    pub async fn create_token(&self, new: NewToken) -> Result<TokenCreated, Problem> {
        self.tell("cannot create the token", None, self.registrar.create_token(new).await).await
    }

    /// Revokes a token; returns it as it was, `None` where its row was damaged.
    ///
    /// # Errors
    /// There is none.
    pub async fn revoke_token(&self, name: &str) -> Result<Option<TokenView>, Problem> {
        self.tell("cannot revoke the token", None, self.registrar.revoke_token(name).await).await
    }
}
