//! Organisation units, tokens, and who asks.

use narrowgate_api::{
    access::{NewToken, NewUnit, QuotasView, TokenCreated, TokenView, UnitPatch, UnitView},
    page::Page as ShownPage,
};

use super::{
    error::ServiceError,
    registrar::{Registrar, check},
    secret_text::{Opens, hash_of},
    view,
};
use crate::{
    firmware::Sha256Sum,
    ids::{DEFAULT_OU, UnixMillis},
    model::access::{Caller, DEFAULT_UNIT_NAME, Quotas, ReportsOfDay, Scope, Token, Unit},
    ports::{AccessChange, AccessReads as _, RegistryChanges as _, UnitChanged, UnitChanges as _},
    rules::{names, quotas},
};

/// Longest life of a token that ends, in days: what is written in another unit of time shows.
const LIFE_DAYS_MAX: i64 = 3651;
/// A day, in milliseconds.
const DAY_MS: i64 = 86_400_000;

impl Registrar {
    /// Who holds the token of this hash now; `None`: nobody, or it is not valid any more.
    ///
    /// # Errors
    /// Only the store's.
    pub(super) async fn holder(&self, hash: Sha256Sum) -> Result<Option<Caller>, ServiceError> {
        let found = self.registry.token_of(hash).await?;
        let now = self.latest();
        Ok(found.filter(|token| token.is_valid_at(now)).map(|token| {
            let Token { name, role, scope, .. } = token;
            Caller::Token { name, role, scope }
        }))
    }

    /// The key of a unit by its key or its name.
    ///
    /// # Errors
    /// `Missing`.
    pub(super) async fn unit_key(&self, named: &str) -> Result<String, ServiceError> {
        if let Some(own) = self.caller.unit() {
            // Who belongs to a unit knows it by its key.
            return if own == named { Ok(own.to_owned()) } else { Err(no_unit(named)) };
        }
        if named == DEFAULT_OU || named == DEFAULT_UNIT_NAME {
            return Ok(DEFAULT_OU.to_owned());
        }
        let units = self.registry.units().await?.items;
        let found = units.into_iter().find(|unit| unit.ou == named || unit.name == named);
        found.map(|unit| unit.ou).ok_or_else(|| no_unit(named))
    }

    /// All units, the default one first.
    ///
    /// # Errors
    /// Only the store's.
    pub(super) async fn units(&self) -> Result<ShownPage<UnitView>, ServiceError> {
        let (page, now) = (self.registry.units().await?, self.clock.now());
        let (ou, name) = (DEFAULT_OU.to_owned(), DEFAULT_UNIT_NAME.to_owned());
        let quotas = QuotasView::default();
        let first = UnitView { ou, name, created_at: None, suspended_at: None, quotas, reports_today: None };
        let items =
            std::iter::once(first).chain(page.items.into_iter().map(|unit| unit_view(unit, now))).collect();
        Ok(ShownPage { items, next_cursor: None, damaged: view::left_out(page.damaged) })
    }

    /// One unit, by its key or its name.
    ///
    /// # Errors
    /// `Missing`.
    pub(super) async fn unit(&self, named: &str) -> Result<UnitView, ServiceError> {
        let ou = self.unit_key(named).await?;
        let found = self.units().await?.items.into_iter().find(|unit| unit.ou == ou);
        found.ok_or_else(|| no_unit(named))
    }

    /// Creates a unit.
    ///
    /// # Errors
    /// `Invalid`; `Exists`; `Conflict` where there are too many.
    pub(super) async fn create_unit(&self, new: NewUnit) -> Result<UnitView, ServiceError> {
        check_name("name", &new.name)?;
        if names::is_ou(&new.name) {
            // It could be taken for another unit.
            let message = "has the form of a unit's key".to_owned();
            return Err(ServiceError::Invalid { field: "name", message });
        }
        let (ou, created) = (names::new_ou(&*self.entropy), self.clock.now());
        let quotas = Quotas::default().changed(new.quotas);
        let unit = Unit { ou, name: new.name, created, suspended: None, quotas, reports: None };
        self.registry.change_access(AccessChange::AddUnit(unit.clone())).await?;
        Ok(unit_view(unit, created))
    }

    /// Suspends a unit, by its key or its name, or ends that. Returns also the keys of its products: what
    /// that means for their sessions is the caller's to say.
    ///
    /// # Errors
    /// `Missing`; `Conflict` for the default unit.
    pub(super) async fn suspend_unit(
        self,
        named: String,
        is_suspended: bool,
    ) -> Result<(UnitView, Vec<String>), ServiceError> {
        let ou = self.unit_key(&named).await?;
        if ou == DEFAULT_OU {
            let said = "the default organisation unit cannot be suspended: it is the installation's own; \
                        switch its products off (product update --disable)";
            return Err(ServiceError::Conflict(said.to_owned()));
        }
        let since = is_suspended.then(|| self.clock.now());
        let UnitChanged { unit, products } = self.registry.suspend_unit(ou, since).await?;
        Ok((unit_view(unit, self.clock.now()), products))
    }

    /// Changes how much a unit may have. Returns also the keys of its products, whose reports it is about.
    ///
    /// # Errors
    /// `Missing`; `Conflict` for the default unit.
    pub(super) async fn update_unit(
        self,
        named: String,
        patch: UnitPatch,
    ) -> Result<(UnitView, Vec<String>), ServiceError> {
        let ou = self.unit_key(&named).await?;
        if ou == DEFAULT_OU {
            let said = "the default organisation unit has no quotas: it is the installation's own";
            return Err(ServiceError::Conflict(said.to_owned()));
        }
        let UnitChanged { unit, products } = self.registry.set_quotas(ou, patch.quotas).await?;
        Ok((unit_view(unit, self.clock.now()), products))
    }

    /// Passes a caller whose organisation unit is not suspended.
    ///
    /// # Errors
    /// `UnitSuspended`.
    pub(super) async fn check_unit_of(&self, caller: &Caller) -> Result<(), ServiceError> {
        let Some(ou) = caller.unit().filter(|ou| *ou != DEFAULT_OU) else { return Ok(()) };
        match self.registry.unit(ou).await? {
            Some(Unit { suspended: Some(_), .. }) => Err(ServiceError::UnitSuspended { ou: ou.to_owned() }),
            _ => Ok(()),
        }
    }

    /// All tokens, by name, without their texts.
    ///
    /// # Errors
    /// Only the store's.
    pub(super) async fn tokens(&self) -> Result<ShownPage<TokenView>, ServiceError> {
        let page = self.registry.tokens().await?;
        let items = page.items.into_iter().map(token_view).collect();
        Ok(ShownPage { items, next_cursor: None, damaged: view::left_out(page.damaged) })
    }

    /// One token, without its text.
    ///
    /// # Errors
    /// `Missing`.
    pub(super) async fn token(&self, name: &str) -> Result<TokenView, ServiceError> {
        let found = self.registry.tokens().await?.items.into_iter().find(|token| token.name == name);
        found.map(token_view).ok_or_else(|| AccessChange::no_token(name).into())
    }

    /// Creates a token: its text is in the answer, and nowhere else.
    ///
    /// # Errors
    /// `Invalid`; `Exists`; `Missing` where there is no such unit; `Conflict` where there are too many.
    pub(super) async fn create_token(&self, new: NewToken) -> Result<TokenCreated, ServiceError> {
        let NewToken { name, role, ou, expires_at: expires } = new;
        check_name("name", &name)?;
        let scope = match ou {
            Some(ou) => Scope::Unit(self.unit_key(&ou).await?),
            None => Scope::All,
        };
        let created = self.clock.now();
        expires.map_or(Ok(()), |expires| check_end(created, expires))?;
        let text = Opens::Token.draw(&*self.entropy);
        let token = Token { name, role, scope, created, expires, hash: hash_of(text.expose()) };
        self.registry.change_access(AccessChange::AddToken(token.clone())).await?;
        Ok(TokenCreated { token: text, view: token_view(token) })
    }

    /// Revokes a token: whoever has it is nobody from now on. Returns it as it was, where it was intact.
    ///
    /// # Errors
    /// `Missing`.
    pub(super) async fn revoke_token(&self, name: &str) -> Result<Option<TokenView>, ServiceError> {
        let found = self.registry.tokens().await?.items.into_iter().find(|token| token.name == name);
        self.registry.change_access(AccessChange::RevokeToken { name: name.to_owned() }).await?;
        Ok(found.map(token_view))
    }
}

fn no_unit(named: &str) -> ServiceError {
    AccessChange::no_unit(named).into()
}

/// A name on the command line: it begins with no dash, and has nothing that a terminal would not show.
pub(super) fn check_name(field: &'static str, name: &str) -> Result<(), ServiceError> {
    check(field, names::check_display_name(name))?;
    let message = match name.chars().next() {
        None => "is empty",
        Some('-') => "begins with a dash",
        Some(_) => return Ok(()),
    };
    Err(ServiceError::Invalid { field, message: message.to_owned() })
}

fn check_end(created: UnixMillis, expires: UnixMillis) -> Result<(), ServiceError> {
    let last = created.0.saturating_add(LIFE_DAYS_MAX * DAY_MS);
    let message = match expires.0 {
        at if at <= created.0 => "is not in the future".to_owned(),
        at if at > last => format!("is more than {LIFE_DAYS_MAX} days ahead"),
        _ => return Ok(()),
    };
    Err(ServiceError::Invalid { field: "expiresAt", message })
}

fn unit_view(unit: Unit, now: UnixMillis) -> UnitView {
    let Unit { ou, name, created, suspended, quotas: has, reports } = unit;
    let Quotas { products, devices, reports_per_day } = has;
    let shown = QuotasView { products, devices, reports_per_day };
    let today = |reports: ReportsOfDay| if reports.day == quotas::day(now) { reports.count } else { 0 };
    let reports_today = reports_per_day.map(|_| reports.map_or(0, today));
    let (created_at, suspended_at) = (Some(created), suspended);
    UnitView { ou, name, created_at, suspended_at, quotas: shown, reports_today }
}

fn token_view(token: Token) -> TokenView {
    let Token { name, role, scope, created, expires, hash: _ } = token;
    let ou = scope.unit().map(str::to_owned);
    TokenView { name, role, ou, created_at: created, expires_at: expires }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use narrowgate_api::{access::Role, product::NewProduct};

    use super::*;
    use crate::{
        service::{
            fixtures::{NOW, registrar, registrar_and_clock},
            token_hash,
        },
        testing::{ManualClock, block_on},
    };

    fn new(name: &str) -> NewToken {
        NewToken { name: name.to_owned(), role: Role::Operator, ou: None, expires_at: None }
    }

    #[test]
    fn a_token_has_a_text_of_its_own_and_is_known_by_its_hash_until_it_expires_or_is_revoked() {
        let (registrar, clock) = registrar_and_clock();
        let expires_at = Some(UnixMillis(NOW.0 + DAY_MS));
        let made = block_on(registrar.create_token(NewToken { expires_at, ..new("ci") }));
        let made = made.expect("it is valid");
        let other = block_on(registrar.create_token(new("other"))).expect("it is valid");
        assert_ne!(made.token.expose(), other.token.expose());
        assert_eq!(made.view.expires_at, expires_at);
        let hash = token_hash(made.token.expose()).expect("it has the form of one");
        let holder = || block_on(registrar.holder(hash)).expect("it reads");
        let expected = Caller::Token { name: "ci".into(), role: Role::Operator, scope: Scope::All };
        assert_eq!(holder(), Some(expected));
        clock.advance_ms(DAY_MS - 1);
        assert!(holder().is_some());
        clock.advance_ms(1);
        assert_eq!(holder(), None);
        let hash = token_hash(other.token.expose()).expect("it has the form of one");
        let revoked = block_on(registrar.revoke_token("other")).expect("it is there");
        assert_eq!(revoked, Some(other.view));
        assert_eq!(block_on(registrar.holder(hash)).expect("it reads"), None);
        let names: Vec<_> = block_on(registrar.tokens()).expect("it reads").items;
        assert_eq!(names, [made.view], "one that has expired is still listed");
    }

    #[test]
    fn a_token_ends_by_the_clock_that_is_ahead() {
        let (mut registrar, clock) = registrar_and_clock();
        let wall = Arc::new(ManualClock::new(NOW));
        registrar.wall = wall.clone();
        let expires_at = Some(UnixMillis(NOW.0 + DAY_MS));
        let made = block_on(registrar.create_token(NewToken { expires_at, ..new("ci") }));
        let hash = token_hash(made.expect("it is valid").token.expose()).expect("it has the form of one");
        let is_valid = || block_on(registrar.holder(hash)).expect("it reads").is_some();
        assert!(is_valid());
        // A machine that slept for three days: the arrivals do not believe it yet.
        wall.advance_ms(3 * DAY_MS);
        assert!(!is_valid());
        // A wall clock that was set back keeps none alive.
        registrar.wall = Arc::new(ManualClock::new(UnixMillis(0)));
        clock.advance_ms(DAY_MS);
        assert!(block_on(registrar.holder(hash)).expect("it reads").is_none());
    }

    #[test]
    fn a_unit_is_named_by_its_key_or_its_name_and_owns_products() {
        let registrar = registrar();
        let unit = block_on(registrar.create_unit(NewUnit { name: "north".into(), ..NewUnit::default() }))
            .expect("it is new");
        assert_eq!((unit.ou.len(), &unit.ou[..1]), (15, "o"));
        let create = |ou: Option<&str>| {
            let product = NewProduct { name: "n".into(), ou: ou.map(str::to_owned), ..NewProduct::default() };
            let created = block_on(registrar.create_product(product)).map_err(|error| error.to_string())?;
            Ok(block_on(registrar.product(&created.product_key)).expect("it exists").ou)
        };
        assert_eq!(create(None), Ok(DEFAULT_OU.to_owned()));
        assert_eq!(create(Some("default")), Ok(DEFAULT_OU.to_owned()));
        assert_eq!(
            (create(Some("north")), create(Some(&unit.ou))),
            (Ok(unit.ou.clone()), Ok(unit.ou.clone()))
        );
        assert_eq!(create(Some("south")), Err("there is no organisation unit south".to_owned()));
        let again = block_on(registrar.create_unit(NewUnit { name: "north".into(), ..NewUnit::default() }));
        assert_eq!(again.expect_err("it is there").to_string(), "organisation unit north exists already");
        let listed = block_on(registrar.units()).expect("it reads").items;
        let names: Vec<_> = listed.iter().map(|unit| &*unit.name).collect();
        assert_eq!(names, ["default", "north"]);
        for name in ["", "-x", "a\u{7}", "o12345678901234"] {
            assert!(
                block_on(registrar.create_unit(NewUnit { name: name.into(), ..NewUnit::default() })).is_err(),
                "{name}"
            );
        }
        for (ms, said) in [
            (0, "expiresAt is not in the future"),
            (-1, "expiresAt is not in the future"),
            (3652 * DAY_MS, "expiresAt is more than 3651 days ahead"),
        ] {
            let token = NewToken { expires_at: Some(UnixMillis(NOW.0 + ms)), ..new("t") };
            let refused = block_on(registrar.create_token(token)).expect_err("it ends at no such time");
            assert_eq!(refused.to_string(), said);
        }
    }

    #[test]
    fn a_caller_of_one_unit_sees_and_makes_only_what_belongs_to_it() {
        let owner = registrar();
        let unit = block_on(owner.create_unit(NewUnit { name: "north".into(), ..NewUnit::default() }))
            .expect("it is new");
        let named = |name: &str, ou: Option<&str>| NewProduct {
            name: name.to_owned(),
            ou: ou.map(str::to_owned),
            ..NewProduct::default()
        };
        let foreign = block_on(owner.create_product(named("foreign", None))).expect("it is new");
        let scope = Scope::Unit(unit.ou.clone());
        let caller = Caller::Token { name: "t".into(), role: Role::Administrator, scope };
        let north = owner.of(caller);
        let own = block_on(north.create_product(named("own", None))).expect("it is new");
        let listed = block_on(north.products()).expect("it reads").items.len();
        assert_eq!((listed, block_on(owner.products()).expect("it reads").items.len()), (1, 2));
        assert_eq!(block_on(owner.product(&own.product_key)).expect("it exists").ou, unit.ou);
        let of = |key: &str| block_on(north.product(key)).expect_err("it is not there").to_string();
        assert_eq!(of(&foreign.product_key), format!("there is no product {}", foreign.product_key));
        for ou in [DEFAULT_OU, "default", "none"] {
            let refused = block_on(north.create_product(named("n", Some(ou)))).expect_err("it is foreign");
            assert_eq!(refused.to_string(), format!("there is no organisation unit {ou}"));
        }
    }

    #[test]
    fn a_caller_of_a_suspended_unit_may_do_nothing_and_others_go_on() {
        let owner = registrar();
        let unit = |name: &str| {
            let created = block_on(owner.create_unit(NewUnit { name: name.into(), ..NewUnit::default() }))
                .expect("it is new");
            let (name, scope) = ("t".to_owned(), Scope::Unit(created.ou));
            Caller::Token { name, role: Role::Viewer, scope }
        };
        let (north, south) = (unit("north"), unit("south"));
        let all = Caller::Token { name: "t".into(), role: Role::Viewer, scope: Scope::All };
        let of_default =
            |role| Caller::Token { name: "t".into(), role, scope: Scope::Unit(DEFAULT_OU.into()) };
        let switch = |on| block_on(owner.clone().suspend_unit("north".into(), on)).expect("it is there").0;
        let may = |caller: &Caller| block_on(owner.check_unit_of(caller)).is_ok();
        assert!(may(&north));
        assert_eq!(switch(true).suspended_at, Some(NOW));
        let refused = block_on(owner.check_unit_of(&north)).expect_err("it is suspended").to_string();
        assert!(refused.ends_with("is suspended"), "{refused}");
        assert!([south, all, of_default(Role::Viewer), Caller::Owner].iter().all(may));
        assert_eq!(switch(false).suspended_at, None);
        assert!(may(&north));
        for (name, said) in [
            ("default", "the default organisation unit cannot be suspended"),
            ("x", "there is no organisation"),
        ] {
            let refused = block_on(owner.clone().suspend_unit(name.into(), true)).map(|(unit, _)| unit.name);
            let refused = refused.expect_err("there is none").to_string();
            assert!(refused.starts_with(said), "{refused}");
        }
    }
}
