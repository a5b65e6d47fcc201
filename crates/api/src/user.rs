//! People who use the product.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{access::Role, names::UnixMillis, secret::SecretText};

/// A user to be created.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewUser {
    /// What the user logs in as; no other user is called so.
    pub user: String,
    /// What the user may do.
    pub role: Role,
    /// Only in this unit, by its key or its name; in all where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ou: Option<String>,
}

/// What of a user changes.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UserUpdate {
    /// What the user may do from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// In which unit, by its key or its name; `null`: in all.
    #[serde(default, deserialize_with = "said", skip_serializing_if = "Option::is_none")]
    pub ou: Option<Option<String>>,
    /// Whether the user may log in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// A field that was said, if only as `null`.
fn said<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// How a user stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UserState {
    /// There is no password yet: the one-time link sets it.
    Invited,
    /// There is a password, or an identity provider vouches for the user.
    Active,
    /// The user may not log in.
    Disabled,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserView {
    /// What the user logs in as.
    pub user: String,
    /// What the user may do.
    pub role: Role,
    /// The unit in which that is so; null: all.
    pub ou: Option<String>,
    /// How the user stands.
    pub state: UserState,
    /// When the user was created.
    pub created_at: UnixMillis,
    /// From when on the one-time link is not valid any more; null: there is none.
    pub link_expires_at: Option<UnixMillis>,
}

/// A user with a new one-time link: the only time that it is shown.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserInvited {
    /// The path of the page that sets the password, once. Whoever opens it is the user.
    pub link: SecretText,
    /// Where browsers reach the server: the link goes behind it. It is left out where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// The user.
    #[serde(flatten)]
    pub view: UserView,
}

/// A session of a user, who has logged in with a browser.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserSessionView {
    /// What it is called; it opens nothing.
    pub id: String,
    /// When the user logged in.
    pub begun_at: UnixMillis,
    /// When it was used last, to a minute.
    pub seen_at: UnixMillis,
    /// When it ends, where it is not used again.
    pub ends_at: UnixMillis,
    /// Whether it is the one that asks.
    pub own: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_that_is_null_is_another_one_than_none_that_is_said() {
        let read = |json| serde_json::from_str::<UserUpdate>(json).expect("it can be read").ou;
        assert_eq!(read("{}"), None);
        assert_eq!(read(r#"{"ou":null}"#), Some(None));
        assert_eq!(read(r#"{"ou":"north"}"#), Some(Some("north".to_owned())));
        let written = |ou| serde_json::to_string(&UserUpdate { ou, ..UserUpdate::default() });
        assert_eq!(written(None).expect("it can be written"), "{}");
        assert_eq!(written(Some(None)).expect("it can be written"), r#"{"ou":null}"#);
    }

    #[test]
    fn an_invited_user_is_one_object() {
        let view = UserView {
            user: "ann".into(),
            role: Role::Viewer,
            ou: None,
            state: UserState::Invited,
            created_at: UnixMillis(1),
            link_expires_at: Some(UnixMillis(2)),
        };
        let link = SecretText::new("/password/x".into());
        assert_eq!(
            serde_json::to_string(&UserInvited { link, origin: None, view }).expect("it can be written"),
            concat!(
                r#"{"link":"/password/x","user":"ann","role":"viewer","ou":null,"state":"invited","#,
                r#""createdAt":1,"linkExpiresAt":2}"#
            )
        );
    }
}
