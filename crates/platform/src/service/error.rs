//! Why a verb could not be done.

use crate::{
    device_api::commands::not_encoded,
    model::{command::CommandState, thing_model::Fault},
    ports::{Fault as ScriptFault, NotHashed, StoreError},
    rules::commands::NotSent,
};

/// Why a verb could not be done; `Display` is for operators.
#[derive(Debug, thiserror::Error)]
pub(super) enum ServiceError {
    /// What was asked makes no sense.
    #[error("{field} {message}")]
    Invalid {
        /// Which field of the request, by its JSON name.
        field: &'static str,
        /// What is wrong with it, continuing the sentence that the field begins.
        message: String,
    },
    /// A value in what was asked is not acceptable.
    #[error("{field} {fault}")]
    Value {
        /// Which field of the request, by its JSON name.
        field: &'static str,
        /// What is wrong, and where in the field.
        fault: Fault,
    },
    /// An attribute or a tag is not acceptable.
    #[error("{what}: {fault}")]
    Property {
        /// Of which kind.
        what: &'static str,
        /// What is wrong, and where in the request.
        fault: Fault,
    },
    /// A thing model is not acceptable.
    #[error("model is not acceptable: {fault}")]
    Model {
        /// What is wrong, and where in the model.
        fault: Fault,
    },
    /// A thing model is to replace another one than the present one.
    #[error("{}", moved(.product_key, *.version))]
    ModelMoved {
        /// Key of the product.
        product_key: String,
        /// The present version; 0 where there never was one.
        version: u32,
    },
    /// A script is not acceptable.
    #[error("script is not acceptable: {fault}")]
    Script {
        /// What is wrong, and where.
        fault: ScriptFault,
    },
    /// A script was not run, by no fault of its own.
    #[error("the script cannot be run now: {fault}")]
    NotRun {
        /// Why.
        fault: ScriptFault,
    },
    /// A command cannot be sent: the product's script makes no bytes of it.
    #[error("{}", not_encoded(.fault))]
    NotEncoded {
        /// Why not, and where.
        fault: ScriptFault,
    },
    /// Nothing has this name.
    #[error("there is no {what} {key}")]
    Missing {
        /// What kind of thing.
        what: &'static str,
        /// The name that was given.
        key: String,
    },
    /// It exists already.
    #[error("{what} {key} exists already")]
    Exists {
        /// What kind of thing.
        what: &'static str,
        /// Its key.
        key: String,
    },
    /// Several things have this name.
    #[error("several devices have the key {key}: {}", candidates.join(", "))]
    Ambiguous {
        /// The name that was given.
        key: String,
        /// Which ones may be meant, as `productKey/deviceKey`; at most 10.
        candidates: Vec<String>,
    },
    /// Its row is not as it was stored.
    #[error("{what}")]
    Damaged {
        /// Which row.
        what: String,
        /// What the operator may try.
        hint: &'static str,
    },
    /// A product that is to be deleted has devices.
    #[error("product {product_key} has devices")]
    NotEmpty {
        /// Key of the product.
        product_key: String,
    },
    /// A command cannot be sent.
    #[error("{}", not_sent(.why, .device))]
    NotSent {
        /// Why.
        why: NotSent,
        /// The device, as `productKey/deviceKey`.
        device: String,
    },
    /// A command that may not wait cannot be sent: nobody serves the device.
    #[error("no server is running, so device {device} is not online (11900), and the command may not wait")]
    NotServed {
        /// The device, as `productKey/deviceKey`.
        device: String,
    },
    /// A command cannot be sent: nobody may fetch it.
    #[error("{what} is switched off (723)")]
    SwitchedOff {
        /// The device or its product.
        what: String,
    },
    /// A command cannot be sent: nobody may fetch it while the device's unit is suspended.
    #[error("organisation unit {ou} is suspended (723)")]
    NotSentToSuspended {
        /// Its key.
        ou: String,
    },
    /// Who belongs to a unit that is suspended may do nothing.
    #[error("organisation unit {ou} is suspended")]
    UnitSuspended {
        /// Its key.
        ou: String,
    },
    /// A command that is to be taken back has ended.
    #[error("command {id} has ended: it is {}", word_of(*.state))]
    Ended {
        /// Which one.
        id: String,
        /// How.
        state: CommandState,
    },
    /// It was changed since the caller read it.
    #[error("the device's {what} are not those of If-Match any more: somebody has changed them")]
    Stale {
        /// What.
        what: &'static str,
    },
    /// The file of an image cannot be read now, which says nothing of its bytes.
    #[error("{0}")]
    Unreadable(String),
    /// A password was not hashed, by no fault of its own.
    #[error("{}", not_hashed(*.0))]
    NotHashed(NotHashed),
    /// What is there does not permit it.
    #[error("{0}")]
    Conflict(String),
    /// The organisation unit has as much as its quota permits: the store's words.
    #[error("{0}")]
    QuotaExceeded(String),
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
}

/// What is missing where a product has no thing model.
pub(super) const MODEL: &str = "thing model of product";

/// What is missing where a product has no script.
pub(super) const SCRIPT: &str = "script of product";

impl ServiceError {
    /// What the operator may try.
    pub(super) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Missing { what: "product", .. } => Some("narrowgate product list"),
            Self::Missing { what: "device", .. } => {
                Some("narrowgate device list; name a device as PK/DK, or as DK where only one product has it")
            }
            Self::Missing { what: "firmware image", .. } => Some("narrowgate firmware list"),
            Self::Missing { what: "organisation unit", .. } => Some("narrowgate ou list"),
            Self::Missing { what: "token", .. } => Some("narrowgate token list"),
            Self::Missing { what: "user", .. } => Some("narrowgate user list"),
            Self::Missing { what: "session", .. } => Some("it may have ended: narrowgate user sessions NAME"),
            Self::Missing { what: MODEL, .. } => Some("without one a product takes everything"),
            Self::Missing { what: SCRIPT | "draft", .. } => {
                Some("script publish PK FILE publishes one; docs/scripts.md says what it must have")
            }
            Self::Script { .. } => Some("docs/scripts.md says what a script must have; script try tries one"),
            Self::NotRun { .. } | Self::NotHashed(_) => Some("try again in some seconds"),
            Self::NotEncoded { .. } => {
                Some("script try PK --json FILE shows what the script makes of a message")
            }
            Self::Missing { .. }
            | Self::Invalid { .. }
            | Self::Value { .. }
            | Self::Property { .. }
            | Self::Model { .. } => None,
            Self::ModelMoved { .. } => Some("read it again, and change that one"),
            Self::Exists { what: "firmware", .. } => Some("give the new file a version of its own"),
            Self::Exists { what: "organisation unit" | "token" | "user", .. } => Some("choose another name"),
            Self::Exists { what: "product", .. } => Some("leave out the key to have a new one generated"),
            Self::Exists { .. } => Some(
                "a device key is unique in its organisation unit: choose another, or show the device \
                     that has it",
            ),
            Self::Ambiguous { .. } => Some("name it as PK/DK"),
            Self::Damaged { hint, .. } => Some(hint),
            Self::NotSent { why, .. } => Some(hint_to_send(why)),
            Self::NotServed { .. } => {
                Some("start narrowgate serve, or let it wait for the device: --pending-ttl SECONDS")
            }
            Self::SwitchedOff { .. } => Some("switch it on: device enable, or product update --enable"),
            Self::NotSentToSuspended { .. } | Self::UnitSuspended { .. } => {
                Some("an administrator of all units can end it: narrowgate ou resume OU")
            }
            Self::Unreadable(_) => {
                Some("try again; where it stays so, move the file away, and give the same upload again")
            }
            Self::QuotaExceeded(_) => {
                Some("an administrator of all units can raise it: narrowgate ou update OU")
            }
            Self::Ended { .. } | Self::Conflict(_) => None,
            Self::Stale { .. } => Some("read them again, and make the change of what they are now"),
            Self::NotEmpty { .. } => {
                Some("--force deletes them with it; device list --product PK lists them")
            }
            Self::Store(error) => hint_of_store(error),
        }
    }
}

fn not_hashed(why: NotHashed) -> &'static str {
    match why {
        NotHashed::Busy => "many log in at this moment",
        NotHashed::Unavailable => "passwords cannot be checked now",
    }
}

/// What may be tried where a command was not sent.
fn hint_to_send(why: &NotSent) -> &'static str {
    match why {
        NotSent::NotActivated => "connect the device once; device show tells its state",
        NotSent::Offline => "let it wait for the device: pendingTtl (--pending-ttl SECONDS), up to 172800",
        NotSent::OtherId(_) => "try again",
        NotSent::QueueFull { .. } => "command list shows them, and command cancel takes them back",
    }
}

fn hint_of_store(error: &StoreError) -> Option<&'static str> {
    match error {
        StoreError::Unavailable(_) => Some("check the space and the permissions of the data directory"),
        StoreError::Fenced(_) => Some("stop this server: another one serves its devices"),
        StoreError::Damaged(_) => Some("stop the server and restore the data directory from a backup"),
        StoreError::Exists { .. }
        | StoreError::Missing { .. }
        | StoreError::Conflict(_)
        | StoreError::QuotaExceeded { .. } => None,
    }
}

fn moved(product_key: &str, version: u32) -> String {
    match version {
        0 => format!("product {product_key} never had a thing model"),
        _ => format!("the thing model of product {product_key} is another one meanwhile: version {version}"),
    }
}

fn not_sent(why: &NotSent, device: &str) -> String {
    match why {
        NotSent::NotActivated => format!("device {device} has never logged in (11888)"),
        NotSent::Offline => format!("device {device} is not online (11900), and the command may not wait"),
        NotSent::OtherId(id) => format!("device {device} was sent other commands meanwhile, up to {id}"),
        NotSent::QueueFull { open_max } => format!(
            "{open_max} commands wait for device {device} already (11902), as many as limits.device_commands \
             permits"
        ),
    }
}

/// A state as it is written in JSON.
fn word_of(state: CommandState) -> String {
    let word = serde_json::to_value(state).ok();
    word.as_ref().and_then(|word| word.as_str()).unwrap_or_default().to_owned()
}

impl From<StoreError> for ServiceError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Exists { what, key } => Self::Exists { what, key },
            StoreError::Missing { what, key } => Self::Missing { what, key },
            StoreError::Conflict(message) => Self::Conflict(message),
            error @ StoreError::QuotaExceeded { .. } => Self::QuotaExceeded(error.to_string()),
            other => Self::Store(other),
        }
    }
}
